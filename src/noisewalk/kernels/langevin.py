r"""Langevin dynamics in noise space, $dz = -(z + \nabla L_y(\Phi(z)))\,dt + \sqrt 2\, dW$ (equation
8 of the paper).

Both schemes are one family, $z' = a z - b g + s \xi$ with $g = \nabla_z L_y(\Phi(z))$ and
$\xi \sim N(0, I)$:

| scheme | a | b | s | |
|---|---|---|---|---|
| em | $1 - \tau$ | $\tau$ | $\sqrt{2\tau}$ | Euler-Maruyama, equation 11 |
| ei | $e^{-\tau}$ | $1 - e^{-\tau}$ | $\sqrt{1 - e^{-2\tau}}$ | exponential, Appendix C |

With a preconditioner the exponential integrator integrates another Gaussian exactly than N(0, I):
the Gauss-Newton one, N(m, H^-1) of `gaussians/`. With u = z - m and q the gradient of psi,
$u' = a u - b H^{-1} q + s H^{-1/2} \xi$; a Gaussian posterior is then sampled exactly at any step.
With `adjust` the proposal is accepted with probability $\min(1, \alpha)$: em becomes MALA, ei
becomes pCN-Langevin.
$$\log\alpha = L - L' + \tfrac12\Big(1 - \tfrac{1-a^2}{s^2}\Big)\langle z - z', z + z'\rangle
- \tfrac{b}{s^2}\big(\langle z - a z', g'\rangle - \langle z' - a z, g\rangle\big)
- \tfrac{b^2}{2 s^2}\langle g' - g, g' + g\rangle$$
and with the reference N(m, H^-1)
$$\log\alpha = \psi - \psi'
- \tfrac{b}{s^2}\big(\langle u - a u', q'\rangle - \langle u' - a u, q\rangle\big)
- \tfrac{b^2}{2 s^2}\langle q' - q, H^{-1}(q' + q)\rangle,$$
in float64: grouped so that no two large norms are subtracted, which in float32 would cost about
0.02 at a million dimensions.

References: Purohit et al., Posterior sampling via Langevin dynamics based on generative priors,
2024; Roberts and Tweedie, Exponential convergence of Langevin distributions and their discrete
approximations, 1996 (MALA); Cotter et al., MCMC methods for functions, 2013, equation 4.10
(pCN-Langevin with delta = 2 tanh(tau / 2)).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import noise as keyed
from .._checks import one_of
from .._repr import readable
from ..errors import ConfigError
from ..gaussians.reference import Reference, reference_of
from ..gaussians.standard import STANDARD, Standard
from ..noise import Noise
from ..types import Info, Kernel, State, Target
from .metropolis import check_step_size, finite_rows, metropolis, per_row


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Langevin(Kernel):
    """One Langevin transition of every row; costs one evaluation of the target.

    Unadjusted, the stationary law has a bias of order step_size; adjusted, it is exact.

    Arguments:
        step_size: tau > 0, one number or one per image (N,).
        scheme: "em" or "ei".
        adjust: accept or reject (MALA, pCN-Langevin) instead of always moving.
        preconditioner: N(m, H^-1) from `gauss_newton` or `spectral`, only with "ei"; None is
            N(0, I).

    Raises:
        ConfigError: a step size that is not positive and finite, an unknown scheme, or "em" with a
            preconditioner.

    Example:
        >>> nw.Langevin(0.05, "ei", adjust=True).exact
        True
    """

    step_size: float | Tensor
    scheme: str = "em"
    adjust: bool = False
    preconditioner: Reference | None = None

    def __post_init__(self) -> None:
        one_of("scheme", self.scheme, ("em", "ei"))
        if self.preconditioner is not None and self.scheme == "em":
            raise ConfigError(
                "Euler-Maruyama takes no preconditioner: use scheme='ei', the exponential "
                "integrator"
            )
        check_step_size(self.step_size)

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """True with the accept step."""
        return self.adjust

    @property
    def takes_preconditioner(self) -> bool:  # type: ignore[override]
        """True for the exponential integrator."""
        return self.scheme == "ei"

    def step(
        self, state: State, target: Target, noise: Noise, carry: Tensor | None = None
    ) -> tuple[State, Info, None]:
        """One transition; hands nothing on."""
        a, b, s = self._coefficients(state.z)
        reference, dtype = reference_of(self.preconditioner), state.z.dtype
        xi = noise.normal(tuple(state.z.shape[1:]), keyed.PROPOSAL, dtype)
        u = (
            a.to(dtype) * reference.offset(state.z)
            - b.to(dtype) * reference.power(reference.residual_gradient(state), -1.0)
            + s.to(dtype) * reference.power(xi, -0.5)
        )
        proposal = target(reference.position(u))
        log_alpha = log_acceptance(state, proposal, a, b, s, reference)
        accept = noise if self.adjust else None
        return *metropolis(state, proposal, log_alpha, finite_rows(proposal), accept), None

    def _coefficients(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tau = per_row(self.step_size, z)
        if self.scheme == "em":
            return 1.0 - tau, tau, torch.sqrt(2.0 * tau)
        return torch.exp(-tau), -torch.expm1(-tau), torch.sqrt(-torch.expm1(-2.0 * tau))


def log_acceptance(
    state: State,
    proposal: State,
    a: Tensor,
    b: Tensor,
    s: Tensor,
    reference: Standard | Reference = STANDARD,
) -> Tensor:
    """(B,) float64 log Metropolis-Hastings ratio of a move of the family, not capped at 0."""
    q, q_ = (reference.residual_gradient(one).to(torch.float64) for one in (state, proposal))
    u, u_ = (reference.offset(one.z.to(torch.float64)) for one in (state, proposal))
    terms = 0.5 * (1.0 - (1.0 - a**2) / s**2) * (u - u_) * (u + u_)
    terms = terms - b / s**2 * ((u - a * u_) * q_ - (u_ - a * u) * q)
    terms = terms - b**2 / (2.0 * s**2) * (q_ - q) * reference.power(q_ + q, -1.0)
    return reference.drop(state, proposal) + terms.flatten(1).sum(1)
