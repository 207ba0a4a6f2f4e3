r"""What independent chains say together: whether they drift, what they remember of their starts,
and how exactly they know the mean.

Chain c was at $e_c$ (early) and is at $l_c$ (last). Chains with their own starts are independent,
so two tests are exact, whatever the dimension and the law of the states:

- no drift: $(e_c, l_c)$ and $(l_c, e_c)$ have one law (the kernel is reversible, or the two
  states are far apart), and the signs of $d_c = l_c - e_c$ may be flipped chain by chain;
- no memory: $e$ and $l$ are independent, and which last state belongs to which early one may be
  permuted.

The drift's statistic is the largest of five: the maxima over pixels, over random projections and
over their squares of $|\sum_c d_c| / (\sum_c d_c^2)^{1/2}$, the same of the log posterior, and the
mean over pixels of $(\sum_c d_c)^2$; each is standardised by its values over all flips. The size
of a drift is the root of
$$U / (1 - \rho)^2, \qquad U = \frac{1}{C (C - 1)} \sum_{c \ne c'} \overline{d_c d_{c'} / v},$$
averaged over pixels of variance v: without bias for the squared change of the mean, and over
$1 - \rho$, since a chain that does not move shows no drift. The memory $\rho$ is the correlation of
e and l over chains, averaged over pixels and over projections with equal weight. An average hides
one pixel that stays in the mode where it began, so the largest correlation is tested too. Upper
bounds are one-sided, of 95 %, from the jackknife over chains.

References: Hoeffding, The Large-Sample Power of Tests Based on Permutations of Observations, 1952;
Phipson and Smyth, Permutation P-values Should Never Be Zero, 2010; Efron and Stein, The Jackknife
Estimate of Variance, 1981.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...noise import JITTER, PROBE, Noise
from .boxes import blocks
from .chains import BLOCK, projections

NUM_FLIPS = 999  # random elements of a group that is too large to list
LISTED = 10  # chains up to which all 2^(C - 1) flips are listed
UPPER = 1.645  # standard errors to a one-sided bound of 95 %
SINGLE = 1 << 21  # chains times pixels that are looked at one by one, evenly of all pixels


class Tested(NamedTuple):
    """An effect, its upper bound, and its statistic at the data (first) and over the group."""

    size: float
    bound: float
    statistics: Tensor  # (element,)


def p_value(tests: Sequence[Tested]) -> float:
    """The p-value of the largest standardised statistic of several images; NaN of none."""
    scaled = [_standardised(test.statistics) for test in tests]
    if not scaled:
        return math.nan
    most = torch.stack(scaled).amax(0)
    return float((most >= most[0] - 1e-9).double().mean())


def drift(
    early: Tensor,
    last: Tensor,
    density: tuple[Tensor, Tensor] | None = None,
    rho: float = 0.0,
    std: Tensor | None = None,
    image: int = 0,
    sides: tuple[Tensor, Tensor] | None = None,
) -> Tested:
    """Whether the law of the states still changes, and by how many posterior standard deviations.

    `early` and `last` are (chain, *x), `density` their log posteriors (chain,), `rho` the memory,
    `std` (*x) the posterior's (None: that of both states together), `image` keys the random flips,
    and `sides` is what `projected` gives, where it is at hand.
    """
    chains = len(early)
    signs = _signs(chains, image).to(early.device)
    largest, gram = signs.new_zeros(len(signs)), signs.new_zeros(chains, chains)
    within, num = gram.clone(), 0
    for a, b in _blocks(early, last, std):
        change = b - a
        largest = torch.maximum(largest, _largest(signs, change))
        gram += change @ change.T
        # Against the spread at one time: that of both times together grows with the drift.
        scaled = change if std is not None else change * _inverse_root((a.var(0) + b.var(0)) / 2)
        within += scaled @ scaled.T
        num += change.shape[1]
    a, b = sides or projected(early, last)
    parts = [largest, _largest(signs, b - a), _largest(signs, b**2 - a**2)]
    parts.append(((signs @ gram) * signs).sum(1))
    if density is not None:
        parts.append(_largest(signs, (density[1] - density[0]).to(signs)[:, None]))
    statistics = torch.stack([_standardised(part) for part in parts]).amax(0)
    return Tested(*_size(within / max(1, num), rho), statistics)


def memory(
    early: Tensor, last: Tensor, image: int = 0, sides: tuple[Tensor, Tensor] | None = None
) -> Tested:
    """The correlation over chains of early and last states (chain, *x)."""
    chains = len(early)
    found = [_correlations(block) for block in _blocks(early, last)]
    kinds = [found, [_correlations(sides or projected(early, last))]]
    cross = early.new_zeros(chains, chains, dtype=torch.float64)
    each = early.new_zeros(1 + chains, dtype=torch.float64)
    for kind in kinds:
        count = max(1, sum(one[2] for one in kind))
        cross = cross + sum(one[0] for one in kind) / (count * len(kinds))
        each = each + sum(one[1] for one in kind) / (count * len(kinds))
    orders = _orders(chains, image).to(early.device)
    statistics = cross[torch.arange(chains, device=early.device), orders].sum(1)
    return Tested(float(each[0]), float(each[0] + UPPER * _jackknife(each[1:])), statistics)


def largest_memory(
    early: Tensor, last: Tensor, image: int = 0, sides: tuple[Tensor, Tensor] | None = None
) -> Tested:
    """The largest correlation over chains of early and last states (chain, *x), of a pixel or a
    random projection; it has no bound."""
    orders = _orders(len(early), image).to(early.device)
    most = torch.full((len(orders),), -1.0, dtype=torch.float64, device=early.device)
    every, width = math.ceil(early.numel() / SINGLE), max(1, BLOCK // len(orders))
    thin = early.flatten(1)[:, ::every], last.flatten(1)[:, ::every]
    for block in (*_blocks(*thin), sides or projected(early, last)):
        for a, b in zip(*(part.split(width, 1) for part in block), strict=True):
            a, b = _paired(a, b)
            found = a.new_zeros(len(orders), a.shape[1])
            for chain, beside in zip(b, orders.T, strict=True):
                found.addcmul_(a[beside], chain)
            most = torch.maximum(most, found.amax(1))
    return Tested(float(most[0]), math.nan, most)


def monte_carlo_error(draws: Any) -> tuple[float, float]:
    """The standard errors of mean and standard deviation of (chain, draw, *x), in posterior
    standard deviations, root mean square over pixels; NaN for one chain."""
    chains, length = draws.shape[:2]
    if chains < 2:
        return math.nan, math.nan
    total, spread, num = 0.0, 0.0, 0
    for _, block in blocks(draws):
        x = block.reshape(chains, length, math.prod(block.shape[2:])).to(torch.float64)
        x = x - x[:1, :1]  # equal draws: exactly 0
        x = x - x.mean((0, 1))
        sums, squares = x.sum(1), x.square().sum(1)
        variance = squares.sum(0) / (chains * length - 1)
        keep = variance > 0
        ratio = (sums / length).var(0)[keep] / chains / variance[keep]
        fewer = (chains - 1) * length
        rest = (squares.sum(0) - squares - sums**2 / fewer)[:, keep] / max(1, fewer - 1)
        relative = (rest.clamp(min=0) / variance[keep]).sqrt()
        error = (relative - relative.mean(0)).square().sum(0) * (chains - 1) / chains
        total, spread = total + float(ratio.sum()), spread + float(error.sum())
        num += int(keep.sum())
    if num == 0:
        return math.nan, math.nan
    return math.sqrt(total / num), math.sqrt(spread / num)


def _blocks(early: Tensor, last: Tensor, std: Tensor | None = None) -> Iterator[tuple]:
    """(chain, pixel) float64 blocks of both states: the pixels that vary, less the mean of both
    states together and over their standard deviation. Neither changes when the two are swapped."""
    flat, width = (early.flatten(1), last.flatten(1)), max(1, BLOCK // (2 * len(early)))
    given = None if std is None else std.flatten().to(torch.float64)

    def at(start: int) -> Tensor:
        both = torch.stack([part[:, start : start + width] for part in flat]).to(torch.float64)
        return both - both.mean((0, 1))

    starts = range(0, flat[0].shape[1], width)
    spreads = [at(start).flatten(0, 1).std(0) for start in starts] if given is None else []
    scale = torch.cat(spreads) if given is None else given
    keep = scale > 1e-3 * scale.max()
    for start in starts:
        kept = keep[start : start + width]
        if kept.any():
            both = at(start)[..., kept] / scale[start : start + width][kept]
            yield both[0], both[1]


def projected(early: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """(chain, projection) float64 of both states, standardised like the pixels."""
    both = projections(torch.stack([early, last], 1))
    both = both - both.mean((0, 1))
    both = both / both.flatten(0, 1).std(0).clamp(min=torch.finfo(torch.float64).tiny)
    return both[:, 0], both[:, 1]


def _largest(signs: Tensor, change: Tensor) -> Tensor:
    """The largest |sum of signed changes| over the columns, relative to their root squares."""
    norm = change.square().sum(0).sqrt()
    scaled = change / torch.where(norm > 0, norm, 1.0)
    width = max(1, BLOCK // len(signs))
    parts = [(signs @ part).abs().amax(1) for part in scaled.split(width, 1)]
    return torch.stack(parts).amax(0)


def _size(gram: Tensor, rho: float) -> tuple[float, float]:
    """The size of the drift and its bound, from the mean products of the chains' changes."""
    chains = len(gram)
    if chains < 3:
        return math.nan, math.nan
    off = gram - gram.diag().diag()
    square, rows = off.sum() / (chains * (chains - 1)), off.sum(1)
    without = (off.sum() - 2 * rows) / ((chains - 1) * (chains - 2))
    most = float(square.clamp(min=0) + UPPER * _jackknife(without))
    moved = max(1.0 - rho, 1e-2)
    return math.sqrt(max(float(square), 0.0)) / moved, math.sqrt(most) / moved


