"""The rows of a measurement: which entries count, sums over these, and simulated noise."""

import torch
from torch import Tensor

from ..errors import ConfigError
from ..noise import SIMULATE, Noise


def mask_of(observed: Tensor | None, like: Tensor) -> Tensor:
    """`observed` in the shape of `like`; ConfigError unless it is a bool tensor that broadcasts."""
    if observed is None:
        return torch.ones((), dtype=torch.bool, device=like.device).expand(like.shape)
    if observed.dtype != torch.bool:
        raise ConfigError(f"observed must be a bool tensor, got {observed.dtype}")
    try:
        return observed.to(like.device).expand(like.shape)
    except RuntimeError as error:
        got, wanted = tuple(observed.shape), tuple(like.shape)
        raise ConfigError(f"observed of shape {got} does not broadcast to y's {wanted}") from error


def float64_pair(mean: Tensor, y: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """A(x) and y in float64, 0 where unobserved, and the mask; ConfigError for different shapes."""
    if mean.shape != y.shape:
        got = f"{tuple(mean.shape)} and {tuple(y.shape)}"
        raise ConfigError(f"A(x) and y must have the same shape, got {got}")
    mask = mask_of(observed, mean)
    at, measured = (v.to(mean.device, torch.float64) for v in (mean, y))
    return torch.where(mask, at, 0.0), torch.where(mask, measured, 0.0), mask


def difference(mean: Tensor, y: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor]:
    """y - A(x) in float64, 0 where unobserved, and the mask."""
    at, measured, mask = float64_pair(mean, y, observed)
    return measured - at, mask


def row_sum(values: Tensor) -> Tensor:
    """(B, *y) -> (B,)."""
    return values.reshape(len(values), -1).sum(1)


def count_of(mask: Tensor) -> Tensor:
    """The number m of observed entries of every row, (B,) float64."""
    return row_sum(mask).to(torch.float64)


def hide(values: Tensor | float, mean: Tensor, observed: Tensor | None) -> Tensor:
    """Values in the shape and type of A(x), 0 where unobserved; of whole numbers, in floats."""
    kind = mean.dtype if mean.is_floating_point() else torch.get_default_dtype()
    return torch.where(mask_of(observed, mean), values, 0.0).to(kind)


def uniforms(mean: Tensor, noise: Noise, count: int = 1) -> Tensor:
    """(B, count, *y) numbers in (0, 1)."""
    _check_rows(mean, noise)
    return noise.uniform((count, *mean.shape[1:]), SIMULATE).to(mean.device)


def normals(mean: Tensor, noise: Noise, shape: tuple[int, ...]) -> Tensor:
    """(B, *shape) standard normal numbers, float64."""
    _check_rows(mean, noise)
    return noise.normal(shape, SIMULATE, torch.float64).to(mean.device)


def _check_rows(mean: Tensor, noise: Noise) -> None:
    if len(noise.image) != len(mean):
        got = f"{len(noise.image)} and {len(mean)}"
        raise ConfigError(f"noise must have one row per row of A(x), got {got}")
