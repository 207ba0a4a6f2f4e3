r"""Adam on the target: where the chains start.

The paper's objective is the likelihood term alone, $\min_z L_y(\Phi(z))$. It leaves $|z|^2$ near
its dimension, where the posterior's typical set lies. Adding the prior term,
$L_y(\Phi(z)) + |z|^2 / 2$, leads to a mode far inside it, from which a chain must first climb back.

Reference: Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, Algorithm 1.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .._checks import one_of, real, whole
from ..errors import ConfigError
from ..kernels.metropolis import select
from ..types import State, Target


class AdamState(NamedTuple):
    """Where the optimiser is: everything needed to go on bitwise."""

    state: State
    m: Tensor  # (B, *shape) first moment
    v: Tensor  # (B, *shape) second moment


@dataclass(frozen=True)
class Adam:
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
        state, (beta1, beta2) = adam.state, self.betas
        g = state.grad + state.z if self.objective == "posterior" else state.grad
        m = beta1 * adam.m + (1.0 - beta1) * g
        v = beta2 * adam.v + (1.0 - beta2) * g**2
        update = (m / (1.0 - beta1**k)) / (torch.sqrt(v / (1.0 - beta2**k)) + 1e-8)
        moved = target(state.z - self.lr * update)
        finite = torch.isfinite(moved.nll) & torch.isfinite(moved.grad).flatten(1).all(1)
        return AdamState(select(finite, moved, state), m, v)
