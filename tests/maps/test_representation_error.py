"""The prior's own error: where e stands in the latent, and the posterior that follows."""

import math

import pytest
import torch

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError


def draws(*shape: int, seed: int = 0, rows: int = 6) -> torch.Tensor:
    return noise.rows(seed, rows).normal(shape, noise.PROBE, torch.float64)


def test_e_is_stacked_on_axis_0_where_z_and_x_have_one_shape() -> None:
    inner = nw.maps.Warp((2, 3, 4), 0.5)
    phi, z, e = nw.maps.RepresentationError(inner, 0.1), draws(2, 3, 4), draws(2, 3, 4, seed=1)
    assert (phi.shape, phi.data_shape) == ((4, 3, 4), (2, 3, 4))
    both = torch.cat([z, e], 1)
    assert torch.equal(phi(both), inner(z) + 0.1 * e)
    assert all(torch.equal(a, b) for a, b in zip(phi.parts(both), (z, e), strict=True))


def test_e_is_appended_to_flat_z_where_the_shapes_differ() -> None:
    inner = nw.maps.Generator(lambda z: torch.tanh(z).repeat(1, 1, 2), (2, 3), (2, 6))
    phi, z, e = nw.maps.RepresentationError(inner, 0.1), draws(2, 3), draws(2, 6, seed=1)
    assert (phi.shape, phi.data_shape) == ((18,), (2, 6))
    assert torch.equal(phi(torch.cat([z.flatten(1), e.flatten(1)], 1)), inner(z) + 0.1 * e)


def test_the_posterior_is_that_of_a_prior_with_the_error_in_it() -> None:
    """x = M z + s e is N(0, M M^T + s^2 I): the posterior mean of x is known."""
    matrix, s, sigma = torch.tensor([[1.0, 0.5], [0.5, 1.0]]).double(), 0.4, 0.3
    phi = nw.maps.RepresentationError(nw.maps.Affine(matrix), s)
    y = torch.tensor([[1.0, -0.5]]).double()
    target = nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(sigma), y)
    num = 2000
    run = nw.tempered_smc(target, num, seed=3, progress=False)
    prior = matrix @ matrix.T + s**2 * torch.eye(2).double()
    noisy = prior + sigma**2 * torch.eye(2).double()
    expected = prior @ torch.linalg.solve(noisy, y[0])
    spread = (prior - prior @ torch.linalg.solve(noisy, prior)).diagonal().sqrt()
    # resampled particles are worth a fraction of their number; a quarter is cautious
    assert bool(((run.mean[0] - expected).abs() < 5 * spread / math.sqrt(num / 4)).all())
    torch.testing.assert_close(run.std[0].double(), spread, rtol=0.1, atol=0)


def test_what_does_not_fit_is_named() -> None:
    for std in (0, -1.0, float("nan"), "x"):
        with pytest.raises(ConfigError, match="RepresentationError's std must be a finite number"):
            nw.maps.RepresentationError(nw.maps.Warp((3,)), std)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"needs a map.*got Identity"):
        nw.maps.RepresentationError(torch.nn.Identity(), 0.1)  # type: ignore[arg-type]


def test_a_std_by_band_filters_e_alone() -> None:
    phi = nw.maps.RepresentationError(nw.maps.Warp((1, 8, 6)), (0.4, 0.1))
    white = nw.maps.RepresentationError(nw.maps.Warp((1, 8, 6)), (0.2, 0.2))
    z = nw.noise.rows(0, 3).normal(phi.shape, nw.noise.INIT)
    own, e = phi.parts(z)
    torch.testing.assert_close(white(z), white.phi(own) + 0.2 * e)  # bands alike are white
    flat = torch.ones(1, 1, 8, 6)
    x = phi(torch.cat([torch.zeros_like(flat), flat], 1)) - phi.phi(torch.zeros_like(flat))
    torch.testing.assert_close(x, 0.4 * flat)  # the mean lies in the lowest band
    v = torch.ones_like(z)
    pushed = torch.func.jvp(phi, (z,), (v,))[1]
    ahead, behind = (phi(z.double() + h * v) for h in (1e-5, -1e-5))
    torch.testing.assert_close(pushed, ((ahead - behind) / 2e-5).float(), rtol=1e-3, atol=1e-3)
    for bad in ((0.1,), (0.1, 0.0), (0.1, "x")):
        with pytest.raises(ConfigError, match="RepresentationError's std"):
            nw.maps.RepresentationError(nw.maps.Warp((1, 8, 8)), bad)
    with pytest.raises(ConfigError, match="by band needs images"):
        nw.maps.RepresentationError(nw.maps.Warp((8,)), (0.1, 0.2))


def test_a_card_gives_the_std_by_band() -> None:
    from dataclasses import replace

    prior = nw.load_prior("fashion32")
    with pytest.raises(ConfigError, match="has no representation_error: `noisewalk priors repres"):
        replace(prior, card={}).map(representation_error="card")
    with pytest.raises(ConfigError, match="unknown representation_error 'white'"):
        prior.map(representation_error="white")
    known = replace(prior, card={**prior.card, "representation_error": [0.2, 0.1]})
    phi = known.map(representation_error="card")
    assert phi.std == (0.2, 0.1)  # type: ignore[attr-defined]
    assert prior.map(representation_error=(0.2, 0.1)).shape == phi.shape == (2, 32, 32)
