r"""Does the measurement look like one that the draws would have made? The chi-square check of a
Gaussian likelihood.

With m observed entries and residual $r = y - A(x)$ of one draw x,
$$\chi^2 = \frac{1}{m} \sum_i \frac{r_i^2}{\sigma_{y,i}^2}, \qquad p = \mathbb E_{x | y}\, P(\chi^2_m \ge m \chi^2(x)) = \overline{Q(m / 2, m \chi^2 / 2)}$$
with Q the regularised upper incomplete gamma function: a replicated measurement's residual is pure
noise, so its distribution is known and need not be simulated. For one exact posterior draw p is
uniform when y comes from the model; the mean over draws is then less spread than uniform
(conservative). Near 0: the draws do not explain y. Near 1: they fit the noise, or sigma_y is too
large.

Reference: Gelman, Meng and Stern, Posterior Predictive Assessment of Model Fitness via Realized
Discrepancies, 1996, equation 5.
"""

import torch
from torch import Tensor

from ...errors import ConfigError


def chi2(residual: Tensor, sigma_y: float | Tensor, observed: Tensor | None = None) -> Tensor:
    r"""Chi-square statistic per observed entry, $\sum_i r_i^2 / (\sigma_{y,i}^2 m)$; 1 on average
    under the truth.

    Arguments:
        residual: y - A(x), (draw, *y); unobserved entries are never read.
        sigma_y: noise standard deviation on the [-1, 1] scale, a number or a tensor broadcastable
            to *y.
        observed: bool, broadcastable to *y, True = measured; None: all.

    Returns:
        (draw,) float64.

    Raises:
        ConfigError: nothing is observed, or sigma_y is not positive.
    """
    shape = residual.shape[1:]
    seen = (
        torch.ones(shape, dtype=torch.bool, device=residual.device)
        if observed is None
        else observed.to(residual.device).expand(shape)
    )
    sigma = torch.as_tensor(sigma_y, dtype=torch.float64, device=residual.device).expand(shape)
    if not seen.any():
        raise ConfigError("chi2 needs at least one observed entry, got none: check the mask")
    if not bool(((sigma > 0) | ~seen).all()):
        raise ConfigError(
            "sigma_y must be positive wherever y is observed: give the noise's standard deviation"
        )
    scaled = torch.where(seen, residual.to(torch.float64) / sigma, 0.0)
    return scaled.square().flatten(1).sum(1) / seen.sum()


def chi2_p_value(values: Tensor, num_observed: int) -> Tensor:
    """Posterior-predictive p-value of the chi-square statistic.

    Arguments:
        values: `chi2` of each draw, (..., draw).
        num_observed: m, observed entries of y.

    Returns:
        (...) float64 in [0, 1].

    Raises:
        ConfigError: num_observed is not positive.
    """
    if num_observed < 1:
        raise ConfigError(
            f"num_observed must be at least 1, got {num_observed}: count the observed entries of y"
        )
    half = values.to(torch.float64) * (num_observed / 2)
    return torch.special.gammaincc(torch.full_like(half, num_observed / 2), half).mean(-1)
