r"""The two rules by which the guided methods are guided.

The Appendix B.2 of Purohit et al., Posterior sampling via Langevin dynamics based on generative
priors, 2024, and its released code do not agree. The weights of its Tables A.1 and A.2 belong to
the code. Every norm and every likelihood is over one row and its observed entries.

- rule "released": $\hat x_0 = \mathrm{clamp}(f(x_i, \sigma_i), -1, 1)$, differentiated through the
  clamp too. The loss is the norm of $y - A(\hat x_0)$, not squared, whatever the noise is. The push
  carries a factor $\sigma_i$.
- rule "text": $\hat x_0 = f(x_i, \sigma_i)$, never clamped. The loss is the likelihood's
  $L_y(\hat x_0)$. (The paper prints the gradient of p(y | x) with the sign of a step away from y;
  -log p is meant.)
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ..._checks import one_of
from ...errors import ConfigError
from ...likelihoods.base import complete
from ...types import Denoiser, Likelihood, Operator
from .batch import Block

RULES = ("released", "text")
Loss: TypeAlias = Callable[[Tensor, Block], Tensor]  # (x_0, block) -> (B,)


def estimate(denoiser: Denoiser, x: Tensor, sigma: float, rule: str) -> Tensor:
    """The estimate of x_0 (B, *x), one network call a row; "released" clamps it."""
    x0 = denoiser(x, torch.tensor(sigma, dtype=x.dtype, device=x.device))
    return x0.clamp(-1, 1) if rule == "released" else x0


def through(
    denoiser: Denoiser, x: Tensor, sigma: float, rule: str, zeta: float, loss: Callable
) -> tuple[Tensor, Tensor]:
    """The estimate of x_0, and the push: zeta times the gradient, in x_t through the network, of
    the estimate's row-wise loss, and times sigma if "released"."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        x0 = estimate(denoiser, leaf, sigma, rule)
        value = loss(x0).sum()
        if not value.requires_grad:
            advice = "write it in torch operations, without detach() or numpy"
            raise ConfigError(f"no gradient comes back through the operator: {advice}")
        grad = torch.autograd.grad(value, leaf)[0]
    return x0.detach(), zeta * (sigma if rule == "released" else 1.0) * grad


def loss_of(rule: str, operator: Operator, likelihood: Likelihood | None) -> Loss:
    """How far an estimate is from the measurement, row-wise: the norm of y - A(x_0) ("released"),
    or -log p(y | x_0) ("text")."""
    one_of("rule", rule, RULES)

    def norm(x0: Tensor, block: Block) -> Tensor:
        residual = block.y - operator(x0)
        if block.observed is not None:
            residual = torch.where(block.observed, residual, residual.new_zeros(()))
        return torch.linalg.vector_norm(residual.flatten(1), dim=1)

    if rule == "released":
        return norm
    if likelihood is None:
        advice = "such as nw.likelihoods.Gaussian(sigma_y), or use rule='released'"
        raise ConfigError(f"rule='text' differentiates the likelihood: give likelihood=, {advice}")
    whole = complete(likelihood)

    def nll(x0: Tensor, block: Block) -> Tensor:
        own = whole.of_rows(block.image, block.y.ndim)
        return own.nll(operator(x0), block.y, block.observed)

    return nll
