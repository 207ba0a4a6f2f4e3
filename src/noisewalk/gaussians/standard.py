"""The standard reference N(0, I), on which a kernel is built without a preconditioner."""

from dataclasses import dataclass

from torch import Tensor

from ..types import State


@dataclass(frozen=True)
class Standard:
    """The reference N(0, I)."""

    def offset(self, z: Tensor) -> Tensor:
        """u = z."""
        return z

    def position(self, u: Tensor) -> Tensor:
        """z = u."""
        return u

    def power(self, v: Tensor, exponent: float) -> Tensor:
        """H^p v = v."""
        return v

    def residual_gradient(self, state: State) -> Tensor:
        """Gradient of psi, g."""
        return state.grad

    def drop(self, here: State, there: State) -> Tensor:
        """psi - psi' = L - L', (B,) float64."""
        return here.nll - there.nll


STANDARD = Standard()
