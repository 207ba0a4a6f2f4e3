r"""A transition in two blocks: fresh noise where the measurement says nothing, Hamiltonian dynamics
where it speaks.

U is an orthonormal basis of the directions in which the likelihood varies (`informed_basis`). In
turn,

- the rest $z_\perp = z - U U^T z$ is moved by $z_\perp' = \cos\theta \, z_\perp + \sin\theta \,
  \xi_\perp$, $\xi \sim N(0, I)$, and accepted with probability $\min(1, e^{L - L'})$, which is 1
  where L does not depend on it;
- $U^T z$ is moved by HMC around N(0, I) with the gradient $U U^T g$, so that its step is set by few
  directions.

Each block keeps the posterior, whatever U is, as long as U does not depend on the row that is
moved: a poor basis then costs acceptance, never exactness. Tempered SMC takes U from the particles
themselves, which is harmless where each is one of many. A step that resampling's copies need to
come apart in all other directions is not tied to the stiffest one.

References: Cotter, Roberts, Stuart and White, MCMC Methods for Functions, 2013, equation 4.8 (first
block); Cui, Law and Marzouk, Dimension-independent likelihood-informed MCMC, 2016, sections 3.2 and
4.2 (the split, from the mean outer product of gradients here).
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from .. import noise as keyed
from .._repr import readable
from ..errors import ConfigError
from ..noise import Noise
from ..types import Info, State, Target
from .hmc import HMC
from .langevin import check_step_size, finite_rows, metropolis, per_row, select

LEFT = 0.02
"""Directions are kept until the others' part of the mean squared gradient is at most this; it is
about the variance of L - L' in the first block."""
MAX_RANK = 64
"""Directions kept at most."""
TURN_STREAM = 1 << 30
"""Offset of the step counter that keys the first block's noise apart from the second's."""


@readable
@dataclass(frozen=True, eq=False, repr=False)
class SplitHMC:
    """One transition of both blocks; exact; costs `num_leapfrog` + 1 evaluations of the target.

    Arguments:
        step_size: h > 0 of the HMC in the informed directions, one number or one per image (N,).
        num_leapfrog: its steps.
        turn: theta of the other directions, in (0, pi / 2]; pi / 2 draws them afresh. One number or
            one per image (N,).
        basis: (N, r, *shape) U, orthonormal over r; None is r = 0: everything by the first block.

    Raises:
        ConfigError: a value out of range.
    """

    step_size: float | Tensor = 0.2
    num_leapfrog: int = 6
    turn: float | Tensor = 0.5 * math.pi
    basis: Tensor | None = None

    needs_gradient = True
    adjust = True
    reversible = False
    """Each block's move is, one after the other are not."""

    def __post_init__(self) -> None:
        check_step_size(self.step_size)
        check_step_size(self.turn)
        if float(torch.as_tensor(self.turn, dtype=torch.float64).max()) > 0.5 * math.pi + 1e-9:
            raise ConfigError(f"turn is an angle of at most pi / 2, a fresh draw; got {self.turn}")
        HMC(self.step_size, self.num_leapfrog)

    @property
    def evaluations(self) -> int:
        """Evaluations of the target a transition."""
        return self.num_leapfrog + 1

    @property
    def rank(self) -> int:
        """r."""
        return 0 if self.basis is None else self.basis.shape[1]

    def step(self, state: State, target: Target, noise: Noise) -> tuple[State, Info]:
        """One transition.

        Arguments:
            state: the target's evaluation at z.
            target: the posterior.
            noise: this step's noise for the rows.

        Returns:
            The next state and what the second block's acceptance was (the first's, without a
            basis).
        """
        state, info = self.turn_rest(state, target, noise)
        return self.walk(state, target, noise) if self.rank else (state, info)

    def turn_rest(self, state: State, target: Target, noise: Noise) -> tuple[State, Info]:
        """The first block.

        Arguments:
            state: the target's evaluation at z.
            target: the posterior.
            noise: this step's noise for the rows.

        Returns:
            The next state and what happened.
        """
        apart = noise.at(noise.step + TURN_STREAM)
        fresh = self._outside(
            apart.normal(tuple(state.z.shape[1:]), keyed.PROPOSAL, state.z.dtype).to(state.z.device)
        )
        rest, theta = self._outside(state.z), per_row(self.turn, state.z)
        there = target(
            state.z
            + (torch.cos(theta) - 1.0).to(rest.dtype) * rest
            + torch.sin(theta).to(rest.dtype) * fresh
        )
        return metropolis(state, there, state.nll - there.nll, finite_rows(there), apart)

    def walk(self, state: State, target: Target, noise: Noise) -> tuple[State, Info]:
        """The second block.

        Arguments:
            state: the target's evaluation at z.
            target: the posterior.
            noise: this step's noise for the rows.

        Returns:
            The next state and what happened.
        """
        within = _Within(self, target, self._outside(state.z))
        _, info = HMC(self.step_size, self.num_leapfrog).step(
            self._inside(state), cast(Target, within), noise
        )
        return select(info.accepted, within.last, state), info

    def _inside(self, state: State) -> State:
        return state._replace(
            z=state.z - self._outside(state.z), grad=state.grad - self._outside(state.grad)
        )

    def _outside(self, v: Tensor) -> Tensor:
        if self.basis is None or not self.rank:
            return v
        basis = self.basis.to(v.dtype).flatten(2)
        rows = v.reshape(basis.shape[0], -1, basis.shape[2])
        return (rows - rows @ basis.transpose(1, 2) @ basis).reshape(v.shape)


