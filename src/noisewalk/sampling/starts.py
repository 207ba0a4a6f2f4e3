r"""How chains start, and the paper's way: Adam on the target.

The paper's objective is the likelihood term alone, $\min_z L_y(\Phi(z))$. It leaves $|z|^2$ near
its dimension, where the posterior's typical set lies. Adding the prior term,
$L_y(\Phi(z)) + |z|^2 / 2$, leads to a mode far inside it, from which a chain must first climb back.

Reference: Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, Algorithm 1.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

from .._checks import one_of, real, whole
from ..errors import ConfigError, DivergedError
from ..kernels.metropolis import finite_rows, finite_values, select
from ..noise import INIT, Noise
from ..types import State, Target

Work: TypeAlias = dict[str, Any]
"""What a start needs to go on bitwise: tensors, numbers, and dicts and lists of these."""

MOST_NAMED = 8  # chains named in an error
AGAIN, TRIES = 3 << 29, 20
"""Step of the noise of a z that is drawn again, which no run reaches, and how often one is."""


class Start(ABC):
    """How chains get from z ~ N(0, I) to where their transitions begin."""

    num_steps: int | str
    words: ClassVar[str] = "starts"
    """What people call them."""

    def resolved(self, target: Any) -> "Start":
        """With "auto" replaced by what it means for a target; ConfigError where it cannot start
        there."""
        return self

    @abstractmethod
    def calls(self, target: Any, num_chains: int) -> int:
        """Network calls of all rows at most, times `phi.nfe`."""

    def numbers(self, target: Any) -> int:
        """Numbers that each chain keeps at most while it starts, beside its states."""
        return 0

    @abstractmethod
    def begin(self, target: Any, state: State, rows: Noise) -> Work | None:
        """The work before the first step, at the target's evaluation of z; None: there is none."""

    @abstractmethod
    def advance(
        self, target: Any, state: State, work: Work, rows: Noise, k: int
    ) -> tuple[State, Work | None]:
        """The k-th step, counted from 1: the state, and what is left to do."""


class AdamState(NamedTuple):
    """Where the optimiser is: everything needed to go on bitwise."""

    state: State
    m: Tensor  # (B, *shape) first moment
    v: Tensor  # (B, *shape) second moment


@dataclass(frozen=True)
class Adam(Start):
    """Warm start by Adam, every row on its own; costs one evaluation a step.

    Arguments:
        num_steps: optimiser steps (the paper's K).
        lr: learning rate.
        betas: decay of the two moments.
        objective: "likelihood" (the paper's) or "posterior" (with the prior term |z|^2 / 2).

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> nw.Adam(num_steps=100, lr=0.02).num_steps
        100
    """

    num_steps: int = 200
    lr: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    objective: str = "likelihood"
    words: ClassVar[str] = "starts by Adam"

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_steps", whole("Adam's num_steps", self.num_steps, 0))
        real("Adam's lr", self.lr, above=0.0)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"Adam's betas must lie in [0, 1), got {self.betas}")
        one_of("objective", self.objective, ("likelihood", "posterior"))

    def start(self, state: State) -> AdamState:
        """The optimiser before its first step, at the target's evaluation of the initial z."""
        return AdamState(state, torch.zeros_like(state.z), torch.zeros_like(state.z))

    def step(self, adam: AdamState, target: Target, k: int) -> AdamState:
        """The k-th step, counted from 1; a row that it would leave not finite stays where it is."""
        state = adam.state
        g = state.grad + state.z if self.objective == "posterior" else state.grad
        update, m, v = self.update(g, adam.m, adam.v, k)
        moved = target(state.z - self.lr * update)
        finite = finite_values(moved.nll, moved.grad)
        return AdamState(select(finite, moved, state), m, v)

    def update(self, g: Tensor, m: Tensor, v: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """The k-th update, to be scaled by the rate, and the moments with a gradient in them."""
        beta1, beta2 = self.betas
        m = beta1 * m + (1.0 - beta1) * g
        v = beta2 * v + (1.0 - beta2) * g**2
        return (m / (1.0 - beta1**k)) / (torch.sqrt(v / (1.0 - beta2**k)) + 1e-8), m, v

    def calls(self, target: Any, num_chains: int) -> int:
        """One a step."""
        return target.num_images * num_chains * self.num_steps

    def numbers(self, target: Any) -> int:
        """Both moments."""
        return 2 * math.prod(target.shape)

    def begin(self, target: Any, state: State, rows: Noise) -> Work | None:
        """The moments."""
        _, m, v = self.start(state)
        return {"m": m, "v": v} if self.num_steps else None

    def advance(
        self, target: Any, state: State, work: Work, rows: Noise, k: int
    ) -> tuple[State, Work | None]:
        """One step of every row."""
        state, m, v = self.step(AdamState(state, work["m"], work["v"]), target, k)
        return state, {"m": m, "v": v} if k < self.num_steps else None


def initial(target: Any, rows: Noise, num_chains: int, needs_gradient: bool) -> State:
    """Every chain at its z ~ N(0, I), checked; where the target is not finite for a few of them,
    they draw z again."""
    shape, dtype = tuple(target.shape), target.y.dtype
    state = target(rows.at(0).normal(shape, INIT, dtype))
    for k in range(TRIES):
        fine = finite_rows(state)
        if fine.all() or not fine.any():
            break
        state = select(fine, state, target(rows.at(AGAIN + k).normal(shape, INIT, dtype)))
    check_initial(state, num_chains, needs_gradient)
    return state


def check_initial(state: State, num_chains: int, needs_gradient: bool) -> None:
    """DivergedError where chains begin at values that are not finite; ConfigError where none of
    them has a gradient, though the likelihoods differ."""
    if lost := (~finite_rows(state)).nonzero().flatten().tolist():
        where = [f"image {k // num_chains} chain {k % num_chains}" for k in lost[:MOST_NAMED]]
        named = ", ".join(where + ["..."] * (len(lost) > MOST_NAMED))
        raise DivergedError(
            f"the target or its gradient is not finite at the initial z of {len(lost)} of "
            f"{len(state.nll)} chains ({named}): check the operator, sigma_y and y for values that "
            "are not finite or far out of range, or start from another seed"
        )
    if needs_gradient and not state.grad.any() and (state.nll != state.nll[0]).any():
        raise ConfigError(
            "the gradient is 0 in every entry at every initial z, though the likelihoods differ: "
            "the map or the operator detaches x, rounds it or leaves torch on the way; mend it, or "
            "pass differentiable=False"
        )
