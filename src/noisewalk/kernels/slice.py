r"""Elliptical slice sampling: exact, no step size, no gradient.

With u = z - m, $\nu \sim N(0, H^{-1})$ and a threshold $\ln \eta = -\psi(z) + \ln U$, the move is
to a point $u' = u \cos\theta + \nu \sin\theta$ of the ellipse with $-\psi(z') > \ln \eta$: theta
starts uniform on the circle, and the bracket shrinks towards theta = 0, the old point, until one is
found. Without a preconditioner the reference is N(0, I) and psi = L.

References: Murray, Adams and MacKay, Elliptical slice sampling, 2010, Figure 2; Nishihara, Murray
and Adams, Parallel MCMC with Generalized Elliptical Slice Sampling, 2014 (another Gaussian than the
prior).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import noise as keyed
from .._repr import readable
from ..gaussians.reference import Reference, reference_of
from ..noise import Noise
from ..types import Info, Kernel, State, Target
from .metropolis import column, finite_rows, select

MAX_SHRINKS = 60  # points tried before a row stays where it is


@readable
@dataclass(frozen=True, eq=False, repr=False)
class EllipticalSlice(Kernel):
    """One elliptical slice transition of every row; each row shrinks its own bracket.

    Costs an evaluation without gradient for every point a row tries, typically 2 to 10; a target
    without `value` is evaluated whole each time.

    Arguments:
        preconditioner: N(m, H^-1) from `gauss_newton` or `spectral`; None is N(0, I).

    Example:
        >>> nw.EllipticalSlice().needs_gradient
        False
    """

    preconditioner: Reference | None = None

    needs_gradient = False
    exact = True
    evaluations = 4
    takes_preconditioner = True

    def step(
        self, state: State, target: Target, noise: Noise, carry: Tensor | None = None
    ) -> tuple[State, Info, None]:
        """One transition; the acceptance rate is 1 over the number of points tried."""
        reference = reference_of(self.preconditioner)
        u = reference.offset(state.z)
        nu = reference.power(
            noise.normal(tuple(state.z.shape[1:]), keyed.PROPOSAL, state.z.dtype), -0.5
        )
        level = torch.log(noise.uniform((), keyed.ACCEPT)).to(state.nll)
        uniform = noise.uniform((MAX_SHRINKS + 1,), keyed.JITTER).to(state.nll)
        theta = 2.0 * math.pi * uniform[:, 0]
        low, high = theta - 2.0 * math.pi, theta
        after, pending = state, torch.ones_like(theta, dtype=torch.bool)
        tries, diverging = torch.zeros_like(theta), torch.zeros_like(pending)
        for k in range(1, MAX_SHRINKS + 1):
            proposal = _evaluate(
                target,
                reference.position(
                    column(torch.cos(theta).to(u.dtype), u) * u
                    + column(torch.sin(theta).to(u.dtype), u) * nu
                ),
                pending,
                after,
            )
            finite = finite_rows(proposal)
            diverging |= pending & ~finite
            tries += pending
            found = pending & finite & (reference.drop(state, proposal) > level)
            after, pending = select(found, proposal, after), pending & ~found
            if not bool(pending.any()):
                break
            low, high = torch.where(theta < 0, theta, low), torch.where(theta < 0, high, theta)
            theta = low + (high - low) * uniform[:, k]
        rate = torch.where(pending, 0.0, 1.0 / tries)
        return after, Info(rate, ~pending, diverging & pending), None


def _evaluate(target: Target, z: Tensor, pending: Tensor, state: State) -> State:
    """The rows that are pending at z, the others as they are in `state`."""
    value: Callable[[Tensor, Tensor, int], State] | None = getattr(target, "value", None)
    if value is None:
        return target(z)
    rows = pending.nonzero()[:, 0]
    return State(
        *(
            old.index_copy(0, rows, new)
            for old, new in zip(state, value(z[rows], rows, len(z)), strict=True)
        )
    )
