r"""Have the chains mixed? R-hat, effective sample sizes, Monte Carlo error and jump, for every
pixel at once.

Draws $x_{ct}$ of one scalar, chains $c = 1..C$, draws $t = 1..T$; every statistic but the jump
first splits each chain into halves (the middle draw of an odd chain is left out), which gives
$M = 2 C$ chains of length $n = \lfloor T / 2 \rfloor$. Rank normalisation replaces a draw of
average rank $r$ among the $S = M n$ by $z = \Phi^{-1}((r - 3/8) / (S + 1/4))$, folding by
$|x - \mathrm{median}|$. With $W$ the mean within-chain variance and $B / n$ the variance of the
chain means,
$$\hat R = \sqrt{\frac{n - 1}{n} + \frac{B}{n W}}, \qquad \mathrm{ESS} = \frac{M n}{\max(\hat\tau, 1 / \log_{10} M n)},
\qquad \hat\tau = -1 + 2 \sum_k \hat P_k + \hat\rho_{2K},$$
where $\hat\rho_t = 1 - (W - \bar\gamma_t) / (\frac{n - 1}{n} W + \frac{B}{n})$ from the mean
autocovariance $\bar\gamma_t$, and $\hat P_k = \hat\rho_{2k} + \hat\rho_{2k+1}$, $k < K$, is Geyer's
initial monotone sequence: cut at its first non-positive pair $K$, then made non-increasing. R-hat
is the larger of the ranked and the folded one; bulk ESS uses $z$, tail ESS the indicators of the 5
% and 95 % quantiles (the smaller), the Monte Carlo error of the mean is sd / sqrt(ESS of the draws
as they are).

All are equal to arviz-stats' on float64 draws, its corner cases included: fewer than 4 draws or any
NaN give NaN; R-hat needs two chains, is NaN where all draws are equal and infinite where each chain
is stuck at a value of its own; the ESS of equal draws is their number.

References: Vehtari, Gelman, Simpson, Carpenter and Buerkner, Rank-Normalization, Folding, and
Localization: An Improved R-hat for Assessing Convergence of MCMC, 2021; Geyer, Practical Markov
Chain Monte Carlo, 1992.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError
from ...noise import PROBE, Noise

MIN_DRAWS = 4
"""Fewer draws a chain than this say nothing: NaN."""
_BLOCK = 1 << 20  # numbers worked on at once


def r_hat(draws: Tensor | np.ndarray) -> Tensor:
    """Rank-normalised split R-hat, the larger of bulk and folded; below 1.01 is the usual demand.

    Arguments:
        draws: (chain, draw, ...).

    Returns:
        (...) float64; NaN for one chain, fewer than 4 draws, or equal draws.
    """
    return _map(_r_hat, draws, min_chains=2)


def ess_bulk(draws: Tensor | np.ndarray) -> Tensor:
    """Effective number of independent draws for the centre of the distribution.

    Arguments:
        draws: (chain, draw, ...).

    Returns:
        (...) float64; NaN for fewer than 4 draws.
    """
    return _map(lambda x: _ess(_normal_scores(_split(x))[0]), draws)


def ess_tail(draws: Tensor | np.ndarray) -> Tensor:
    """Effective number of independent draws for the 5 % and 95 % quantiles, the smaller of the two.

    Arguments:
        draws: (chain, draw, ...).

    Returns:
        (...) float64; NaN for fewer than 4 draws.
    """
    return _map(_ess_tail, draws)


def mcse_mean(draws: Tensor | np.ndarray) -> Tensor:
    """Monte Carlo standard error of the mean over all chains and draws.

    Arguments:
        draws: (chain, draw, ...).

    Returns:
        (...) float64, in the unit of the draws; NaN for fewer than 4 draws.
    """
    return _map(lambda x: _moments(x)[1].sqrt() / _ess(_split(x)).sqrt(), draws)


def jump(draws: Tensor | np.ndarray, variance: Tensor | None = None) -> Tensor:
    r"""Mean squared distance of consecutive draws over twice the variance.

    $\overline{(x_{c,t+1} - x_{ct})^2} / (2 v)$: 1 for independent draws, 0 for stuck chains,
    $1 - \rho_1$ for stationary ones with first autocorrelation $\rho_1$. Divided by the network
    calls per draw it compares kernels.

    Arguments:
        draws: (chain, draw, ...).
        variance: v, broadcastable to (...), such as a long reference run's; None: pooled over all
            chains and draws, so that a stuck chain cannot shrink it while another one is elsewhere.

    Returns:
        (...) float64; NaN for fewer than 4 draws, or where nothing varies.
    """
    square, pooled = _map(_moments, draws)
    return square / (2.0 * (pooled if variance is None else variance.to(square)))


def varying(draws: Tensor | np.ndarray, tol: float = 1e-3) -> Tensor:
    """Which pixels vary: standard deviation over all chains and draws above `tol` times the largest
    pixel's.

    Arguments:
        draws: (chain, draw, ...).
        tol: fraction of the largest standard deviation.

    Returns:
        (...) bool; nothing varies where the draws are all equal, hold a NaN or are fewer than 4.
    """
    std = _map(_moments, draws)[1].sqrt()
    return std > tol * std.max()


def projections(draws: Tensor | np.ndarray, num: int = 64, seed: int = 0) -> Tensor:
    r"""Random directions through the image: $\langle u_k, x \rangle$ with $u_k$ uniform on the unit
    sphere.

    A repeated draw (a rejected move) has exactly its predecessor's projections, whatever the order
    of summation.

    Arguments:
        draws: (chain, draw, *x).
        num: directions.
        seed: of the directions.

    Returns:
        (chain, draw, num) float64.
    """
    x = _tensor(draws).flatten(2) if len(draws.shape) > 2 else _tensor(draws)[..., None]
    chains, length, size = x.shape
    flat, origin = x.flatten(0, 1), x[0, 0].to(torch.float64)
    out = torch.empty(chains * length, num, dtype=torch.float64, device=x.device)
    per_group = max(1, _BLOCK // size)
    for start in range(0, num, per_group):
        directions = torch.arange(start, min(start + per_group, num), device=x.device)
        u = Noise(seed, torch.zeros_like(directions), directions).normal(
            (size,), PROBE, torch.float64
        )
        u /= u.norm(dim=1, keepdim=True)
        for row in range(0, len(flat), per_group):
            rows = slice(row, row + per_group)
            out[rows, start : start + per_group] = (
                flat[rows].to(torch.float64) - origin
            ) @ u.T + u @ origin
    changed = torch.ones(chains, length, dtype=torch.bool, device=x.device)
    for t in range(1, length):
        changed[:, t] = (x[:, t] != x[:, t - 1]).any(-1)
    first = torch.where(changed, torch.arange(length, device=x.device), 0).cummax(1).values
    return out.reshape(chains, length, num).gather(1, first[..., None].expand(-1, -1, num))


def image_diagnostics(draws: Tensor | np.ndarray) -> dict[str, float]:
    """R-hat, bulk and tail ESS and jump of one image's chains, worst and median.

    R-hat and both ESS are taken over the pixels that vary (`varying`) and 64 random projections
    (`projections`) together, the jump over the projections.

    Arguments:
        draws: (chain, draw, *x).

    Returns:
        `r_hat_max`, `r_hat_median`, `ess_bulk_min`, `ess_bulk_median`, `ess_tail_min`, `jump`
        (median); all NaN for fewer than 4 draws or where no pixel varies.
    """
    names = ("r_hat_max", "r_hat_median", "ess_bulk_min", "ess_bulk_median", "ess_tail_min", "jump")
    mask = varying(draws)
    if not mask.any():
        return dict.fromkeys(names, math.nan)
    probes = projections(draws)
    both = torch.cat([_map(_r_hat_and_ess, draws)[:, mask], _map(_r_hat_and_ess, probes)], -1)
    if len(probes) < 2:
        both[0] = math.nan
    both[1:] = torch.where(
        both[0].isinf(), math.nan, both[1:]
    )  # chains stuck each at a place of its own are worth nothing
    ratio, ess, tail = both
    values = (
        ratio.max(),
        _median(ratio.sort().values),
        ess.min(),
        _median(ess.sort().values),
        tail.min(),
        _median(jump(probes).sort().values),
    )
    return dict(zip(names, map(float, values), strict=True))


def _tensor(draws: Tensor | np.ndarray) -> Tensor:
    x = (
        draws.detach()
        if isinstance(draws, Tensor)
        else torch.from_numpy(np.require(draws, requirements=["C", "W"]))
    )
    if x.ndim < 2 or x.is_complex() or 0 in (x.shape[0], *x.shape[2:]):
        raise ConfigError(
            f"draws must be a real array (chain, draw, ...) of some pixels, got {x.dtype} of "
            f"shape {tuple(x.shape)}: put the chain axis first"
        )
    return x


def _map(
    function: Callable[[Tensor], Tensor], draws: Tensor | np.ndarray, min_chains: int = 1
) -> Tensor:
    """Apply (P, chain, draw) float64 -> (..., P) block by block; NaN for too few draws or chains
    and for pixels with a NaN."""
    x = _tensor(draws)
    chains, length, *trailing = x.shape
    enough = chains >= min_chains and length >= MIN_DRAWS
    flat = x.reshape(chains, length, math.prod(trailing))
    width = max(1, _BLOCK // max(1, chains * length))
    parts = []
    for start in range(0, flat.shape[-1], width):
        block = flat[..., start : start + width].permute(2, 0, 1).to(torch.float64).contiguous()
        if not enough:
            block = block.new_zeros(len(block), 2, MIN_DRAWS)
        valid = ~block.flatten(1).isnan().any(-1) & enough
        parts.append(torch.where(valid, function(block), math.nan))
    result = torch.cat(parts, -1)
    return result.reshape((*result.shape[:-1], *trailing))


def _split(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return torch.cat([x[..., :half], x[..., -half:]], 1)


def _median(ordered: Tensor) -> Tensor:
    size = ordered.shape[-1]
    return (ordered[..., (size - 1) // 2] + ordered[..., size // 2]) / 2


def _normal_scores(x: Tensor) -> tuple[Tensor, Tensor]:
    """Normal scores of the average ranks over each pixel's chains and draws, and the medians (P,)."""
    flat = x.flatten(1)
    ordered, index = flat.sort(-1)
    size = flat.shape[1]
    position = torch.arange(size, device=x.device).expand_as(index)
    edge = torch.ones(len(flat), size + 1, dtype=torch.bool, device=x.device)
    edge[:, 1:-1] = ordered[:, 1:] != ordered[:, :-1]
    first = torch.where(edge[:, :-1], position, 0).cummax(-1).values
    last = torch.where(edge[:, 1:], position, size).flip(-1).cummin(-1).values.flip(-1)
    rank = torch.empty_like(flat).scatter_(-1, index, (first + last).to(flat.dtype) / 2 + 1)
    return torch.special.ndtri((rank - 0.375) / (size + 0.25)).view_as(x), _median(ordered)


