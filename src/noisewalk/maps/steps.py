r"""A sampler whose every step is linear in the state and in the network's output.

$$x_0 = c\, z, \qquad x_{k+1} = a_k x_k + b_k F(s_k x_k, t_k), \qquad \Phi(z) = x_n$$
DDIM without noise, Euler's method on the probability flow and on flow matching are all of this
form, whatever the network predicts; the numbers are the schedule's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual
from torch.utils.checkpoint import checkpoint

from .._checks import one_of
from .._repr import readable
from ..errors import ConfigError
from .generator import shape_of, unwrapped


class Schedule(NamedTuple):
    """The numbers of a sampler of n steps."""

    scale: float  # c
    times: tuple[float, ...]  # t_k, (n,)
    inside: tuple[float, ...]  # s_k
    keep: tuple[float, ...]  # a_k
    push: tuple[float, ...]  # b_k


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Steps:
    """Phi(z) by the steps of a schedule; costs one network call a step.

    Arguments:
        network: F(x, t), (B, *shape) and (B,) -> (B, *shape), deterministic and row by row.
        shape: of one z and one x.
        schedule: the numbers.
        gradient: "direct" keeps every activation; "checkpoint" runs each step again backwards.

    Raises:
        ConfigError: another gradient.

    Example:
        >>> from noisewalk.maps.steps import Schedule, Steps
        >>> halves = Schedule(2.0, (1.0, 0.0), (1.0, 1.0), (1.0, 1.0), (-0.5, -0.5))
        >>> phi = Steps(lambda x, t: x, (1,), halves)
        >>> phi(torch.ones(1, 1)), phi.nfe
        (tensor([[0.5000]]), 2)
    """

    network: Callable[[Tensor, Tensor], Any]
    shape: tuple[int, ...]
    schedule: Schedule
    gradient: str = "checkpoint"
    data_shape: tuple[int, ...] = field(init=False, repr=False)
    nfe: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        one_of("gradient", self.gradient, ("direct", "checkpoint"))
        shape = shape_of("Steps' shape", self.shape)
        vars(self).update(shape=shape, data_shape=shape, nfe=len(self.schedule.times))

    def __call__(self, z: Tensor) -> Tensor:
        """(B, *shape) -> (B, *shape)."""
        x, again = self.schedule.scale * z, self.gradient == "checkpoint"
        again = again and torch.is_grad_enabled() and unpack_dual(z).tangent is None
        for step in zip(*self.schedule[1:], strict=True):
            if again:
                x = checkpoint(self._step, x, *step, use_reentrant=False)
            else:
                x = self._step(x, *step)
        return x

    def _step(self, x: Tensor, t: float, inside: float, keep: float, push: float) -> Tensor:
        times = torch.full((len(x),), t, dtype=x.dtype, device=x.device)
        made = unwrapped("the network", self.network(inside * x, times))
        if made.shape != x.shape:
            got, wanted = tuple(made.shape), tuple(x.shape)
            raise ConfigError(f"the network must return x's shape {wanted}, got {got}")
        return keep * x + push * made.to(x.dtype)
