"""The ODE of a velocity field as a deterministic map from noise to data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from .._checks import real
from .._repr import readable
from ..errors import ConfigError
from .generator import check_deterministic, shape_of, unwrapped
from .integrate import CALLS, check_integration, integrate


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Flow:
    r"""Phi(z) by integrating a velocity field: a continuous normalising flow, or flow matching.

    $$\frac{dx}{dt} = v(x, t), \qquad x(t_0) = z \sim N(0, I), \qquad \Phi(z) = x(t_1)$$
    A kernel with an accept step stays exact under the adjoint's gradient, since its proposal may
    use any deterministic drift; an unadjusted kernel is biased by it.
    Reference: Lipman et al., Flow Matching for Generative Modeling, 2023.

    Arguments:
        velocity: v(x, t), (B, *shape) and (B,) -> (B, *shape), deterministic and row by row; one of
            diffusers' may return its output object.
        shape: of one z and one x.
        t_span: (time of the noise, time of the data).
        num_steps: equal steps.
        solver: "euler" (one network call a step), "heun" (two) or "rk4" (four).
        gradient: "direct", "checkpoint" or "adjoint" (needs the extra `ode`), as `ProbabilityFlow`.

    Raises:
        ConfigError: a value that is not allowed; active batch normalisation or dropout.
        MissingExtraError: gradient "adjoint" without torchdiffeq.

    Example:
        >>> phi = nw.maps.Flow(lambda x, t: -x, shape=(2,), num_steps=100)  # x(1) = z / e
        >>> phi(torch.ones(1, 2)), phi.nfe
        (tensor([[0.3679, 0.3679]]), 200)
    """

    velocity: Callable[[Tensor, Tensor], Any]
    shape: tuple[int, ...]
    t_span: tuple[float, float] = (0.0, 1.0)
    num_steps: int = 20
    solver: str = "heun"
    gradient: str = "direct"
    data_shape: tuple[int, ...] = field(init=False, repr=False)
    nfe: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.velocity):
            raise ConfigError(f"Flow needs a module or function v(x, t), got {self.velocity!r}")
        check_deterministic("Flow", "velocity", self.velocity)
        shape, span = shape_of("Flow's shape", self.shape), self.t_span
        ends = tuple(span) if isinstance(span, tuple | list) else ()
        if len(ends) != 2 or ends[0] == ends[1]:
            raise ConfigError(f"t_span must be two different numbers (noise, data), got {span!r}")
        span = real("t_span[0]", ends[0]), real("t_span[1]", ends[1])
        steps = check_integration(self.solver, self.gradient, self.num_steps)
        nfe = CALLS[self.solver] * steps
        vars(self).update(shape=shape, data_shape=shape, t_span=span, num_steps=steps, nfe=nfe)

    def __call__(self, z: Tensor) -> Tensor:
        """(B, *shape) -> (B, *shape)."""
        *_, x = self.path(z)
        return x

    def path(self, z: Tensor) -> Iterator[Tensor]:
        """The num_steps + 1 states of the solver, (B, *shape), from z to Phi(z)."""
        times = np.linspace(*self.t_span, self.num_steps + 1).tolist()
        yield z
        yield from integrate(self._field, z, times, self.solver, self.gradient)

    def _field(self, x: Tensor, t: Tensor) -> Tensor:
        v = unwrapped("Flow's velocity", self.velocity(x, t.repeat(x.shape[0])))
        if v.shape != x.shape:
            got, wanted = tuple(v.shape), tuple(x.shape)
            raise ConfigError(f"Flow's velocity must return x's shape {wanted}, got {got}")
        return v.to(x.dtype)
