r"""How well-conditioned a posterior is: the paper's condition number and what it bounds.

$$\kappa_y = \frac{\sup_x p(y | x)}{\int p(y | x)\, p_{data}(x)\, dx} \ge 1, \qquad
TV(p_{0,y}, \tilde p^S_{0,y}) \le 2 \kappa_y \varepsilon + \varepsilon_S,$$
where the prior is right up to a total variation of epsilon and the sampler up to epsilon_S. Kappa
is kept as a logarithm: it is often above e^100, and then no learned prior is good enough for the
bound to say something. With the evidence under the model's prior in place of the data's, and the
supremum over all x in place of the range of A, log kappa is an estimate of an upper bound.

Reference: Purohit et al., Posterior sampling via Langevin dynamics based on generative priors,
2024, equation 10, Theorem 4.1 and Corollary 4.3.
"""

import math

import torch
from torch import Tensor

from ..._checks import real
from ..._intake import plain
from ...errors import ConfigError

IMPOSSIBLE = 3.0  # log kappa this far below 0 is a mistake, not the error of an evidence


def log_kappa(log_evidence: float | Tensor, sup_log_likelihood: float | Tensor) -> Tensor:
    """Logarithm of the condition number kappa_y.

    Arguments:
        log_evidence: log p(y), any shape; `run.log_evidence` of tempered SMC.
        sup_log_likelihood: sup over x of log p(y | x), with the same constants; broadcastable.
            Where y itself is the most likely A(x), as under a Gaussian, Laplace or Student-t
            likelihood, it is `-likelihood.nll(y, y, observed)`: mind the sign.

    Returns:
        float64, 0 or more up to the evidence's own error, `run.log_evidence_error`.

    Raises:
        ConfigError: a value that is not finite, or an evidence far above the supremum.

    Example:
        The paper's Example 4.1: the prior holds the image that y speaks for in 30 of 100 draws.

        >>> kappa = nw.diagnostics.log_kappa(torch.tensor(0.3).log(), sup_log_likelihood=0.0)
        >>> kappa.exp(), nw.diagnostics.tv_bound(kappa, epsilon=0.01)
        (tensor(3.3333, dtype=torch.float64), tensor(0.0667, dtype=torch.float64))
    """
    given = {"log_evidence": log_evidence, "sup_log_likelihood": sup_log_likelihood}
    evidence, sup = (plain(name, v).to(torch.float64) for name, v in given.items())
    if not bool(torch.isfinite(evidence).all() and torch.isfinite(sup).all()):
        values = " and ".join(f"{name} {value}" for name, value in given.items())
        raise ConfigError(f"log_kappa needs finite numbers, got {values}")
    found = sup - evidence
    if bool((found < -IMPOSSIBLE).any()):
        excess = f"by {-float(found.min()):.3g} in logarithm, which cannot be"
        question = "is sup_log_likelihood -nll?"
        raise ConfigError(f"the evidence is above the largest likelihood {excess}: {question}")
    return found


def tv_bound(log_kappa: float | Tensor, epsilon: float, epsilon_s: float = 0.0) -> Tensor:
    """Bound on the total variation between the sampled and the true posterior.

    Arguments:
        log_kappa: from `log_kappa`.
        epsilon: total variation between the prior and the data, in [0, 1].
        epsilon_s: total variation between the sampler's law and the model's posterior, in [0, 1].

    Returns:
        2 kappa epsilon + epsilon_s, at most 1: a bound of 1 says nothing.

    Raises:
        ConfigError: an epsilon outside [0, 1].

    Example:
        >>> nw.diagnostics.tv_bound(0.0, epsilon=0.01, epsilon_s=0.05)
        tensor(0.0700, dtype=torch.float64)
    """
    epsilon = real("epsilon", epsilon, least=0, most=1)
    epsilon_s = real("epsilon_s", epsilon_s, least=0, most=1)
    log = plain("log_kappa", log_kappa).to(torch.float64).clamp(min=0.0)  # kappa is at least 1
    first = torch.exp(log + math.log(2 * epsilon)) if epsilon > 0 else torch.zeros_like(log)
    return (first + epsilon_s).clamp(max=1.0)


def informative_epsilon(log_kappa: float | Tensor, epsilon_s: float = 0.0) -> Tensor:
    """The largest error of the prior at which `tv_bound` is below 1.

    Arguments:
        log_kappa: from `log_kappa`.
        epsilon_s: as in `tv_bound`.

    Returns:
        (1 - epsilon_s) / (2 kappa); 0 where that is below the smallest float64.

    Raises:
        ConfigError: an epsilon outside [0, 1].

    Example:
        >>> nw.diagnostics.informative_epsilon(0.0)
        tensor(0.5000, dtype=torch.float64)
    """
    epsilon_s = real("epsilon_s", epsilon_s, least=0, most=1)
    log = plain("log_kappa", log_kappa).to(torch.float64).clamp(min=0.0)
    return (1.0 - epsilon_s) / 2 * torch.exp(-log)