def _correlations(block: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, int]:
    """Summed over the columns: the correlation split into pairs of chains (chain, chain), the
    correlation of all chains followed by those without each one (1 + chain,), and the columns'
    number."""
    a, b = (part - part.mean(0) for part in block)
    chains = len(a)
    both, left, right = a * b, a.square(), b.square()
    lost = chains / (chains - 1)  # a sum of squares about the mean loses this much of a chain's
    part = [total.sum(0) - lost * total for total in (both, left, right)]
    without = (part[0] * _inverse_root(part[1] * part[2])).sum(1)
    x, y = _paired(*block)
    return x @ y.T, torch.cat([(x * y).sum()[None], without]), a.shape[1]


def _paired(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both (chain, column) less their means; their products sum to correlations over chains."""
    a, b = a - a.mean(0), b - b.mean(0)
    return a * _inverse_root(a.square().sum(0) * b.square().sum(0)), b


def _inverse_root(square: Tensor) -> Tensor:
    return torch.where(square > 0, square, torch.inf).rsqrt()


def _jackknife(without: Tensor) -> Tensor:
    """The standard error of an estimate from its values without each one of the chains."""
    return ((len(without) - 1) * without.var(correction=0)).sqrt()


def _standardised(values: Tensor) -> Tensor:
    spread = values.std(correction=0)
    return (values - values.mean()) / spread if bool(spread > 1e-12) else torch.zeros_like(values)


def _signs(chains: int, image: int) -> Tensor:
    """(element, chain) of +1 and -1, first the identity; of s and -s, which give one value, one."""
    if chains <= LISTED:
        bits = torch.arange(2 ** (chains - 1))[:, None] >> torch.arange(chains) & 1
        return 1.0 - 2.0 * bits.to(torch.float64)
    random = 1.0 - 2.0 * (_uniform(chains, image, PROBE) < 0.5).to(torch.float64)
    return torch.cat([torch.ones(1, chains, dtype=torch.float64), random])


def _orders(chains: int, image: int) -> Tensor:
    """(element, chain) permutations, first the identity."""
    first = torch.arange(chains)[None]
    if math.factorial(chains) <= NUM_FLIPS:
        from itertools import permutations

        return torch.tensor(list(permutations(range(chains))))
    return torch.cat([first, _uniform(chains, image, JITTER).argsort(1)])


def _uniform(chains: int, image: int, slot: int) -> Tensor:
    row = torch.arange(NUM_FLIPS)
    return Noise(0, torch.full_like(row, image), row).uniform((chains,), slot)
