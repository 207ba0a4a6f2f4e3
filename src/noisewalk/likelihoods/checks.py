"""What the likelihoods share: which entries count, the checks of shapes and numbers, sums over one
row."""

import math
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError
from ..noise import SIMULATE, Noise


def positive(owner: str, name: str, value: Any, hint: str = "") -> float:
    """The value as a float; ConfigError unless it is a finite number above 0."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < math.inf:
        raise ConfigError(f"{owner}'s {name} must be a positive finite number{hint}, got {value!r}")
    return float(value)


def mask_of(observed: Tensor | None, like: Tensor) -> Tensor:
    """Bool of the shape of `like`; ConfigError unless `observed` is a bool tensor that broadcasts
    to it."""
    if observed is None:
        return torch.ones((), dtype=torch.bool, device=like.device).expand(like.shape)
    if observed.dtype != torch.bool:
        raise ConfigError(f"observed must be a bool tensor, got {observed.dtype}")
    try:
        return observed.to(like.device).expand(like.shape)
    except RuntimeError as error:
        raise ConfigError(
            f"observed of shape {tuple(observed.shape)} does not broadcast to y's "
            f"{tuple(like.shape)}"
        ) from error


def float64_pair(
    mean: Tensor, y: Tensor, observed: Tensor | None, fill: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """A(x) and y in float64, both `fill` where unobserved, and the mask; ConfigError unless their
    shapes are the same."""
    if mean.shape != y.shape:
        raise ConfigError(
            f"A(x) and y must have the same shape, got {tuple(mean.shape)} and {tuple(y.shape)}"
        )
    mask = mask_of(observed, mean)
    return (
        torch.where(mask, mean.to(torch.float64), fill),
        torch.where(mask, y.to(mean.device, torch.float64), fill),
        mask,
    )


def difference(mean: Tensor, y: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor]:
    """y - A(x) in float64, 0 where unobserved, and the mask."""
    at, measured, mask = float64_pair(mean, y, observed)
    return measured - at, mask


def row_sum(values: Tensor) -> Tensor:
    """(B, *y) -> (B,)."""
    return values.flatten(1).sum(1)


def count_of(mask: Tensor) -> Tensor:
    """Observed entries m of every row, (B,) float64."""
    return row_sum(mask).to(torch.float64)


def mean_square(residual: Tensor, mask: Tensor) -> Tensor:
    """Mean over the observed entries of a residual that is 0 elsewhere; NaN where a row observes
    nothing."""
    return row_sum(residual**2) / count_of(mask)


def spread(variance: float, mean: Tensor, observed: Tensor | None) -> Tensor:
    """Standard deviation of a mean over the observed entries of terms of this variance, (B,)
    float64."""
    return (variance / count_of(mask_of(observed, mean))).sqrt()


def constant_weight(weight: float, mean: Tensor, observed: Tensor | None) -> Tensor:
    """One curvature for every observed entry, in the type of A(x)."""
    return torch.where(mask_of(observed, mean), weight, 0.0).to(mean.dtype)


def uniforms(mean: Tensor, noise: Noise, count: int = 1) -> Tensor:
    """(B, count, *y) numbers in (0, 1) for a simulation of y around A(x)."""
    check_rows(mean, noise)
    return noise.uniform((count, *mean.shape[1:]), SIMULATE).to(mean.device)


def check_rows(mean: Tensor, noise: Noise) -> None:
    """ConfigError unless the noise has a row for every row of A(x)."""
    if len(noise.image) != len(mean):
        raise ConfigError(
            f"noise must have one row per row of A(x), got {len(noise.image)} and {len(mean)}"
        )


def hide(y: Tensor, mean: Tensor, observed: Tensor | None) -> Tensor:
    """A simulated y in the type of A(x), 0 where unobserved."""
    return torch.where(mask_of(observed, mean), y, 0.0).to(mean.dtype)
