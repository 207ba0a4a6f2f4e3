r"""The estimators of `chains`, for pixels in a block (P, chain, draw) of float64.

Every statistic but the jump first splits each of C chains of T draws into halves (the middle draw
of an odd chain is left out): $M = 2 C$ chains of length $n = \lfloor T / 2 \rfloor$. Rank
normalisation replaces a draw of average rank $r$ among the $S = M n$ by $z = \Phi^{-1}((r - 3/8) /
(S + 1/4))$, folding by $|x - \mathrm{median}|$. With $W$ the mean within-chain variance and $B / n$
the variance of the chain means,
$$\hat R = \sqrt{\frac{n - 1}{n} + \frac{B}{n W}}, \qquad
\mathrm{ESS} = \frac{M n}{\max(\hat\tau, 1 / \log_{10} M n)},
\qquad \hat\tau = -1 + 2 \sum_k \hat P_k + \hat\rho_{2K},$$
where $\hat\rho_t = 1 - (W - \bar\gamma_t) / (\frac{n - 1}{n} W + \frac{B}{n})$ from the mean
autocovariance $\bar\gamma_t$, and $\hat P_k = \hat\rho_{2k} + \hat\rho_{2k+1}$, $k < K$, is Geyer's
initial monotone sequence: cut at its first non-positive pair $K$, then made non-increasing. R-hat
is the larger of the ranked and the folded one. Bulk ESS uses $z$, tail ESS the indicators of the 5%
and 95% quantiles (the smaller). The Monte Carlo error of the mean is sd / sqrt(ESS of the draws as
they are).

References: Vehtari, Gelman, Simpson, Carpenter and Buerkner, Rank-Normalization, Folding, and
Localization: An Improved R-hat for Assessing Convergence of MCMC, 2021; Geyer, Practical Markov
Chain Monte Carlo, 1992.
"""

import math

import torch
from torch import Tensor


def r_hat(x: Tensor) -> Tensor:
    """Split R-hat (P,)."""
    return _r_hat_and_scores(_split(x))[0]


def ess_bulk(x: Tensor) -> Tensor:
    """Bulk effective sample size (P,)."""
    return _ess(_normal_scores(_split(x))[0])


def ess_tail(x: Tensor) -> Tensor:
    """Tail effective sample size (P,)."""
    ordered = x.flatten(1).sort(-1).values
    ess = []
    for prob in (0.05, 0.95):
        place = prob * (ordered.shape[1] - 1)
        low, weight = int(place), place - int(place)
        a, b = ordered[:, low], ordered[:, min(low + 1, ordered.shape[1] - 1)]
        quantile = b - (b - a) * (1 - weight) if weight >= 0.5 else a + (b - a) * weight
        ess.append(_ess(_split((x <= quantile[:, None, None]).to(torch.float64))))
    return torch.minimum(*ess)


def r_hat_and_ess(x: Tensor) -> Tensor:
    """R-hat, bulk ESS and tail ESS (3, P), with the ranks computed once."""
    ratio, z = _r_hat_and_scores(_split(x))
    return torch.stack([ratio, _ess(z), ess_tail(x)])


def mcse_mean(x: Tensor) -> Tensor:
    """Monte Carlo standard error of the mean (P,)."""
    return moments(x)[1].sqrt() / _ess(_split(x)).sqrt()


def moments(x: Tensor) -> Tensor:
    """Mean squared distance of consecutive draws, and variance over all draws (2, P)."""
    deviation = x - x[:, :1, :1]  # equal draws: a variance of exactly 0
    return torch.stack([x.diff(dim=-1).square().mean((1, 2)), deviation.flatten(1).var(-1)])


def median(ordered: Tensor) -> Tensor:
    """Median of ascending numbers along the last axis."""
    size = ordered.shape[-1]
    return (ordered[..., (size - 1) // 2] + ordered[..., size // 2]) / 2


def _split(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return torch.cat([x[..., :half], x[..., -half:]], 1)


def _normal_scores(x: Tensor) -> tuple[Tensor, Tensor]:
    """Normal scores of the average ranks over a pixel's chains and draws, and the medians (P,)."""
    flat = x.flatten(1)
    ordered, index = flat.sort(-1)
    size = flat.shape[1]
    position = torch.arange(size, device=x.device).expand_as(index)
    edge = torch.ones(len(flat), size + 1, dtype=torch.bool, device=x.device)
    edge[:, 1:-1] = ordered[:, 1:] != ordered[:, :-1]
    first = torch.where(edge[:, :-1], position, 0).cummax(-1).values
    last = torch.where(edge[:, 1:], position, size).flip(-1).cummin(-1).values.flip(-1)
    rank = torch.empty_like(flat).scatter_(-1, index, (first + last).to(flat.dtype) / 2 + 1)
    return torch.special.ndtri((rank - 0.375) / (size + 0.25)).view_as(x), median(ordered)


def _ratio(z: Tensor) -> Tensor:
    n = z.shape[-1]
    deviation = z - z[..., :1]  # equal draws: exactly 0, which a rounded mean would not give
    within = deviation.var(-1).mean(-1)
    between = (z[..., 0] + deviation.mean(-1)).var(-1)
    return ((n * between / within + n - 1) / n).sqrt()


def _r_hat_and_scores(halves: Tensor) -> tuple[Tensor, Tensor]:
    z, middle = _normal_scores(halves)
    bulk, folded = _ratio(z), _ratio(_normal_scores((halves - middle[:, None, None]).abs())[0])
    # Folded is NaN where the draws take two values, each half of the time.
    return torch.where(folded > bulk, folded, bulk), z


def _ess(x: Tensor) -> Tensor:
    chains, n = x.shape[1:]
    mean = x.mean(-1, keepdim=True)
    spectrum = torch.fft.rfft(x - mean, n=1 << (2 * n - 1).bit_length())
    power = (spectrum.real.square() + spectrum.imag.square()).mean(1)
    autocovariance = torch.fft.irfft(power)[:, :n] / n
    within = autocovariance[:, :1] * n / (n - 1)
    total = within * (n - 1) / n
    if chains > 1:
        total = total + mean.var(1)
    rho = 1.0 - (within - autocovariance) / total
    rho[:, 0] = 1.0
    last = max((n - 3) // 2, 0)
    pairs = rho[:, : 2 * last + 2].unflatten(-1, (-1, 2)).sum(-1)
    k = torch.arange(last + 1, device=x.device)
    cut = torch.where(pairs <= 0, k, last).amin(-1, keepdim=True)
    monotone = torch.where(k < cut, pairs.cummin(-1).values, 0.0).sum(-1)
    even = rho.gather(1, 2 * cut)
    extra = torch.where((even > 0) | (pairs.gather(1, cut) >= 0), even, 0.0)[:, 0]
    tau = (-1.0 + 2.0 * monotone + extra).clamp(min=1.0 / math.log10(chains * n))
    ess = torch.where(rho[:, 1].isnan(), math.nan, chains * n / tau)
    equal = x.flatten(1).amax(-1) - x.flatten(1).amin(-1) < 1e-15
    return torch.where(equal, float(chains * n), ess)