class _Within:
    """The target as a function of U U^T z, the rest held, as far as HMC around N(0, I) asks; `last`
    is its last evaluation, whole."""

    def __init__(self, split: SplitHMC, target: Any, rest: Tensor) -> None:
        self.split, self.target, self.rest = split, target, rest

    def __call__(self, z: Tensor) -> State:
        self.last = self.target(self.rest + z - self.split._outside(z))
        return self.split._inside(self.last)


def informed_basis(
    grad: Tensor, num_images: int, left: float = LEFT, max_rank: int = MAX_RANK
) -> Tensor:
    """Directions in which the likelihood varies: leading eigenvectors of the mean outer product of
    its gradients, per image.

    Arguments:
        grad: (B, *shape) gradients of the (tempered) likelihood at draws near the target; rows that
            are not finite are left out.
        num_images: N.
        left: how much of the mean squared gradient may stay outside.
        max_rank: directions at most.

    Returns:
        (N, r, *shape) orthonormal over r, or 0 where an image needs fewer; r may be 0.

    Raises:
        ConfigError: a value out of range.
    """
    if not left > 0 or max_rank < 1:
        raise ConfigError(
            f"left must be positive and max_rank at least 1, got {left} and {max_rank}"
        )
    shape = grad.shape[1:]
    rows = grad.reshape(num_images, -1, shape.numel()).to(torch.float64)
    rows = torch.where(rows.isfinite().all(2, keepdim=True), rows, 0.0) / math.sqrt(rows.shape[1])
    tall = rows.shape[1] > rows.shape[2]
    values, vectors = torch.linalg.eigh(
        rows.transpose(1, 2) @ rows if tall else rows @ rows.transpose(1, 2)
    )
    values, vectors = values.flip(-1).clamp(min=0.0), vectors.flip(-1)
    beyond = (
        values.sum(1, keepdim=True) - values.cumsum(1) + values
    )  # of a direction and all after it
    rank = min(max_rank, int((beyond > left).sum(1).max()))
    kept = torch.where(beyond > left, 1.0, 0.0)[:, :rank, None]
    basis = (
        vectors[:, :, :rank].transpose(1, 2)
        if tall
        else torch.linalg.qr(rows.transpose(1, 2) @ vectors[:, :, :rank])[0].transpose(1, 2)
    )
    return (kept * basis).reshape(num_images, rank, *shape).to(grad.dtype)
