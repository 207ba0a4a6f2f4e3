"""Nonlinear operators."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .arrays import positive


@dataclass(frozen=True)
class HDR:
    r"""Clipped exposure, of which high dynamic range imaging is the inverse:
    $A(x) = \min(\max(f x, -1), 1)$.

    The gradient is 0 where a pixel is clipped: such a measurement says that the pixel is bright (or
    dark), not how much.

    Arguments:
        factor: f > 0; above 1 it clips.

    Raises:
        ConfigError: if the factor is not a positive finite number.
    """

    factor: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", positive("HDR", "factor", self.factor, float("inf")))

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *x) -> (B, *x)."""
        return torch.clamp(self.factor * x, -1.0, 1.0)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y: that of x."""
        return tuple(shape)
