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

from ..errors import ConfigError
from ..types import State, Target


class AdamState(NamedTuple):
    """Where the optimiser is: everything needed to go on bitwise."""

    state: State
    m: Tensor
    """(B, *shape) first moment."""
    v: Tensor
    """(B, *shape) second moment."""


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
    """

    num_steps: int = 200
    lr: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    objective: str = "likelihood"

    def __post_init__(self) -> None:
        if self.num_steps < 0:
            raise ConfigError(f"Adam's num_steps must be 0 or more, got {self.num_steps}")
        if not 0 < self.lr < float("inf"):
            raise ConfigError(f"Adam's lr must be positive and finite, got {self.lr}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"Adam's betas must lie in [0, 1), got {self.betas}")
        if self.objective not in ("likelihood", "posterior"):
            raise ConfigError(
                f"unknown objective {self.objective!r}: choose 'likelihood' (the paper's) or "
                "'posterior'"
            )

    def start(self, state: State) -> AdamState:
        """The optimiser's state before its first step.

        Arguments:
            state: the target's evaluation at the initial z.

        Returns:
            The state with zero moments.
        """
        return AdamState(state, torch.zeros_like(state.z), torch.zeros_like(state.z))

    def step(self, adam: AdamState, target: Target, k: int) -> AdamState:
        """One step; a row whose new evaluation is not finite stays where it is.

        Arguments:
            adam: the optimiser's state.
            target: the posterior.
            k: the step's number, from 1.

        Returns:
            The next state.
        """
        from ..kernels.langevin import select

        state, (beta1, beta2) = adam.state, self.betas
        g = state.grad + state.z if self.objective == "posterior" else state.grad
        m = beta1 * adam.m + (1.0 - beta1) * g
        v = beta2 * adam.v + (1.0 - beta2) * g**2
        update = (m / (1.0 - beta1**k)) / (torch.sqrt(v / (1.0 - beta2**k)) + 1e-8)
        moved = target(state.z - self.lr * update)
        finite = torch.isfinite(moved.nll) & torch.isfinite(moved.grad).flatten(1).all(1)
        return AdamState(select(finite, moved, state), m, v)
