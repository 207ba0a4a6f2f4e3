"""The posterior with its likelihood to a power: the targets between the prior and the posterior."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..kernels.metropolis import column
from ..types import Product, State


@dataclass(frozen=True, eq=False)
class Tempered:
    """The target with its likelihood to the power beta, (N,) one power per image."""

    target: Any
    beta: Tensor

    @property
    def num_images(self) -> int:
        """N."""
        return self.target.num_images

    @property
    def differentiable(self) -> bool:
        """As the target."""
        return self.target.differentiable

    def __call__(self, z: Tensor) -> State:
        """The target's evaluation with nll and grad times beta."""
        return self.temper(self.target(z))

    @property
    def value(self) -> Callable[[Tensor, Tensor, int], State] | None:
        """`NoisePosterior.value` with nll times beta; None where the target has none."""
        whole = getattr(self.target, "value", None)
        if whole is None:
            return None

        def tempered(z: Tensor, rows: Tensor, num_rows: int) -> State:
            state: State = whole(z, rows, num_rows)
            return state._replace(nll=self.beta[rows // (num_rows // len(self.beta))] * state.nll)

        return tempered

    def temper(self, state: State) -> State:
        """An evaluation of the target with nll and grad times beta."""
        beta = self.beta.repeat_interleave(len(state.nll) // len(self.beta))
        return state._replace(
            nll=beta * state.nll, grad=column(beta.to(state.grad.dtype), state.grad) * state.grad
        )

    def untemper(self, state: State) -> State:
        """The inverse of `temper`."""
        return Tempered(self.target, 1.0 / self.beta).temper(state)

    def linearize(self, z: Tensor) -> tuple[Tensor, Product, Product]:
        """As the target's."""
        return self.target.linearize(z)

    def curvature(self, mean: Tensor) -> Tensor:
        """The target's times beta."""
        weight = self.target.curvature(mean)
        beta = self.beta.to(weight).repeat_interleave(len(weight) // len(self.beta))
        return weight * column(beta, weight)
