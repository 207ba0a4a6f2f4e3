r"""Langevin dynamics in noise space, $dz = -(z + \nabla L_y(\Phi(z)))\,dt + \sqrt 2\, dW$ (equation
8 of the paper).

Both schemes are one family, $z' = a z - b g + s \xi$ with $g = \nabla_z L_y(\Phi(z))$ and
$\xi \sim N(0, I)$:

| scheme | a | b | s | |
|---|---|---|---|---|
| em | $1 - \tau$ | $\tau$ | $\sqrt{2\tau}$ | Euler-Maruyama, equation 11 |
| ei | $e^{-\tau}$ | $1 - e^{-\tau}$ | $\sqrt{1 - e^{-2\tau}}$ | exponential integrator, Appendix C |

With a preconditioner the exponential integrator integrates another Gaussian exactly than N(0, I):
the Gauss-Newton one, N(m, H^-1) of `preconditioner.py`. With u = z - m and q the gradient of psi,
$u' = a u - b H^{-1} q + s H^{-1/2} \xi$; a Gaussian posterior is then sampled exactly at any step.
With `adjust` the proposal is accepted with probability $\min(1, \alpha)$: em becomes MALA, ei
becomes pCN-Langevin.
$$\log\alpha = L - L' + \tfrac12\Big(1 - \tfrac{1-a^2}{s^2}\Big)\langle z - z', z + z'\rangle
- \tfrac{b}{s^2}\big(\langle z - a z', g'\rangle - \langle z' - a z, g\rangle\big) - \tfrac{b^2}{2 s^2}\langle g' - g, g' + g\rangle$$
and with the reference N(m, H^-1)
$$\log\alpha = \psi - \psi' - \tfrac{b}{s^2}\big(\langle u - a u', q'\rangle - \langle u' - a u, q\rangle\big)
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
from .._repr import readable
from ..errors import ConfigError
from ..gaussians.low_rank import Reference, Standard, reference_of
from ..noise import Noise
from ..types import Info, State, Target


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Langevin:
    """One Langevin transition of every row; costs one evaluation of the target.

    Unadjusted, the stationary law is biased by O(step_size); adjusted, it is exact.

    Arguments:
        step_size: tau > 0, one number or one per image (N,).
        scheme: "em" or "ei".
        adjust: accept or reject (MALA, pCN-Langevin) instead of always moving.
        preconditioner: N(m, H^-1) from `gauss_newton` or `spectral`, only with "ei"; None is N(0,
            I).

    Raises:
        ConfigError: a step size that is not positive and finite, an unknown scheme, or "em" with a
            preconditioner.
    """

    step_size: float | Tensor
    scheme: str = "em"
    adjust: bool = False
    preconditioner: Reference | None = None

    needs_gradient = True
    evaluations = 1

    def __post_init__(self) -> None:
        if self.scheme not in ("em", "ei"):
            raise ConfigError(
                f"unknown scheme {self.scheme!r}: choose 'em' (Euler-Maruyama) or 'ei' "
                "(exponential integrator)"
            )
        if self.preconditioner is not None and self.scheme == "em":
            raise ConfigError(
                "Euler-Maruyama takes no preconditioner: use scheme='ei', the exponential "
                "integrator"
            )
        check_step_size(self.step_size)

    def step(self, state: State, target: Target, noise: Noise) -> tuple[State, Info]:
        """One transition.

        Arguments:
            state: the target's evaluation at z.
            target: the posterior.
            noise: this step's noise for the rows.

        Returns:
            The next state (a rejected or non-finite row keeps the old one) and what happened.
        """
        a, b, s = self._coefficients(state.z)
        reference = reference_of(self.preconditioner)
        xi = noise.normal(tuple(state.z.shape[1:]), keyed.PROPOSAL, state.z.dtype)
        dtype = state.z.dtype
        drift = reference.power(reference.residual_gradient(state), -1.0)
        u = (
            a.to(dtype) * reference.offset(state.z)
            - b.to(dtype) * drift
            + s.to(dtype) * reference.power(xi, -0.5)
        )
        proposal = target(reference.position(u))
        finite = finite_rows(proposal)
        log_alpha = log_acceptance(state, proposal, a, b, s, reference)
        return metropolis(state, proposal, log_alpha, finite, noise if self.adjust else None)

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
    reference: Standard | Reference | None = None,
) -> Tensor:
    """Log Metropolis-Hastings ratio of the move for exp(-L) N(0, I), in the grouped form above.

    Arguments:
        state: where the move starts.
        proposal: where it would end.
        a: coefficient of u, broadcastable to z; with a preconditioner a^2 + s^2 = 1.
        b: coefficient of the gradient.
        s: coefficient of the noise.
        reference: the Gaussian; None is N(0, I).

    Returns:
        (B,) float64, not capped at 0.
    """
    reference = reference or Standard()
    q, q_ = (reference.residual_gradient(one).to(torch.float64) for one in (state, proposal))
    u, u_ = (reference.offset(one.z.to(torch.float64)) for one in (state, proposal))
    terms = 0.5 * (1.0 - (1.0 - a**2) / s**2) * (u - u_) * (u + u_)
    terms = terms - b / s**2 * ((u - a * u_) * q_ - (u_ - a * u) * q)
    terms = terms - b**2 / (2.0 * s**2) * (q_ - q) * reference.power(q_ + q, -1.0)
    return reference.drop(state, proposal) + terms.flatten(1).sum(1)


def check_step_size(step_size: float | Tensor) -> None:
    """Refuse a step size that no kernel can take.

    Arguments:
        step_size: one number or one per image (N,).

    Raises:
        ConfigError: another shape, or values that are not positive and finite.
    """
    tau = torch.as_tensor(step_size, dtype=torch.float64)
    if tau.ndim > 1 or tau.numel() == 0:
        raise ConfigError(
            f"step_size must be one number or one per image (N,), got shape {tuple(tau.shape)}"
        )
    if not bool((torch.isfinite(tau) & (tau > 0)).all()):
        raise ConfigError(f"step_size must be positive and finite, got {step_size}")


def per_row(step_size: float | Tensor, z: Tensor) -> Tensor:
    """The step of every row.

    Arguments:
        step_size: one number or one per image (N,).
        z: (B, *shape), image-major.

    Returns:
        (B, 1, ...) float64, broadcastable to z.
    """
    tau = torch.as_tensor(step_size, dtype=torch.float64, device=z.device).reshape(-1)
    return tau.repeat_interleave(z.shape[0] // tau.shape[0]).view(-1, *[1] * (z.ndim - 1))


def finite_rows(state: State) -> Tensor:
    """Which rows are finite in every part.

    Arguments:
        state: an evaluation.

    Returns:
        (B,) bool.
    """
    finite = torch.isfinite(state.nll)
    for part in (state.z, state.x, state.grad):
        finite = finite & torch.isfinite(part).flatten(1).all(1)
    return finite


def metropolis(
    state: State, proposal: State, log_alpha: Tensor, finite: Tensor, noise: Noise | None
) -> tuple[State, Info]:
    """Accept every row's proposal with probability min(1, alpha); one that is not finite never.

    Arguments:
        state: where the move starts.
        proposal: where it ends.
        log_alpha: (B,) float64 log acceptance ratio.
        finite: (B,) bool, proposals that may be taken.
        noise: of the rows, its ACCEPT slot; None takes every finite proposal.

    Returns:
        The next state and what happened.
    """
    rate = torch.where(finite, log_alpha.clamp(max=0.0).exp(), 0.0).nan_to_num(0.0)
    accepted = (
        finite
        if noise is None
        else finite & (torch.log(noise.uniform((), keyed.ACCEPT).to(log_alpha.device)) < log_alpha)
    )
    return select(accepted, proposal, state), Info(rate, accepted, ~finite)


def select(accepted: Tensor, proposal: State, state: State) -> State:
    """Row by row the proposal where accepted, else the old state, bitwise.

    Arguments:
        accepted: (B,) bool.
        proposal: the new state.
        state: the old state.

    Returns:
        The state of every row.
    """

    def pick(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(accepted.view(-1, *[1] * (new.ndim - 1)), new, old)

    return State(*(pick(new, old) for new, old in zip(proposal, state, strict=True)))
