r"""The integration of dx/dt = v(x, t) on a fixed grid, with three ways to its gradient.

- direct: autograd through every step, which keeps every activation;
- checkpoint: the same numbers, with one step's activations in memory at a time;
- adjoint: $\dot a = -(\partial v / \partial x)^T a$, $a(t_1) = \nabla_x L$, solved backwards by the
  same method, with one call's activations in memory at a time.

The end is bitwise the same for all three. The adjoint's gradient, which can be differentiated once,
is off by $O(h)$ for Euler, $O(h^3)$ for Heun and $O(h^4)$ for Kutta's 3/8 rule. Forward-mode
derivatives always go through the steps: they keep nothing.
Reference: Chen et al., Neural Ordinary Differential Equations, 2018, Algorithm 1.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual
from torch.utils.checkpoint import checkpoint

from .._checks import one_of, whole
from ..errors import ConfigError, MissingExtraError

GRADIENTS = ("direct", "checkpoint", "adjoint")
CALLS = {"euler": 1, "heun": 2, "rk4": 4}  # evaluations of the field in one step
SOLVERS = tuple(CALLS)

Field = Callable[[Tensor, Tensor], Tensor]  # dx/dt of x (B, *shape) and a scalar t


def check_integration(
    solver: str, gradient: str, num_steps: int, solvers: tuple[str, ...] = SOLVERS, least: int = 1
) -> int:
    """The number of steps, if all is allowed; MissingExtraError for an adjoint without extra."""
    one_of("solver", solver, solvers)
    if one_of("gradient", gradient, GRADIENTS) == "adjoint":
        _odeint()
    return whole("num_steps", num_steps, least)


def integrate(
    field: Field, x: Tensor, times: list[float], solver: str, gradient: str
) -> Iterator[Tensor]:
    """The states (B, *shape) at each of times[1:], from x at times[0]."""
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
    """The state after one step, which starts from x at t and ends at `after`."""

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
    """`advance`, whose backward pass solves the adjoint equation over the step with torchdiffeq."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, field: Field, t: float, after: float, solver: str) -> Tensor:
        end = advance(field, x, t, after, solver)
        ctx.save_for_backward(end)
        ctx.step = field, t, after, solver
        return end

    @staticmethod
    def backward(ctx: Any, a: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            hint = "use gradient='direct' or 'checkpoint'"
            raise ConfigError(f"the adjoint's gradient cannot be differentiated again: {hint}")
        (end,), (field, t, after, solver) = ctx.saved_tensors, ctx.step

        def augmented(time: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                x = state[0].detach().requires_grad_()
                v = field(x, time)
            if not v.requires_grad:  # a field that does not depend on x
                return v, torch.zeros_like(x)
            (pull,) = torch.autograd.grad(v, x, -state[1], materialize_grads=True)
            return v.detach(), pull

        span = torch.tensor([after, t], dtype=torch.float64, device=end.device)
        method = {"heun": "heun2"}.get(solver, solver)
        _, adjoint = _odeint()(augmented, (end, a), span, method=method)
        return adjoint[-1], None, None, None, None


def _odeint() -> Callable[..., Any]:
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise MissingExtraError("torchdiffeq", "ode") from error
    return odeint
