r"""How well-conditioned a posterior is: the paper's condition number and what it bounds.

$$\kappa_y = \frac{\sup_x p(y | x)}{\int p(y | x)\, p_{data}(x)\, dx} \ge 1, \qquad
TV(p_{0,y}, \tilde p^S_{0,y}) \le 2 \kappa_y \varepsilon + \varepsilon_S,$$
where the prior is right up to a total variation of epsilon and the sampler up to epsilon_S. Kappa
is kept as a logarithm: it is often above e^100, and then the bound says something only for an
epsilon that no learned prior reaches. With the evidence under the model's prior in place of the
data's, and the supremum over all x in place of the range of A, log kappa is an estimate of an upper
bound.

Reference: Purohit et al., Posterior sampling via Langevin dynamics based on generative priors,
2024, equation 10, Theorem 4.1 and Corollary 4.3.
"""

import math

import torch
from torch import Tensor

from ...errors import ConfigError

IMPOSSIBLE = 3.0
"""How far below 0 an estimate of log kappa may lie: the error of an evidence, not a mistake."""


def log_kappa(log_evidence: float | Tensor, sup_log_likelihood: float | Tensor) -> Tensor:
    """Log of the condition number kappa_y.

    Arguments:
        log_evidence: log p(y), any shape; `run.log_evidence` of tempered SMC.
        sup_log_likelihood: sup over x of log p(y | x), with the same constants; broadcastable.
            Where y itself is the most likely A(x), as under a Gaussian, Laplace or Student-t
            likelihood, it is `-likelihood.nll(y, y, observed)`: mind the sign.

    Returns:
        float64, 0 or more up to the evidence's own error, `run.log_evidence_error`, which is the
        error of log kappa too.

    Raises:
        ConfigError: a value that is not finite, or an evidence above the supremum by more than
            errors of its estimate explain.

    Example:
        The paper's two examples, on a prior of two images. The measurement speaks for the first
        one, which the prior holds in 30 of 100 draws (4.1), or in one of 10^9 (4.2): the same
        likelihood, but there the bound says nothing unless the prior is right to 10^-9.

        >>> import torch
        >>> def kappa_of(known):
        ...     prior, likelihood = torch.tensor([known, 1 - known]).double(), torch.tensor([1.0,
        1e-12]).double() ...     return log_kappa((prior * likelihood).sum().log(),
        likelihood.max().log()) >>> [f"{float(kappa_of(known).exp()):.2g}" for known in (0.3, 1e-9)]
        ['3.3', '1e+09'] >>> [round(float(tv_bound(kappa_of(known), epsilon=0.01)), 3) for known in
        (0.3, 1e-9)] [0.067, 1.0]
    """
    evidence, sup = (
        torch.as_tensor(v, dtype=torch.float64) for v in (log_evidence, sup_log_likelihood)
    )
    if not bool(torch.isfinite(evidence).all() and torch.isfinite(sup).all()):
        raise ConfigError(
            f"log_kappa needs finite numbers, got log_evidence {log_evidence} and "
            f"sup_log_likelihood {sup_log_likelihood}"
        )
    found = sup - evidence
    if bool((found < -IMPOSSIBLE).any()):
        worst = float(found.min())
        raise ConfigError(
            f"the evidence is above the largest likelihood by {-worst:.3g} in logarithm, which "
            "cannot be: is sup_log_likelihood -nll?"
        )
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
    """
    _total_variation("epsilon", epsilon)
    _total_variation("epsilon_s", epsilon_s)
    log = torch.as_tensor(log_kappa, dtype=torch.float64).clamp(min=0.0)  # kappa is at least 1
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
    """
    _total_variation("epsilon_s", epsilon_s)
    return (
        (1.0 - epsilon_s)
        / 2
        * torch.exp(-torch.as_tensor(log_kappa, dtype=torch.float64).clamp(min=0.0))
    )


def _total_variation(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name} is a total variation and lies in [0, 1], got {value}")