def _ratio(z: Tensor) -> Tensor:
    n = z.shape[-1]
    deviation = z - z[..., :1]  # equal draws: exactly 0, which a rounded mean would not give
    within = deviation.var(-1).mean(-1)
    between = (z[..., 0] + deviation.mean(-1)).var(-1)
    return ((n * between / within + n - 1) / n).sqrt()


def _r_hat(x: Tensor) -> Tensor:
    return _r_hat_of(_split(x))[0]


def _r_hat_of(halves: Tensor) -> tuple[Tensor, Tensor]:
    z, median = _normal_scores(halves)
    bulk = _ratio(z)
    folded = _ratio(_normal_scores((halves - median[:, None, None]).abs())[0])
    return torch.where(
        folded > bulk, folded, bulk
    ), z  # folded is NaN where the draws take two values, each half of the time


def _r_hat_and_ess(x: Tensor) -> Tensor:
    ratio, z = _r_hat_of(_split(x))
    return torch.stack([ratio, _ess(z), _ess_tail(x)])


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
    return torch.where(
        x.flatten(1).amax(-1) - x.flatten(1).amin(-1) < 1e-15, float(chains * n), ess
    )


def _ess_tail(x: Tensor) -> Tensor:
    ordered = x.flatten(1).sort(-1).values
    ess = []
    for prob in (0.05, 0.95):
        place = prob * (ordered.shape[1] - 1)
        low, weight = int(place), place - int(place)
        a, b = ordered[:, low], ordered[:, min(low + 1, ordered.shape[1] - 1)]
        quantile = b - (b - a) * (1 - weight) if weight >= 0.5 else a + (b - a) * weight
        ess.append(_ess(_split((x <= quantile[:, None, None]).to(torch.float64))))
    return torch.minimum(*ess)


def _moments(x: Tensor) -> Tensor:
    deviation = x - x[:, :1, :1]  # equal draws: a variance of exactly 0
    return torch.stack([x.diff(dim=-1).square().mean((1, 2)), deviation.flatten(1).var(-1)])
