r"""A velocity field's ODE as a deterministic map from noise to data: continuous normalising flows,
flow matching, rectified flows.

$$\frac{dx}{dt} = v(x, t), \qquad x(t_0) = z, \qquad \Phi(z) = x(t_1),$$
on a fixed grid, by Euler's method (order 1), Heun's (2) or Kutta's 3/8 rule (4). There are three
ways to the gradient of $\Phi$:

- direct: autograd through every step, which keeps every activation;
- checkpoint: the same numbers, with one step's activations in memory at a time;
- adjoint: the continuous adjoint equation $\dot a = -(\partial v / \partial x)^T a$,
  $a(t_1) = \nabla_x L$, solved backwards by the same method on the same grid, each step from the
  forward pass's own state, with one call's activations in memory at a time.

Phi(z) is bitwise the same for all three. The adjoint's gradient differs from that of the discrete
Phi by $O(h)$ for Euler, $O(h^3)$ for Heun and $O(h^4)$ for Kutta (the last two not at all where v
is linear in x), so with few steps it is rough. A kernel with a Metropolis step stays exact under
it, since its proposal may use any deterministic drift; an unadjusted one is biased by it. It can be
differentiated once. Forward-mode derivatives always go through the steps, whatever `gradient` says:
they keep nothing.

References: Chen et al., Neural Ordinary Differential Equations, 2018, Algorithm 1; Lipman et al.,
Flow Matching for Generative Modeling, 2023.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual
from torch.utils.checkpoint import checkpoint

from .._repr import readable
from ..errors import ConfigError, MissingExtraError
from .generator import BATCH_DEPENDENT

GRADIENTS = ("direct", "checkpoint", "adjoint")
CALLS = {"euler": 1, "heun": 2, "rk4": 4}
"""Evaluations of the field in one step."""

Field = Callable[[Tensor, Tensor], Tensor]
"""dx/dt as a function of x (B, *shape) and t, a scalar tensor of x's dtype."""


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Flow:
    """Phi(z) by integrating a velocity field from t_span[0], where x = z ~ N(0, I), to t_span[1],
    where x is data.

    Arguments:
        velocity: v(x, t), x (B, *shape), t (B,) of x's dtype -> (B, *shape); a module or function,
            deterministic and row by row.
        shape: of one z and one x.
        t_span: (time of the noise, time of the data); (1.0, 0.0) for models that put the noise at
            1.
        num_steps: equal steps.
        solver: "euler" (one network call a step), "heun" (two) or "rk4" (four).
        gradient: "direct", "checkpoint" or "adjoint" (needs the extra `ode`).

    Raises:
        ConfigError: a value that is not allowed, or a module with active batch normalisation or
            dropout.
        MissingExtraError: gradient "adjoint" without torchdiffeq.
    """

    velocity: Callable[[Tensor, Tensor], Tensor]
    shape: tuple[int, ...]
    t_span: tuple[float, float] = (0.0, 1.0)
    num_steps: int = 20
    solver: str = "heun"
    gradient: str = "direct"

    def __post_init__(self) -> None:
        if not callable(self.velocity):
            raise ConfigError(f"Flow needs a module or function v(x, t), got {self.velocity!r}")
        if isinstance(self.velocity, nn.Module):
            active = [
                name or "it"
                for name, layer in self.velocity.named_modules()
                if layer.training and isinstance(layer, BATCH_DEPENDENT)
            ]
            if active:
                raise ConfigError(
                    f"Flow needs a deterministic module, but {', '.join(active)} is in "
                    "training mode: call velocity.eval() first"
                )
        for name, value in (("shape", _shape(self.shape)), ("t_span", _span(self.t_span))):
            object.__setattr__(self, name, value)
        check_integration(self.solver, self.gradient, self.num_steps)

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of one x."""
        return self.shape

    @property
    def nfe(self) -> int:
        """Network calls per evaluation."""
        return CALLS[self.solver] * self.num_steps

    def __call__(self, z: Tensor) -> Tensor:
        """Map.

        Arguments:
            z: (B, *shape).

        Returns:
            (B, *shape).
        """
        *_, x = self.path(z)
        return x

    def path(self, z: Tensor) -> Iterator[Tensor]:
        """The solver's states.

        Arguments:
            z: (B, *shape).

        Yields:
            num_steps + 1 tensors (B, *shape), from z to Phi(z).
        """
        times = torch.linspace(*self.t_span, self.num_steps + 1, dtype=torch.float64).tolist()
        yield z
        yield from integrate(self._field, z, times, self.solver, self.gradient)

    def _field(self, x: Tensor, t: Tensor) -> Tensor:
        v = self.velocity(x, t.repeat(x.shape[0]))
        if v.shape != x.shape:
            raise ConfigError(
                f"Flow's velocity returned shape {tuple(v.shape)} for x of shape "
                f"{tuple(x.shape)}: it must return x's shape"
            )
        return v.to(x.dtype)


def check_integration(
    solver: str,
    gradient: str,
    num_steps: int,
    solvers: tuple[str, ...] = tuple(CALLS),
    fewest: int = 1,
) -> None:
    """Validate what a flow is integrated with.

    Arguments:
        solver: its name.
        gradient: its name.
        num_steps: steps.
        solvers: the allowed ones.
        fewest: the least number of steps.

    Raises:
        ConfigError: an unknown name or too few steps.
        MissingExtraError: gradient "adjoint" without torchdiffeq.
    """
    for name, value, allowed in (("solver", solver, solvers), ("gradient", gradient, GRADIENTS)):
        if value not in allowed:
            raise ConfigError(
                f"unknown {name} {value!r}: choose {', '.join(map(repr, allowed[:-1]))} or "
                f"{allowed[-1]!r}"
            )
    if isinstance(num_steps, bool) or not isinstance(num_steps, int) or num_steps < fewest:
        raise ConfigError(
            f"num_steps must be a whole number of at least {fewest}, got {num_steps!r}"
        )
    if gradient == "adjoint":
        _odeint()


def integrate(
    field: Field, x: Tensor, times: list[float], solver: str, gradient: str
) -> Iterator[Tensor]:
    """Integrate a field along a grid.

    Arguments:
        field: dx/dt.
        x: (B, *shape) state at times[0].
        times: the grid, rising or falling.
        solver: a key of `CALLS`.
        gradient: one of `GRADIENTS`.

    Yields:
        (B, *shape) the state at each of times[1:].
    """
    forward_mode = unpack_dual(x).tangent is not None
    for t, after in pairwise(times):
        if gradient == "direct" or forward_mode or not torch.is_grad_enabled():
            x = advance(field, x, t, after, solver)
        elif gradient == "checkpoint":
            x = checkpoint(advance, field, x, t, after, solver, use_reentrant=False)
        else:
            x = _AdjointStep.apply(x, field, t, after, solver)
        yield x


def advance(field: Field, x: Tensor, t: float, after: float, solver: str) -> Tensor:
    """One step.

    Arguments:
        field: dx/dt.
        x: (B, *shape) state at t.
        t: where the step starts.
        after: where it ends.
        solver: a key of `CALLS`.

    Returns:
        (B, *shape) the state at `after`.
    """

    def v(at: Tensor, time: float) -> Tensor:
        return field(at, torch.tensor(time, dtype=at.dtype, device=at.device))

    h = after - t
    k1 = v(x, t)
    if solver == "euler":
        return x + h * k1
    if solver == "heun":
        return x + h * 0.5 * (k1 + v(x + h * k1, after))
    k2 = v(x + h / 3 * k1, t + h / 3)
    k3 = v(x + h * (k2 - k1 / 3), t + h * 2 / 3)
    k4 = v(x + h * (k1 - k2 + k3), after)
    return x + h / 8 * (k1 + 3 * (k2 + k3) + k4)


class _AdjointStep(torch.autograd.Function):
    """`advance`, whose backward pass solves the adjoint equation over the step with torchdiffeq's
    method of the same name."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, field: Field, t: float, after: float, solver: str) -> Tensor:
        end = advance(field, x, t, after, solver)
        ctx.save_for_backward(end)
        ctx.step = field, t, after, solver
        return end

    @staticmethod
    def backward(ctx: Any, a: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise ConfigError(
                "the adjoint's gradient cannot be differentiated again (create_graph=True): "
                "use gradient='direct' or 'checkpoint'"
            )
        (end,), (field, t, after, solver) = ctx.saved_tensors, ctx.step

        def augmented(time: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                x = state[0].detach().requires_grad_()
                v = field(x, time)
            if not v.requires_grad:  # a field that does not depend on x
                return v, torch.zeros_like(x)
            return v.detach(), torch.autograd.grad(
                v, x, -state[1], allow_unused=True, materialize_grads=True
            )[0]

        span = torch.tensor([after, t], dtype=torch.float64, device=end.device)
        _, adjoint = _odeint()(
            augmented, (end, a), span, method={"heun": "heun2"}.get(solver, solver)
        )
        return adjoint[-1], None, None, None, None


def _odeint() -> Callable[..., Any]:
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise MissingExtraError("torchdiffeq", "ode") from error
    return odeint


def _shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    sides = tuple(shape) if isinstance(shape, tuple | list) else ()
    if not sides or any(
        isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in sides
    ):
        raise ConfigError(
            "Flow's shape must be a tuple of positive whole numbers such as (3, 64, 64), got "
            f"{shape!r}"
        )
    return sides


def _span(span: tuple[float, float]) -> tuple[float, float]:
    ends = tuple(span) if isinstance(span, tuple | list) else ()
    numbers = [float(end) for end in ends if isinstance(end, int | float) and math.isfinite(end)]
    if len(ends) != 2 or len(numbers) != 2 or numbers[0] == numbers[1]:
        raise ConfigError(
            "t_span must be two different numbers (time of the noise, time of the data), got "
            f"{span!r}"
        )
    return numbers[0], numbers[1]
