r"""What the fitted references N(m, H^-1) of the kernels share.

$$H = I + U \Lambda U^T, \qquad m = z_0 - H^{-1} (z_0 + g_0) .$$
With u = z - m the rest of the log posterior is -psi,
$$\psi(z) = L + \tfrac12 |z|^2 - \tfrac12 u^T H u, \qquad \nabla \psi = g + m - U \Lambda U^T u,$$
$$\psi - \psi' = L - L' + \langle z - z', m \rangle
- \tfrac12 \langle U^T (z - z'), \Lambda U^T (u + u') \rangle .$$
For N(0, I) all of this is m = 0, Lambda = 0 and psi = L.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError
from ..types import State
from .standard import STANDARD, Standard


class Reference(ABC):
    """A reference N(m, H^-1) with H = I + U Lambda U^T, one per image; rows are image-major.

    A subclass has the fields mean (N, *shape) and eigenvalues (N, r), Lambda, and says what U is.
    """

    mean: Tensor
    eigenvalues: Tensor

    def check_finite(self) -> None:
        """ConfigError where m or Lambda cannot be those of a Gaussian."""
        if not bool(
            torch.isfinite(self.eigenvalues).all()
            and (self.eigenvalues >= 0).all()
            and torch.isfinite(self.mean).all()
        ):
            raise ConfigError(
                "a preconditioner's mean must be finite and its eigenvalues finite and not "
                "negative: was the warm start finite?"
            )

    @abstractmethod
    def project(self, v: Tensor) -> Tensor:
        """U^T v of (B, *shape), as (N, B / N, r)."""

    @abstractmethod
    def spread(self, coefficients: Tensor, like: Tensor) -> Tensor:
        """U c of (N, B / N, r), in the shape and type of `like`, (B, *shape)."""

    def offset(self, z: Tensor) -> Tensor:
        """u = z - m."""
        return z - self._rows(z)

    def position(self, u: Tensor) -> Tensor:
        """z = m + u."""
        return u + self._rows(u)

    @abstractmethod
    def power(self, v: Tensor, exponent: float) -> Tensor:
        """H^p v for any real p."""

    def inverse(self, v: Tensor) -> Tensor:
        """H^-1 v."""
        return self.power(v, -1.0)

    def newton(self, state: State) -> Tensor:
        """(N, *shape) m, the Newton step from where H was computed, mean over an image's rows."""
        steps = state.z - self.power(state.z + state.grad, -1.0)
        return steps.unflatten(0, (len(self.mean), -1)).mean(1)

    def residual_gradient(self, state: State) -> Tensor:
        """Gradient of psi."""
        z = state.z
        stiff = self.spread(self.project(self.offset(z)) * self.eigenvalues[:, None].to(z.dtype), z)
        return state.grad + self._rows(z) - stiff

    def drop(self, here: State, there: State) -> Tensor:
        """(B,) float64 psi(here) - psi(there), without a difference of large numbers."""
        z, z_ = here.z.to(torch.float64), there.z.to(torch.float64)
        linear = ((z - z_) * self._rows(z)).flatten(1).sum(1)
        moved, total = self.project(z - z_), self.project(self.offset(z) + self.offset(z_))
        stiff = (moved * self.eigenvalues[:, None].to(torch.float64) * total).sum(-1).flatten()
        return here.nll - there.nll + linear - 0.5 * stiff

    def pack(self) -> dict[str, Any]:
        """The name and the tensors, for a run's state; `refresh.unpack` is the inverse."""
        return {"name": type(self).__name__, **vars(self)}

    def _rows(self, like: Tensor) -> Tensor:
        return self.mean.to(like.dtype).repeat_interleave(like.shape[0] // self.mean.shape[0], 0)


def reference_of(preconditioner: Reference | None) -> Standard | Reference:
    """The Gaussian that a kernel is built on: its preconditioner, or N(0, I)."""
    return STANDARD if preconditioner is None else preconditioner
