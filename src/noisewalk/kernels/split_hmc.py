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
themselves, which is harmless where each is one of many. Resampling makes copies, and the fresh
noise of the first block parts them at once: its angle is not tied to the stiffest direction.

References: Cotter, Roberts, Stuart and White, MCMC Methods for Functions, 2013, equation 4.8 (first
block); Cui, Law and Marzouk, Dimension-independent likelihood-informed MCMC, 2016, sections 3.2 and
4.2 (the split, from the mean outer product of gradients here).
"""

import math
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from .. import noise as keyed
from .._checks import real, whole
from .._repr import readable
from ..errors import ConfigError
from ..noise import Noise
from ..types import Info, Kernel, State, Target
from .hmc import HMC
from .metropolis import check_step_size, finite_rows, metropolis, per_row, select

LEFT = 0.02
"""Directions are kept until the others' part of the mean squared gradient is at most this; it is
about the variance of L - L' in the first block."""
MAX_RANK = 64  # directions kept at most
TURN_STREAM = 1 << 30
"""Offset of the step counter that keys the first block's noise apart from the second's."""
MOVE_ACCEPT = 0.8  # acceptance that tempered SMC drives the angle and the step to
LARGEST_TURN = math.log(0.5 * math.pi)  # log of the angle that draws a direction afresh


@readable
@dataclass(frozen=True, eq=False, repr=False)
class SplitHMC(Kernel):
    """One transition of both blocks; exact; costs `num_leapfrog` + 1 evaluations of the target.

    Arguments:
        step_size: h > 0 of the HMC in the informed directions, one number or one per image (N,).
        num_leapfrog: its steps.
        turn: theta of the other directions, in (0, pi / 2]; pi / 2 draws them afresh. One number or
            one per image (N,).
        basis: (N, r, *shape) U, orthonormal over r; None is r = 0: everything by the first block.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> nw.SplitHMC(0.2, num_leapfrog=6).evaluations
        7
    """

    step_size: float | Tensor = 0.2
    num_leapfrog: int = 6
    turn: float | Tensor = 0.5 * math.pi
    basis: Tensor | None = None

    exact = True
    reversible = False  # each block's move is, one after the other are not

    def __post_init__(self) -> None:
        check_step_size(self.turn, "turn")
        if float(torch.as_tensor(self.turn, dtype=torch.float64).max()) > 0.5 * math.pi + 1e-9:
            raise ConfigError(f"turn must be an angle of at most pi / 2, got {self.turn}")
        HMC(self.step_size, self.num_leapfrog)

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        """Evaluations of the target a transition."""
        return self.num_leapfrog + 1

    @property
    def quarter_turn(self) -> float:  # type: ignore[override]
        """That of its HMC."""
        return HMC(0.1, self.num_leapfrog).quarter_turn

    @property
    def rank(self) -> int:
        """r."""
        return 0 if self.basis is None else self.basis.shape[1]

    def step(
        self, state: State, target: Target, noise: Noise, carry: Tensor | None = None
    ) -> tuple[State, Info, None]:
        """One transition; the acceptance is the second block's (the first's, without a basis)."""
        state, info = self.turn_rest(state, target, noise)
        return *(self.walk(state, target, noise) if self.rank else (state, info)), None

    def move(
        self, state: State, target: Target, noise: Noise, tuning: dict[str, Tensor], first: bool
    ) -> tuple[State, Info, dict[str, Tensor]]:
        """A transition whose basis comes from the particles and whose angle from its acceptance."""
        num_images = target.num_images  # type: ignore[attr-defined]
        basis = informed_basis(state.grad, num_images) if first else tuning["basis"]
        largest = torch.full((num_images,), LARGEST_TURN, dtype=torch.float64, device=basis.device)
        log_turn = tuning.get("log_turn", largest)
        split = replace(self, turn=log_turn.exp(), basis=basis)
        state, info = split.turn_rest(state, target, noise)
        rate = info.acceptance_rate.to(torch.float64).reshape(num_images, -1).mean(1)
        log_turn = (log_turn + rate - MOVE_ACCEPT).clamp(max=LARGEST_TURN)
        if split.rank:
            state, info = split.walk(state, target, noise)
        return state, info, {"log_turn": log_turn, "basis": basis}

    def turn_rest(self, state: State, target: Target, noise: Noise) -> tuple[State, Info]:
        """The first block: fresh noise outside the basis."""
        apart = noise.at(noise.step + TURN_STREAM)
        xi = apart.normal(tuple(state.z.shape[1:]), keyed.PROPOSAL, state.z.dtype)
        fresh = self._outside(xi.to(state.z.device))
        rest, theta = self._outside(state.z), per_row(self.turn, state.z)
        there = target(
            state.z
            + (torch.cos(theta) - 1.0).to(rest.dtype) * rest
            + torch.sin(theta).to(rest.dtype) * fresh
        )
        return metropolis(state, there, state.nll - there.nll, finite_rows(there), apart)

    def walk(self, state: State, target: Target, noise: Noise) -> tuple[State, Info]:
        """The second block: HMC inside the basis."""
        within = _Within(self, target, self._outside(state.z))
        hmc = HMC(self.step_size, self.num_leapfrog)
        _, info, _ = hmc.step(self._inside(state), cast(Target, within), noise)
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

    grad is (B, *shape), of draws near the target; rows that are not finite are left out. The result
    is (N, r, *shape), orthonormal over r; r may be 0.
    """
    real("left", left, above=0.0)
    whole("max_rank", max_rank)
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
