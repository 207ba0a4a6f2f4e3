"""Does the measurement look like one that the draws would have made? The chi-square check."""

import torch
from torch import Tensor

from ..._checks import whole
from ..._intake import plain, with_mask
from ...errors import ConfigError


def chi2(residual: Tensor, sigma_y: float | Tensor, observed: Tensor | None = None) -> Tensor:
    r"""Chi-square statistic per observed entry of a Gaussian likelihood.

    $\chi^2 = \tfrac{1}{m} \sum_i r_i^2 / \sigma_{y,i}^2$ over the m observed entries of one draw's
    residual $r = y - A(x)$: 1 on average under the truth.

    Arguments:
        residual: (draw, *y); unobserved entries are never read.
        sigma_y: noise standard deviation on the [-1, 1] scale, broadcastable to *y.
        observed: bool, broadcastable to *y, True = measured; None: all.

    Returns:
        (draw,) float64.

    Raises:
        ConfigError: nothing is observed, or sigma_y is not positive.

    Example:
        >>> residual, observed = torch.tensor([[0.1, -0.1, 9.0]]), torch.tensor([1, 1, 0]).bool()
        >>> nw.diagnostics.chi2(residual, sigma_y=0.1, observed=observed)
        tensor([1.0000], dtype=torch.float64)
    """
    residual, known = with_mask("residual", residual)
    shape, device = residual.shape[1:], residual.device
    seen = plain("observed", True if observed is None else observed).to(device).expand(shape)
    seen = seen if known is None else seen & known.all(0)
    sigma = plain("sigma_y", sigma_y).to(device, torch.float64).expand(shape)
    if not seen.any():
        raise ConfigError("chi2 needs at least one observed entry, got none: check the mask")
    if not bool(((sigma > 0) | ~seen).all()):
        advice = "give the noise's standard deviation"
        raise ConfigError(f"sigma_y must be positive wherever y is observed: {advice}")
    scaled = torch.where(seen, residual.to(torch.float64) / sigma, 0.0)
    return scaled.square().reshape(len(scaled), -1).sum(1) / seen.sum()


def chi2_p_value(values: Tensor, num_observed: int) -> Tensor:
    r"""Posterior-predictive p-value of the chi-square statistic.

    The mean over draws of $Q(m / 2, m \chi^2 / 2)$, with Q the regularised upper incomplete gamma
    function. When y comes from the model, p of one exact draw is uniform and the mean less spread.
    Near 0, the draws do not explain y. Near 1, they fit the noise, or sigma_y is too large.
    Reference: Gelman, Meng and Stern, Posterior Predictive Assessment of Model Fitness via Realized
    Discrepancies, 1996, equation 5.

    Arguments:
        values: `chi2` of each draw, (..., draw).
        num_observed: m, observed entries of y.

    Returns:
        (...) float64 in [0, 1].

    Raises:
        ConfigError: num_observed is not positive.

    Example:
        >>> nw.diagnostics.chi2_p_value(torch.tensor([0.9, 1.1]), num_observed=1000)
        tensor(0.5019, dtype=torch.float64)
    """
    m = whole("num_observed", num_observed)
    half = plain("values", values).to(torch.float64) * (m / 2)
    return torch.special.gammaincc(torch.full_like(half, m / 2), half).mean(-1)
