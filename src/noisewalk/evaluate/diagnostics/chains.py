"""Have the chains mixed? R-hat, effective sample sizes, Monte Carlo error and jump, pixel by pixel.

`estimators` has the formulas. All but the jump equal arviz-stats' on float64 draws: fewer than 4
draws or any NaN give NaN; where each chain is stuck at a value of its own R-hat is infinite; the
ESS of equal draws is their number.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...noise import PROBE, Noise, rows
from . import estimators
from .boxes import OneImage, by_boxes, indexed

MIN_DRAWS = 4  # fewer a chain say nothing: NaN
NUM_PROJECTIONS = 64  # random directions that are looked at beside the pixels
BLOCK = 1 << 20  # numbers worked on at once


def r_hat(draws: Tensor | np.ndarray) -> Tensor:
    r"""Rank-normalised split R-hat; values below 1.01 are the usual demand.

    $\hat R = \sqrt{(n - 1) / n + B / (n W)}$ from the variances within and between half-chains of n
    draws, the larger of bulk and folded (Vehtari et al., 2021; `estimators` has the reference).

    Arguments:
        draws: (chain, draw, ...).

    Returns:
        (...) float64; NaN for one chain, fewer than 4 draws, or equal draws.

    Example:
        >>> draws = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
        >>> bool(nw.diagnostics.r_hat(draws) < 1.01)
        True
    """
    return _map(estimators.r_hat, draws, min_chains=2)


def ess_bulk(draws: Tensor | np.ndarray) -> Tensor:
    """Effective number of independent draws for the centre of the distribution.

    Arguments:
        draws: (chain, draw, ...).

    Returns:
        (...) float64; NaN for fewer than 4 draws.

    Example:
        >>> draws = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
        >>> bool(1600 < nw.diagnostics.ess_bulk(draws) < 2400)
        True
    """
    return _map(estimators.ess_bulk, draws)


def ess_tail(draws: Tensor | np.ndarray) -> Tensor:
    """Effective number of independent draws for the 5 % or 95 % quantile, the smaller of the two.

    Arguments:
        draws: (chain, draw, ...).

    Returns:
        (...) float64; NaN for fewer than 4 draws.

    Example:
        >>> draws = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
        >>> bool(1600 < nw.diagnostics.ess_tail(draws) < 2400)
        True
    """
    return _map(estimators.ess_tail, draws)


def mcse_mean(draws: Tensor | np.ndarray) -> Tensor:
    """Monte Carlo standard error of the mean, sd / sqrt(ESS), in the unit of the draws.

    Arguments:
        draws: (chain, draw, ...).

    Returns:
        (...) float64; NaN for fewer than 4 draws.

    Example:
        >>> draws = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
        >>> bool(0.02 < nw.diagnostics.mcse_mean(draws) < 0.025)  # 1 / sqrt(2000)
        True
    """
    return _map(estimators.mcse_mean, draws)


def jump(draws: Tensor | np.ndarray, variance: Tensor | None = None) -> Tensor:
    r"""Mean squared distance of consecutive draws over twice the variance.

    $\overline{(x_{c,t+1} - x_{ct})^2} / (2 v)$: 1 for independent draws, 0 for stuck chains,
    $1 - \rho_1$ for stationary ones with first autocorrelation $\rho_1$. Divided by the network
    calls per draw it compares kernels.

    Arguments:
        draws: (chain, draw, ...).
        variance: v, broadcastable to (...), such as a long reference run's; None: over all chains
            and draws together, so that a stuck chain cannot shrink it.

    Returns:
        (...) float64; NaN for fewer than 4 draws, or where nothing varies.

    Example:
        >>> draws = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
        >>> nw.diagnostics.jump(draws, variance=torch.tensor(1.0))
        tensor(2., dtype=torch.float64)
    """
    square, pooled = _map(estimators.moments, draws)
    return square / (2.0 * (pooled if variance is None else variance.to(square)))


def image_diagnostics(draws: Tensor | np.ndarray | OneImage) -> dict[str, float]:
    """R-hat, bulk and tail ESS and jump of one image's chains, worst and median.

    R-hat and both ESS are taken over the pixels that vary and 64 random projections together, the
    jump over the projections.

    Arguments:
        draws: (chain, draw, *x).

    Returns:
        `r_hat_max`, `r_hat_median`, `ess_bulk_min`, `ess_bulk_median`, `ess_tail_min`, `jump`
        (median); all NaN for fewer than 4 draws or where no pixel varies.

    Example:
        >>> draws = torch.randn(4, 500, 1, 2, 2, generator=torch.Generator().manual_seed(0))
        >>> nw.diagnostics.image_diagnostics(draws)["r_hat_max"] < 1.02
        True
    """
    names = ("r_hat_max", "r_hat_median", "ess_bulk_min", "ess_bulk_median", "ess_tail_min", "jump")
    mask = varying(draws)
    if not mask.any():
        return dict.fromkeys(names, math.nan)
    chains, length = draws.shape[:2]
    together = min(NUM_PROJECTIONS, max(1, BLOCK // (chains * length)))
    parts, moved = [_map(estimators.r_hat_and_ess, draws)[:, mask]], []
    for first in range(0, NUM_PROJECTIONS, together):  # memory does not grow with the draws
        probes = projections(draws, min(together, NUM_PROJECTIONS - first), first=first)
        parts.append(_map(estimators.r_hat_and_ess, probes))
        moved.append(jump(probes))
    both = torch.cat(parts, -1)
    if chains < 2:
        both[0] = math.nan
    # Chains stuck each at a place of its own are worth nothing.
    both[1:] = torch.where(both[0].isinf(), math.nan, both[1:])
    r_median, bulk_median, _ = estimators.median(both.sort(-1).values)
    jumps = estimators.median(torch.cat(moved).sort().values)
    values = both[0].max(), r_median, both[1].min(), bulk_median, both[2].min(), jumps
    return dict(zip(names, map(float, values), strict=True))


def r_hat_and_ess(draws: Any) -> Tensor:
    """R-hat and bulk ESS (2, ...) of each pixel of two chains or more, by the same ranks."""
    return _map(estimators.r_hat_and_ess, draws, min_chains=2)[:2]


def perfect_r_hat(num_chains: int, num_draws: int, ess: float, num_pixels: int) -> float:
    """The largest R-hat over independent pixels of stationary AR(1) chains that are worth `ess`
    draws together: what chains show that have nothing left to mix. NaN where `ess` is no number;
    at most 4,096 pixels are simulated, and the same ones every time."""
    total = num_chains * num_draws
    if num_chains < 2 or num_draws < MIN_DRAWS or not ess > 0:
        return math.nan
    pixels = max(1, min(num_pixels, 4096, BLOCK // total))
    time = total / min(ess, total)  # (1 + rho) / (1 - rho)
    rho = (time - 1) / (time + 1)
    x = rows(0, pixels, num_chains).normal((num_draws,), PROBE, torch.float64)
    x = x.reshape(pixels, num_chains, num_draws).permute(1, 2, 0).contiguous()
    for t in range(1, num_draws):
        x[:, t] = rho * x[:, t - 1] + math.sqrt(1 - rho**2) * x[:, t]
    return float(r_hat(x).max())


def varying(draws: Any, tol: float = 1e-3) -> Tensor:
    """Which pixels (...) vary: standard deviation over all chains and draws above `tol` times the
    largest pixel's; none where the draws are all equal, hold a NaN or are fewer than 4."""
    std = _map(estimators.moments, draws)[1].sqrt()
    return std > tol * std.max()


