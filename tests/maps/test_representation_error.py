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
