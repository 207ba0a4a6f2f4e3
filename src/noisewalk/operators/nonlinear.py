"""Nonlinear operators: clipped exposure and phase retrieval."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .._checks import real
from .arrays import floating, sides


@dataclass(frozen=True)
class HDR:
    r"""Clipped exposure: $A(x) = \min(\max(f x, -1), 1)$. High dynamic range imaging inverts it.

    Arguments:
        factor: f > 0; above 1 it clips, and a clipped pixel has no gradient.

    Raises:
        ConfigError: if the factor is not a positive finite number.

    Example:
        >>> nw.operators.HDR(2.0)(torch.tensor([[0.25, 0.75, -0.75]]))
        tensor([[ 0.5000,  1.0000, -1.0000]])
    """

    factor: float = 2.0

    def __post_init__(self) -> None:
        vars(self).update(factor=real("HDR's factor", self.factor, above=0))

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *x) -> (B, *x)."""
        return torch.clamp(self.factor * x, -1.0, 1.0)


MOST = 64.0


@dataclass(frozen=True)
class PhaseRetrieval:
    """$A(x) = |F P x|$, P padding by zeros and F the orthonormal 2-D transform of each channel.

    Each side of H pixels grows by int(r H / 8) zeros at both ends. The zero frequency comes first.
    A cannot tell x from -x, from x turned by 180 degrees, nor from x moved within the zeros around
    it: score an estimate up to the turn. A magnitude of 0 has the derivative 0.
    Reference: Chung et al., Diffusion Posterior Sampling for General Noisy Inverse Problems, 2023.

    Arguments:
        oversample: r > 0, at most 64.

    Raises:
        ConfigError: if the ratio is outside this range.

    Example:
        >>> nw.operators.PhaseRetrieval(1.0)(torch.rand(1, 1, 8, 16)).shape
        torch.Size([1, 1, 10, 20])
    """

    oversample: float = 1.0

    def __post_init__(self) -> None:
        oversample = real("PhaseRetrieval's oversample", self.oversample, above=0, most=MOST)
        vars(self).update(oversample=oversample)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H + 2 p, W + 2 q), nonnegative."""
        floating("PhaseRetrieval", x)
        top, left = self._padding(tuple(x.shape[1:]))
        padded = F.pad(x.to(torch.promote_types(x.dtype, torch.float32)), (left, left, top, top))
        return torch.fft.fft2(padded, norm="ortho").abs().to(x.dtype)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y; ConfigError if x is no image."""
        top, left = self._padding(shape)
        return (*shape[:-2], shape[-2] + 2 * top, shape[-1] + 2 * left)

    def input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of x for this shape of y; where none has it, the next smaller one."""
        share = self.oversample / 8
        found = [
            next(n for n in range(y, -1, -1) if n + 2 * int(share * n) <= y) for y in shape[-2:]
        ]
        return (*shape[:-2], *found)

    def _padding(self, shape: tuple[int, ...]) -> tuple[int, int]:
        height, width = sides("PhaseRetrieval", shape)
        return int(self.oversample / 8 * height), int(self.oversample / 8 * width)
