"""The maps with a known pushforward: Affine, Warp and Mixture."""

import itertools
import math

import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.maps import Mixture
from noisewalk.maps.analytic import Affine, Warp

AMPLITUDES = pytest.mark.parametrize("amplitude", [0.8, -0.8, 0.99, 0.0])


def draw(
    shape: tuple[int, ...], rows: int = 1, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Tensor:
    return noise.rows(seed, rows).normal(shape, noise.PROBE, dtype)


def test_affine_sends_zero_to_its_offset_and_the_unit_vectors_to_its_columns() -> None:
    matrix, offset = draw((3, 4))[0], draw((3,), seed=1)[0]
    zero, unit = torch.zeros(1, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    phi = Affine(matrix, offset)
    assert torch.equal(phi(zero)[0], offset)
    torch.testing.assert_close(phi(unit) - offset, matrix.T, rtol=0, atol=1e-15)
    assert torch.equal(Affine(matrix)(unit), matrix.T)


def test_the_pushforward_of_affine_is_gaussian_with_covariance_m_mt() -> None:
    matrix, offset, rows = draw((2, 3))[0], draw((2,), seed=1)[0], 20000
    x = Affine(matrix, offset)(draw((3,), rows, seed=2))
    covariance = matrix @ matrix.T
    scale = covariance.diagonal().sqrt()
    assert ((x.mean(0) - offset).abs() < 5 * scale / math.sqrt(rows)).all()
    spread = (covariance**2 + torch.outer(scale**2, scale**2)).sqrt() / math.sqrt(
        rows
    )  # standard error of a sample covariance (Isserlis)
    assert ((torch.cov(x.T) - covariance).abs() < 5 * spread).all()


def test_affine_computes_in_the_dtype_of_z() -> None:
    for dtype in [torch.float32, torch.float64]:
        phi = Affine(draw((3, 4))[0], draw((3,))[0])
        x = phi(draw((4,), 2, dtype=dtype))
        assert x.dtype == dtype
        assert (phi.shape, phi.data_shape, tuple(x.shape), phi.nfe) == ((4,), (3,), (2, 3), 1)


def test_affine_names_a_matrix_that_is_none() -> None:
    for matrix in [torch.ones(3), torch.ones(1, 2, 3), torch.tensor(1.0)]:
        with pytest.raises(ConfigError, match=r"needs a matrix \(p, d\), got a tensor of shape"):
            Affine(matrix)


def test_affine_names_an_offset_of_another_size() -> None:
    for offset in [torch.ones(4), torch.ones(3, 1), torch.tensor(1.0)]:
        with pytest.raises(ConfigError, match=r"needs an offset of shape \(3,\), got"):
            Affine(torch.ones(3, 4), offset)


def test_the_density_of_the_warp_integrates_to_the_normal_distribution_function() -> None:
    for amplitude in [0.8, -0.8, 0.99, 0.0]:
        phi = Warp((1,), amplitude)
        for at in (-1.7, 0.0, 0.4, math.pi):
            end = float(phi(torch.tensor([[at]], dtype=torch.float64)))
            grid = torch.linspace(-12, end, 40001, dtype=torch.float64)
            weights = torch.ones_like(grid)
            weights[1:-1:2], weights[2:-1:2] = 4, 2
            total = (
                (phi.log_density(grid[:, None]).exp() * weights).sum() * (grid[1] - grid[0]) / 3
            )  # Simpson's rule, error h^4 max|p''''| / 15
            assert float(total) == pytest.approx(
                float(torch.special.ndtr(torch.tensor(at, dtype=torch.float64))), abs=1e-7
            )


def test_the_inverse_of_the_warp_undoes_it_however_far_out() -> None:
    for amplitude in [0.8, -0.8, 0.99, 0.0]:
        for dtype in [torch.float32, torch.float64]:
            phi = Warp((7,), amplitude)
            z = torch.tensor([[-200.0, -math.pi, -1e-3, 0.0, 1.0, 3.2, 1e3]], dtype=torch.float64)
            x = phi(z).to(dtype)
            back = phi.inverse(x)
            assert back.dtype == torch.float64
            torch.testing.assert_close(phi(back), x.double(), rtol=1e-15, atol=1e-15)
            slope = 1 + amplitude * torch.cos(back)
            rounding = torch.finfo(dtype).eps * (x.double().abs() + 1) / slope.clamp(max=1)
            assert ((back - z).abs() < 2 * rounding).all()


def test_the_warp_is_odd_and_its_density_even_and_a_sum_over_entries() -> None:
    for amplitude in [0.8, -0.8, 0.99, 0.0]:
        phi, x = Warp((2, 3), amplitude), draw((2, 3), 4)
        assert torch.equal(phi(-x), -phi(x))
        density = phi.log_density(x)
        assert density.shape == (4,)
        assert density.dtype == torch.float64
        torch.testing.assert_close(phi.log_density(-x), density, rtol=1e-12, atol=1e-12)
        entries = Warp((1,), amplitude).log_density(x.reshape(-1, 1)).reshape(4, 6).sum(1)
        torch.testing.assert_close(entries, density, rtol=1e-12, atol=1e-12)


def test_a_warp_of_amplitude_zero_is_the_identity_under_a_normal() -> None:
    phi, x = Warp((3,), 0.0), draw((3,), 4)
    assert torch.equal(phi(x), x)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
    torch.testing.assert_close(phi.log_density(x), expected, rtol=1e-12, atol=1e-12)


def test_a_warp_that_cannot_be_inverted_is_named() -> None:
    for amplitude in [1.0, -1.0, 2.0, math.nan]:
        with pytest.raises(ConfigError, match=r"needs \|amplitude\| < 1 to be invertible, got"):
            Warp((1,), amplitude)


MEANS = torch.tensor([[4.0, 0.0, 4.0], [-4.0, 1.0, 0.0], [0.0, -5.0, 1.0]], dtype=torch.float64)
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)


def normal(rows: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_pushforward_has_the_mixtures_weights_and_spread() -> None:
    rows, phi = 40_000, Mixture(MEANS, WEIGHTS, std=0.7, sigma_max=400.0)
    x = phi(normal(rows, 3))
    mode = torch.cdist(x, MEANS).argmin(1)
    share = torch.bincount(mode, minlength=3) / rows
    assert bool(
        ((share - WEIGHTS).abs() < 5 * (WEIGHTS * (1 - WEIGHTS) / rows).sqrt() + 0.01).all()
    )
    variance = (x - MEANS[mode]).square().mean()
    assert abs(float(variance) - 0.49) < 5 * 0.49 * math.sqrt(2 / (3 * rows)) + 0.005


def test_log_density_is_that_of_the_sum_of_gaussians() -> None:
    x = normal(20, 3, seed=1) * 4
    parts = [
        torch.distributions.MultivariateNormal(
            m, 0.49 * torch.eye(3, dtype=torch.float64)
        ).log_prob(x)
        for m in MEANS
    ]
    expected = torch.logsumexp(torch.stack(parts, 1) + WEIGHTS.log(), 1)
    torch.testing.assert_close(Mixture(MEANS, WEIGHTS, std=0.7).log_density(x), expected)


def test_denoiser_is_tweedies_formula() -> None:
    """D(x) = x + sigma^2 grad log p_sigma(x), p_sigma the mixture with components of variance tau^2
    + sigma^2."""
    for sigma in [0.3, 2.0, 20.0]:
        x = (normal(6, 3, seed=2) * (4 + sigma)).requires_grad_(True)
        blurred = Mixture(MEANS, WEIGHTS, std=math.hypot(0.7, sigma), sigma_max=1e4)
        (score,) = torch.autograd.grad(blurred.log_density(x).sum(), x)
        torch.testing.assert_close(
            Mixture(MEANS, WEIGHTS, std=0.7).denoiser(x.detach(), sigma),
            x.detach() + sigma**2 * score,
        )


def test_flow_of_the_denoiser_integrated_by_heun_comes_to_the_same_end() -> None:
    phi = Mixture(MEANS, WEIGHTS, std=0.7, sigma_max=80.0, num_steps=200)
    z = normal(8, 3, seed=3)
    levels = torch.cat(
        [
            torch.logspace(math.log10(80.0), -4, 4000, dtype=torch.float64),
            torch.zeros(1, dtype=torch.float64),
        ]
    )
    x = z * math.hypot(80.0, 0.7)
    for now, after in itertools.pairwise(levels):
        slope = (x - phi.denoiser(x, now)) / now
        guess = x + (after - now) * slope
        x = (
            guess
            if after == 0
            else x + 0.5 * (after - now) * (slope + (guess - phi.denoiser(guess, after)) / after)
        )
    torch.testing.assert_close(phi(z), x, rtol=1e-3, atol=1e-3)


def test_one_component_is_affine_and_uncoupled_directions_are_kept() -> None:
    phi = Mixture(MEANS[:1], std=0.5, sigma_max=1e6)
    z = normal(5, 3, seed=4)
    torch.testing.assert_close(phi(z), 0.5 * z + MEANS[0], rtol=1e-5, atol=1e-4)
    wide = Mixture(torch.cat([MEANS, torch.zeros(3, 5, dtype=torch.float64)], 1), WEIGHTS)
    z = normal(5, 8, seed=5)
    torch.testing.assert_close(wide(z)[:, 3:], z[:, 3:])


def test_the_flow_starts_far_beyond_the_means() -> None:
    assert Mixture(100.0 * MEANS).sigma_max == pytest.approx(
        2000.0 * float(MEANS.norm(dim=1).max())
    )
    assert Mixture(0.1 * MEANS).sigma_max == 80.0


def test_bad_settings_are_refused() -> None:
    for settings, says in [
        ({"means": MEANS[0]}, "finite means"),
        ({"means": MEANS * math.nan}, "finite means"),
        ({"weights": WEIGHTS[:2]}, "one positive weight"),
        ({"weights": WEIGHTS * 0}, "one positive weight"),
        ({"std": 0.0}, "std must be a finite number above 0, got 0.0"),
        ({"num_steps": 0}, "num_steps must be a whole number of at least 1, got 0"),
        (
            {"sigma_max": 0.5},
            "sigma_max .with std below it. must be a finite number above 1, got 0.5",
        ),
    ]:
        with pytest.raises(ConfigError, match=says):
            nw.maps.Mixture(**{"means": MEANS, **settings})
