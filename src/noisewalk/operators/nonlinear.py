"""Nonlinear operators that act on each pixel."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .._checks import real


@dataclass(frozen=True)
class HDR:
    r"""Clipped exposure: $A(x) = \min(\max(f x, -1), 1)$. High dynamic range imaging inverts it.

    The gradient is 0 where a pixel is clipped: there y says bright or dark, but not how much.

    Arguments:
        factor: f > 0; above 1 it clips.

    Raises:
        ConfigError: if the factor is not a positive finite number.

    Example:
        >>> import torch, noisewalk as nw
        >>> nw.operators.HDR(2.0)(torch.tensor([[0.25, 0.75, -0.75]]))
        tensor([[ 0.5000,  1.0000, -1.0000]])
    """

    factor: float = 2.0

    def __post_init__(self) -> None:
        vars(self).update(factor=real("HDR's factor", self.factor, above=0))

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *x) -> (B, *x)."""
        return torch.clamp(self.factor * x, -1.0, 1.0)
