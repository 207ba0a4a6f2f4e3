"""The mixture's flow: its pushforward is the mixture, its denoiser is the posterior mean, its cost
does not grow with d."""

import itertools
import math

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.maps import Mixture

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
