"""The random numbers of a simulated y."""

import torch
from torch import Tensor

from ..errors import ConfigError
from ..noise import SIMULATE, Noise


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
