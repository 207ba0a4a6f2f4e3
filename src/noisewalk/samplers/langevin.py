r"""Langevin dynamics in noise space, $dz = -(z + \nabla L_y(\Phi(z)))\,dt + \sqrt 2\, dW$ (equation 8 of the paper).

Both schemes are one family, $z' = a z - b g + s \xi$ with $g = \nabla_z L_y(\Phi(z))$ and $\xi \sim N(0, I)$:

| scheme | a | b | s | |
|---|---|---|---|---|
| em | $1 - \tau$ | $\tau$ | $\sqrt{2\tau}$ | Euler-Maruyama, equation 11 |
| ei | $e^{-\tau}$ | $1 - e^{-\tau}$ | $\sqrt{1 - e^{-2\tau}}$ | exponential integrator, Appendix C |

With `adjust` the proposal is accepted with probability $\min(1, \alpha)$: em becomes MALA, ei becomes pCN-Langevin.
$$\log\alpha = L - L' + \tfrac12\Big(1 - \tfrac{1-a^2}{s^2}\Big)\langle z - z', z + z'\rangle
- \tfrac{b}{s^2}\big(\langle z - a z', g'\rangle - \langle z' - a z, g\rangle\big) - \tfrac{b^2}{2 s^2}\langle g' - g, g' + g\rangle$$
in float64: grouped so that no two large norms are subtracted, which in float32 would cost about 0.02 at a million dimensions.

References: Purohit et al., Posterior sampling via Langevin dynamics based on generative priors, 2024;
Roberts and Tweedie, Exponential convergence of Langevin distributions and their discrete approximations, 1996 (MALA);
Cotter et al., MCMC methods for functions, 2013, equation 4.10 (pCN-Langevin with delta = 2 tanh(tau / 2)).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import noise as keyed
from ..errors import ConfigError
from ..noise import Noise
from ..repr import readable
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

    Raises:
        ConfigError: a step size that is not positive and finite, or an unknown scheme.
    """

    step_size: float | Tensor
    scheme: str = "em"
    adjust: bool = False

    needs_gradient = True

    def __post_init__(self) -> None:
        if self.scheme not in ("em", "ei"):
            raise ConfigError(f"unknown scheme {self.scheme!r}: choose 'em' (Euler-Maruyama) or 'ei' (exponential integrator)")
        tau = torch.as_tensor(self.step_size)
        if tau.ndim > 1 or tau.numel() == 0:
            raise ConfigError(f"step_size must be one number or one per image (N,), got shape {tuple(tau.shape)}")
        if not bool((torch.isfinite(tau) & (tau > 0)).all()):
            raise ConfigError(f"step_size must be positive and finite, got {self.step_size}")

    def step(self, state: State, target: Target, noise: Noise) -> tuple[State, Info]:
        """One transition.

        Arguments:
            state: the target's evaluation at z.
            target: the posterior.
            noise: this step's noise for the rows.

        Returns:
            The next state (a rejected or non-finite row keeps the old one) and what happened.
        """
        a, b, s = (c.view(-1, *[1] * (state.z.ndim - 1)) for c in self._coefficients(state.z))
        xi = noise.normal(tuple(state.z.shape[1:]), keyed.PROPOSAL, state.z.dtype)
        dtype = state.z.dtype
        proposal = target(a.to(dtype) * state.z - b.to(dtype) * state.grad + s.to(dtype) * xi)
        finite = torch.isfinite(proposal.nll)
        for part in (proposal.z, proposal.x, proposal.grad):
            finite = finite & torch.isfinite(part).flatten(1).all(1)
        log_alpha = log_acceptance(state, proposal, a, b, s)
        rate = torch.where(finite, log_alpha.clamp(max=0.0).exp(), 0.0).nan_to_num(0.0)
        accepted = finite
        if self.adjust:
            accepted = finite & (torch.log(noise.uniform((), keyed.ACCEPT)) < log_alpha)
        return select(accepted, proposal, state), Info(rate, accepted, ~finite)

    def _coefficients(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tau = torch.as_tensor(self.step_size, dtype=torch.float64, device=z.device).reshape(-1)
        tau = tau.repeat_interleave(z.shape[0] // tau.shape[0])
        if self.scheme == "em":
            return 1.0 - tau, tau, torch.sqrt(2.0 * tau)
        return torch.exp(-tau), -torch.expm1(-tau), torch.sqrt(-torch.expm1(-2.0 * tau))


def log_acceptance(state: State, proposal: State, a: Tensor, b: Tensor, s: Tensor) -> Tensor:
    """Log Metropolis-Hastings ratio of z' = a z - b g + s xi for exp(-L) N(0, I), in the grouped form above.

    Arguments:
        state: where the move starts.
        proposal: where it would end.
        a: coefficient of z, broadcastable to z.
        b: coefficient of the gradient.
        s: coefficient of the noise.

    Returns:
        (B,) float64, not capped at 0.
    """
    z, g, z_, g_ = (t.to(torch.float64) for t in (state.z, state.grad, proposal.z, proposal.grad))
    terms = 0.5 * (1.0 - (1.0 - a**2) / s**2) * (z - z_) * (z + z_)
    terms = terms - b / s**2 * ((z - a * z_) * g_ - (z_ - a * z) * g)
    terms = terms - b**2 / (2.0 * s**2) * (g_ - g) * (g_ + g)
    return state.nll - proposal.nll + terms.flatten(1).sum(1)


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
