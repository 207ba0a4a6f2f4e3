r"""Exact tests of shift and spread over all of x at once: each truth may change places with a draw.

If a truth x' is a draw of p(x | y), then given y and y' it could be any of the L draws of its
problem. So the truth of every problem is exchanged with one of them or itself, at random and many
times over, and two statistics are compared with those of the truths. With d the distance from the
mean of the L + 1, in standard deviations of each coordinate, these are

- *shift*: $|\sum_p d_p|^2$, which sees truths that lie on one side, in any direction,
- *spread*: $\sum_p |d_p|^2$, which sees truths too near to the mean or too far from it.

Neither rejects what does not matter. A shift by 0.05 standard deviations in every coordinate and a
spread that is off by 5 % are allowed here. For the run's draws that is about twice as much, since
y' draws the others halfway to the truth.

Coordinates are those of x, or 256 random projections where x has more. A truth of several problems
is in one of them at a time, since its exchanges are not independent; twice the mean of the p-values
is then one (Vovk and Wang, Combining p-values via averaging, 2020).
"""

import torch
from torch import Tensor

from ... import noise as keyed

MOST = 256  # coordinates
TIMES = 9999  # exchanges
AT_ONCE = 1 << 24  # numbers
ALLOWED = 0.05  # standard deviations of a shift, and of 1 the error of a spread


def exchange(truth: Tensor, drawn: Tensor, of_truth: Tensor, seed: int) -> Tensor:
    """(2,) p-values of shift and spread.

    Arguments:
        truth: (problem, ...).
        drawn: (problem, draw, ...).
        of_truth: (problem,) the number of the problem's truth.
        seed: of projections and exchanges.

    Returns:
        p-values.
    """
    away = _distances(torch.cat([truth[:, None], drawn.to(truth)], 1).flatten(2), seed)
    found = torch.stack([_tested(away[rows], seed) for rows in laps(of_truth)])
    return found[0] if len(found) == 1 else (2 * found.mean(0)).clamp(max=1.0)


def laps(of_truth: Tensor) -> list[Tensor]:
    """Rows of problems in each of which every truth is once, as many as can be."""
    truths, uses = of_truth.unique(return_counts=True)
    rows = [(of_truth == one).nonzero().flatten() for one in truths]
    return [torch.stack([own[k] for own in rows]) for k in range(int(uses.min()))]


def _distances(values: Tensor, seed: int) -> Tensor:
    """(problem, place, coordinate) float64 from the mean over places, in standard deviations."""
    values = values.cpu().to(torch.float64)
    values = values - values.mean(1, keepdim=True)
    if values.shape[2] > MOST:
        shape = values.shape[2], MOST
        values = values @ keyed.rows(seed, 1).normal(shape, keyed.PROBE, torch.float64)[0]
    scale = values.square().mean((0, 1)).sqrt()
    return values[..., scale > 0] / scale[scale > 0]


def _tested(away: Tensor, seed: int) -> Tensor:
    """(2,) p-values of problems with truths of their own; the truth is at place 0."""
    problems, places, coordinates = away.shape
    generator = torch.Generator().manual_seed(seed % (1 << 63))
    taken = torch.randint(places, (TIMES + 1, problems), generator=generator)
    taken[0] = 0
    own = torch.arange(problems)
    parts = taken.split(max(1, AT_ONCE // max(1, problems * coordinates)))
    shift = torch.cat([away[own, part].sum(1).square().sum(1) for part in parts])
    spread = away.square().sum(2)[own, taken].sum(1)
    far = _share(shift + (ALLOWED * problems) ** 2 * coordinates >= shift[0])
    wide = _share(spread * (1 + ALLOWED) ** 2 >= spread[0])
    narrow = _share(spread * (1 - ALLOWED) ** 2 <= spread[0])
    return torch.stack([far, (2 * torch.minimum(wide, narrow)).clamp(max=1.0)])


def _share(as_extreme: Tensor) -> Tensor:
    """The p-value of the first: itself among those that are as extreme."""
    return as_extreme.double().mean()
