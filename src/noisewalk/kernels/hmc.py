r"""Hamiltonian Monte Carlo in noise space with a Gaussian reference N(m, H^-1) (H = I, m = 0
without a preconditioner).

With velocity $v \sim N(0, H^{-1})$, u = z - m and psi as in `gaussians/`, one step of size h
of

- "gaussian" is half a kick $v \leftarrow v - \tfrac h2 H^{-1} \nabla \psi$, an exact rotation of
  (u, v) by the angle h, half a kick. The rotation solves the reference's own dynamics and keeps
  $u^T H u + v^T H v$, so the energy error comes from psi and the kicks alone: a Gaussian posterior
  is sampled without rejection at any step.
- "leapfrog" is half a kick $v \leftarrow v - \tfrac h2 H^{-1} (g + z)$, a drift
  $z \leftarrow z + h v$, half a kick: mass matrix H.

A kick by q changes the kinetic energy by $-\tfrac h4 \langle q, v + v_+ \rangle$, summed in
float64, so no two large energies are subtracted. The step is jittered by one factor a transition,
drawn independently of the state, which keeps the kernel reversible and breaks resonances.

A velocity may outlive its transition, of L steps of size h: it is handed on, reversed after a
rejection, and with the friction gamma
$$v \leftarrow p \, v + \sqrt{1 - p^2} \, \xi, \qquad
p = e^{-\gamma h L}, \quad \xi \sim N(0, H^{-1}),$$
so that short transitions, each of which makes a draw, join into a long trajectory: underdamped
Langevin dynamics, exact. (z, v) keeps posterior x N(0, H^-1); a chain of z alone is then no longer
reversible.

References: Duane, Kennedy, Pendleton and Roweth, Hybrid Monte Carlo, 1987; Beskos, Pinski,
Sanz-Serna and Stuart, Hybrid Monte Carlo on Hilbert Spaces, 2011, equation 3.3; Neal, MCMC Using
Hamiltonian Dynamics, 2011, sections 3.2, 5.3 and 5.4; Horowitz, A generalized guided Monte Carlo
algorithm, 1991 (the velocity that is kept); Riou-Durand and Vogrinc, Metropolis adjusted Langevin
trajectories, 2022 (friction).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import noise as keyed
from .._checks import one_of, real, whole
from .._repr import readable
from ..errors import ConfigError
from ..gaussians.reference import Reference, reference_of
from ..noise import Noise
from ..types import Info, Kernel, State, Target
from .metropolis import check_step_size, column, finite_rows, metropolis, per_row


@readable
@dataclass(frozen=True, eq=False, repr=False)
class HMC(Kernel):
    """One Hamiltonian transition of every row; exact; costs `num_leapfrog` evaluations of the
    target.

    Arguments:
        step_size: h > 0, one number or one per image (N,); for "gaussian" an angle, so pi / 2 in
            all is a fresh draw of the reference.
        num_leapfrog: steps a transition.
        integrator: "gaussian" or "leapfrog".
        preconditioner: N(m, H^-1) from `gauss_newton` or `spectral`; None is N(0, I).
        jitter: the step is multiplied by a uniform number in [1 - jitter, 1 + jitter], one per row
            and transition.
        friction: gamma > 0; below infinity the chains of `nw.sample` keep their velocities from one
            transition to the next. Without a carry, `step` is the reversible
            transition with a fresh velocity.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> nw.HMC(0.1, 8).reversible, nw.HMC(0.1, 8, friction=0.5).reversible
        (True, False)
    """

    step_size: float | Tensor
    num_leapfrog: int = 8
    integrator: str = "gaussian"
    preconditioner: Reference | None = None
    jitter: float = 0.2
    friction: float = math.inf

    exact = True
    takes_preconditioner = True
    fits_preconditioner = True

    def __post_init__(self) -> None:
        check_step_size(self.step_size)
        one_of("integrator", self.integrator, ("gaussian", "leapfrog"))
        object.__setattr__(self, "num_leapfrog", whole("num_leapfrog", self.num_leapfrog))
        real("jitter", self.jitter, least=0.0, below=1.0)
        if not self.friction > 0.0:
            raise ConfigError(
                f"friction must be positive, got {self.friction}; it is infinite for a fresh "
                "velocity at every transition"
            )

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        """Evaluations of the target a transition."""
        return self.num_leapfrog

    @property
    def carries(self) -> bool:  # type: ignore[override]
        """Whether the velocity outlives its transition."""
        return math.isfinite(self.friction)

    @property
    def reversible(self) -> bool:  # type: ignore[override]
        """False where the velocity is kept: a chain of z alone is then not reversible."""
        return not self.carries

    @property
    def target_accept(self) -> float:  # type: ignore[override]
        """0.8, or 0.9 where a rejection turns back a kept velocity."""
        return 0.9 if self.carries else 0.8

    @property
    def quarter_turn(self) -> float:  # type: ignore[override]
        """The step at which a transition turns the reference by pi / 2."""
        return 0.5 * math.pi / self.num_leapfrog

    @property
    def largest_step(self) -> float:  # type: ignore[override]
        """A quarter turn is a fresh draw of the reference: no step of "gaussian" needs more."""
        return self.quarter_turn if self.integrator == "gaussian" else math.inf

    def step(
        self, state: State, target: Target, noise: Noise, carry: Tensor | None = None
    ) -> tuple[State, Info, Tensor | None]:
        """One transition of position and velocity. The carry is (B, *shape) H^1/2 v as the last
        transition left it, N(0, I) in the law that is kept; None draws a fresh velocity."""
        reference = reference_of(self.preconditioner)
        factor = 1.0 + self.jitter * (
            2.0 * noise.uniform((), keyed.JITTER).to(state.z.device) - 1.0
        )
        h = per_row(self.step_size, state.z) * column(factor, state.z)
        w = self._refreshed(carry, noise, state.z)
        v = reference.power(w, -0.5)
        here, work = state, torch.zeros_like(state.nll)
        for _ in range(self.num_leapfrog):
            v, done = self.kick(here, v, h)
            work = work + done
            z, v = self.flow(here.z, v, h)
            here = target(z)
            v, done = self.kick(here, v, h)
            work = work + done
        finite = finite_rows(here) & torch.isfinite(work)
        after, info = metropolis(state, here, self.drop(state, here) - work, finite, noise)
        if not self.carries:
            return after, info, None
        kept = torch.where(column(info.accepted, w), reference.power(v, 0.5), -w)
        return after, info, kept

    def _refreshed(self, velocity: Tensor | None, noise: Noise, z: Tensor) -> Tensor:
        """p v + sqrt(1 - p^2) xi with p = exp(-gamma h L); xi alone without a velocity."""
        xi = noise.normal(tuple(z.shape[1:]), keyed.PROPOSAL, z.dtype)
        if velocity is None:
            return xi
        p = torch.exp(-self.friction * self.num_leapfrog * per_row(self.step_size, z))
        return p.to(z.dtype) * velocity + torch.sqrt(1.0 - p**2).to(z.dtype) * xi

    def kick(self, here: State, v: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """The velocity after half a kick of size h, and (B,) the change of its kinetic energy."""
        reference, rotates = reference_of(self.preconditioner), self.integrator == "gaussian"
        q = reference.residual_gradient(here) if rotates else here.grad + here.z
        after = v - (0.5 * h).to(v.dtype) * reference.power(q, -1.0)
        mean = v.to(torch.float64) + after.to(torch.float64)
        return after, (-0.25 * h * q.to(torch.float64) * mean).flatten(1).sum(1)

    def flow(self, z: Tensor, v: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Position and velocity after the step between the kicks: a rotation, or a drift."""
        if self.integrator == "leapfrog":
            return z + h.to(z.dtype) * v, v
        reference = reference_of(self.preconditioner)
        u, cos, sin = reference.offset(z), torch.cos(h).to(z.dtype), torch.sin(h).to(z.dtype)
        return reference.position(cos * u + sin * v), cos * v - sin * u

    def drop(self, here: State, there: State) -> Tensor:
        """(B,) by how much the potential energy falls from one state to another."""
        if self.integrator == "gaussian":
            return reference_of(self.preconditioner).drop(here, there)
        z, z_ = here.z.to(torch.float64), there.z.to(torch.float64)
        return here.nll - there.nll + 0.5 * ((z - z_) * (z + z_)).flatten(1).sum(1)