def projections(draws: Any, num: int = NUM_PROJECTIONS, seed: int = 0, first: int = 0) -> Tensor:
    """(chain, draw, num) float64: the draws (chain, draw, *x) along directions uniform on the unit
    sphere, from number `first` on; a repeated draw (a rejected move) has exactly its predecessor's,
    in any summation."""
    x = indexed(draws)
    chains, length, size = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    start, device = x[:1, :1].to(torch.float64), x[:1, :1].device
    origin = start.reshape(size)
    out = torch.empty(chains, length, num, dtype=torch.float64, device=device)
    group, together = max(1, BLOCK // size), max(1, BLOCK // (size * chains))
    for some in range(0, num, group):
        index = first + torch.arange(some, min(some + group, num), device=device)
        u = Noise(seed, torch.zeros_like(index), index).normal((size,), PROBE, torch.float64)
        u /= u.norm(dim=1, keepdim=True)
        for t in range(0, length, together):
            block = (x[:, t : t + together].to(torch.float64) - start).reshape(chains, -1, size)
            out[:, t : t + together, some : some + group] = block @ u.T + u @ origin
    changed = torch.ones(chains, length, dtype=torch.bool, device=device)
    before = x[:, 0]
    for t in range(1, length):
        now = x[:, t]
        changed[:, t], before = (now != before).flatten(1).any(1), now
    last = torch.where(changed, torch.arange(length, device=device), 0).cummax(1).values
    return out.gather(1, last[..., None].expand(-1, -1, num))


def halves(draws: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The means (chain, *x) of each chain's first and second half, and the standard deviation (*x)
    of all draws, in float64."""

    def of(block: Tensor) -> Tensor:
        parts = block.to(torch.float64).tensor_split([block.shape[1] // 2], 1)
        std = torch.cat(parts, 1).flatten(0, 1).std(0)
        return torch.cat([part.mean(1) for part in parts] + [std[None]])

    found = by_boxes(of, indexed(draws))
    early, last, std = found.split([len(found) // 2, len(found) // 2, 1])
    return early, last, std[0]


def _map(function: Callable, draws: Any, min_chains: int = 1) -> Tensor:
    """Apply (P, chain, draw) float64 -> (..., P) box by box; NaN for too few draws or chains and
    for pixels with a NaN."""
    x = indexed(draws)
    chains, length = x.shape[:2]
    enough = chains >= min_chains and length >= MIN_DRAWS

    def of(block: Tensor) -> Tensor:
        flat = block.reshape(chains, length, math.prod(block.shape[2:])).permute(2, 0, 1)
        flat = flat.to(torch.float64).contiguous()
        if not enough:
            flat = flat.new_zeros(len(flat), 2, MIN_DRAWS)
        valid = ~flat.flatten(1).isnan().any(-1) & enough
        result = torch.where(valid, function(flat), math.nan)
        return result.reshape((*result.shape[:-1], *block.shape[2:]))

    return by_boxes(of, x)
