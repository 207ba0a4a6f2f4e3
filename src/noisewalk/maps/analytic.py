r"""Maps whose pushforward of N(0, I) is known in closed form: the ground truth of the tests.

- Affine: $\Phi(z) = M z + c$, so $x \sim N(c, M M^T)$, and under a linear-Gaussian measurement the
  posterior is Gaussian.
- Warp: $\Phi(z)_i = z_i + a \sin z_i$ with $|a| < 1$, monotone, so
  $\log p(x) = \sum_i \log N(z_i) - \log(1 + a \cos z_i)$ at $z = \Phi^{-1}(x)$.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .._repr import readable
from ..errors import ConfigError


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Affine:
    """x = M z + c.

    Arguments:
        matrix: (p, d) M.
        offset: (p,) c; None means 0.
    """

    matrix: Tensor
    offset: Tensor | None = None
    nfe: int = 1

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2:
            raise ConfigError(
                f"Affine needs a matrix (p, d), got a tensor of shape {tuple(self.matrix.shape)}"
            )
        if self.offset is not None and self.offset.shape != self.matrix.shape[:1]:
            raise ConfigError(
                f"Affine needs an offset of shape ({self.matrix.shape[0]},), got "
                f"{tuple(self.offset.shape)}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one z: (d,)."""
        return (self.matrix.shape[1],)

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of one x: (p,)."""
        return (self.matrix.shape[0],)

    def __call__(self, z: Tensor) -> Tensor:
        """Map.

        Arguments:
            z: (B, d).

        Returns:
            (B, p).
        """
        x = z @ self.matrix.to(z).T
        return x if self.offset is None else x + self.offset.to(z)


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Warp:
    """x_i = z_i + a sin(z_i), elementwise and invertible.

    Arguments:
        shape: of one z and one x.
        amplitude: a, with |a| < 1.
    """

    shape: tuple[int, ...]
    amplitude: float = 0.8
    nfe: int = 1

    def __post_init__(self) -> None:
        if not abs(self.amplitude) < 1:
            raise ConfigError(f"Warp needs |amplitude| < 1 to be invertible, got {self.amplitude}")

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of one x."""
        return self.shape

    def __call__(self, z: Tensor) -> Tensor:
        """Map.

        Arguments:
            z: (B, *shape).

        Returns:
            (B, *shape).
        """
        return z + self.amplitude * torch.sin(z)

    def inverse(self, x: Tensor) -> Tensor:
        """Solve Phi(z) = x by bisection, which monotonicity makes safe, to float64's last digits.

        Arguments:
            x: (B, *shape).

        Returns:
            (B, *shape) float64.
        """
        x = x.to(torch.float64)
        low, high = x - abs(self.amplitude), x + abs(self.amplitude)
        for _ in range(60):
            middle = (low + high) / 2
            above = self(middle) > x
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        return (low + high) / 2

    def log_density(self, x: Tensor) -> Tensor:
        """Log density of the pushforward of N(0, I).

        Arguments:
            x: (B, *shape).

        Returns:
            (B,) float64.
        """
        z = self.inverse(x)
        terms = (
            -0.5 * z**2 - 0.5 * math.log(2 * math.pi) - torch.log1p(self.amplitude * torch.cos(z))
        )
        return terms.flatten(1).sum(1)
