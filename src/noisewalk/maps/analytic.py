"""Maps whose pushforward of N(0, I) is known in closed form: the ground truth of the tests."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._repr import readable
from ..errors import ConfigError


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Affine:
    """x = M z + c, so x ~ N(c, M M^T), and a linear-Gaussian measurement's posterior is Gaussian.

    Arguments:
        matrix: M, (p, d).
        offset: c, (p,); None means 0.

    Raises:
        ConfigError: a matrix or an offset of another shape.

    Example:
        >>> import torch, noisewalk as nw
        >>> nw.maps.Affine(torch.tensor([[1.0, 2.0]]))(torch.tensor([[3.0, 4.0]]))
        tensor([[11.]])
    """

    matrix: Tensor
    offset: Tensor | None = None
    nfe: int = 1
    shape: tuple[int, ...] = field(init=False, repr=False)  # (d,)
    data_shape: tuple[int, ...] = field(init=False, repr=False)  # (p,)

    def __post_init__(self) -> None:
        shape = tuple(self.matrix.shape)
        if len(shape) != 2:
            raise ConfigError(f"Affine needs a matrix (p, d), got a tensor of shape {shape}")
        if self.offset is not None and self.offset.shape != shape[:1]:
            got = tuple(self.offset.shape)
            raise ConfigError(f"Affine needs an offset of shape ({shape[0]},), got {got}")
        vars(self).update(shape=shape[1:], data_shape=shape[:1])

    def __call__(self, z: Tensor) -> Tensor:
        """(B, d) -> (B, p)."""
        x = z @ self.matrix.to(z).T
        return x if self.offset is None else x + self.offset.to(z)


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Warp:
    """x_i = z_i + a sin(z_i), elementwise, invertible, with an exact density.

    Arguments:
        shape: of one z and one x.
        amplitude: a, with |a| < 1.

    Raises:
        ConfigError: an amplitude for which the map cannot be inverted.

    Example:
        >>> import torch, noisewalk as nw
        >>> phi, z = nw.maps.Warp((3,), amplitude=0.8), torch.tensor([[-1.0, 0.0, 2.0]])
        >>> torch.allclose(phi.inverse(phi(z)), z.double())
        True
    """

    shape: tuple[int, ...]
    amplitude: float = 0.8
    nfe: int = 1
    data_shape: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not abs(self.amplitude) < 1:
            raise ConfigError(f"Warp needs |amplitude| < 1 to be invertible, got {self.amplitude}")
        vars(self).update(data_shape=self.shape)

    def __call__(self, z: Tensor) -> Tensor:
        """(B, *shape) -> (B, *shape)."""
        return z + self.amplitude * torch.sin(z)

    def inverse(self, x: Tensor) -> Tensor:
        """z with Phi(z) = x, (B, *shape) float64, by bisection to the last digits."""
        x = x.to(torch.float64)
        low, high = x - abs(self.amplitude), x + abs(self.amplitude)
        for _ in range(60):
            middle = (low + high) / 2
            above = self(middle) > x
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return (low + high) / 2

    def log_density(self, x: Tensor) -> Tensor:
        """The log density at x, sum log N(z) - log(1 + a cos z) at z = inverse(x), (B,) float64."""
        z = self.inverse(x)
        normal = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
        return (normal - torch.log1p(self.amplitude * torch.cos(z))).flatten(1).sum(1)
