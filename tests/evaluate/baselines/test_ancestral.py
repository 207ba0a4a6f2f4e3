from itertools import pairwise

import pytest
import torch
from toys import Scale, Smooth

from noisewalk.errors import ConfigError
from noisewalk.evaluate.baselines import unguided
from noisewalk.maps.ode import karras_sigmas

VARIANCE = torch.tensor([0.01, 0.09, 0.25, 1.0], dtype=torch.float64)


def kept_variance(num_steps: int) -> torch.Tensor:
    """Variance of the last state on a Gaussian prior: the denoiser is linear, so every step is
    autoregressive."""
    sigmas = [*karras_sigmas(num_steps, 0.002, 80.0).tolist(), 0.0]
    variance = torch.full_like(VARIANCE, sigmas[0] ** 2)
    for sigma, lower in pairwise(sigmas):
        slope = (VARIANCE * sigma**2 + lower**2 * sigma**2) / (sigma**2 * (VARIANCE + sigma**2))
        variance = slope**2 * variance + lower**2 * (1 - lower**2 / sigma**2)
    return variance


def test_a_gaussian_prior_is_sampled_with_the_moments_of_the_discrete_chain() -> None:
    count = 4000
    for num_steps in (15, 80):
        x = unguided(
            Scale(VARIANCE),
            2,
            count // 2,
            num_steps,
            rule="text",
            dtype=torch.float64,
            progress=False,
        )
        x, expected = x.flatten(0, 1), kept_variance(num_steps)
        assert ((x.mean(0) / (expected / count).sqrt()).abs() < 5).all()
        assert ((x.var(0) / expected - 1).abs() < 5 * (2 / count) ** 0.5).all()


def test_the_variance_tends_to_that_of_the_prior() -> None:
    few, many = (
        unguided(
            Scale(VARIANCE), 1, 4000, num_steps, rule="text", dtype=torch.float64, progress=False
        )[0].var(0)
        / VARIANCE
        - 1
        for num_steps in (15, 150)
    )
    assert (few < -0.3).all()
    assert (many.abs() < 0.1 + 5 * (2 / 4000) ** 0.5).all()


def test_the_released_rule_clamps_the_estimate_and_the_text_does_not() -> None:
    wide = Scale(torch.full((8,), 4.0, dtype=torch.float64))
    clamped, free = (
        unguided(wide, num_samples=50, num_steps=5, rule=rule, dtype=torch.float64, progress=False)
        for rule in ("released", "text")
    )
    assert clamped.abs().max() == 1
    assert free.abs().max() > 1


def test_type_and_shape_are_as_asked() -> None:
    x = unguided(Smooth(), num_images=2, num_samples=3, num_steps=2, progress=False)
    assert x.shape == (2, 3, 1, 8, 8)
    assert x.dtype == torch.float32


def test_a_value_out_of_range_is_named() -> None:
    least = {"num_images": 1, "num_samples": 1, "num_steps": 2, "seed": 0, "batch_size": 1}
    for argument, value in {**{name: n - 1 for name, n in least.items()}, "rule": "paper"}.items():
        with pytest.raises(ConfigError, match=argument):
            unguided(Smooth(), **{argument: value})  # type: ignore[arg-type]
