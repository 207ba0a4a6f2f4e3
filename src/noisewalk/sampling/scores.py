"""How close the draws of an image are to its truth, and whether their spread is honest.

The truth is ranked among L draws pixel by pixel, in grey levels where x is an image. With k draws
cut off at either end, the interval holds the truth of exact draws with probability
(L + 1 - 2 k) / (L + 1).
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..evaluate.diagnostics.boxes import OneImage
from ..evaluate.metrics import energy_score, psnr, ssim
from ..evaluate.metrics.pixel import WINDOW

if TYPE_CHECKING:
    from .run import Run

SCORED = 100  # draws of an image that are looked at
LEVEL = 0.9  # nominal coverage that is told, as far as the number of draws allows
SCORES = ("psnr", "ssim", "energy_score", "coverage")


def scored(draws: Any, truth: Tensor, count: int = SCORED) -> dict[str, float]:
    """PSNR and SSIM of the mean, energy score and coverage of draws (chain, draw, *x); those that
    the shapes have."""
    x, true = evenly(draws, count), truth.to(torch.float64).cpu()
    found: dict[str, float] = {}
    if x.ndim == 4:
        mean = x.double().mean(0)[None]
        found["psnr"] = float(psnr(mean, true)[0])
        if min(x.shape[2:]) >= WINDOW:
            found["ssim"] = float(ssim(mean, true)[0])
    if len(x) > 1:
        found["energy_score"] = float(energy_score(x[None], true[None])[0])
        share, found["coverage_nominal"] = coverage_near(x, true)
        found["coverage"] = share
    return found


def evenly(draws: Any, count: int) -> Tensor:
    """(n, *x) on the CPU: at most `count` of (chain, draw, *x), evenly spread, chain after
    chain."""
    chains, length = draws.shape[:2]
    total = chains * length
    if not total:
        return torch.zeros(0, *draws.shape[2:])
    index = sorted({round(float(i)) for i in np.linspace(0, total - 1, min(count, total))})
    return torch.stack([draws[i // length, i % length] for i in index]).cpu()


def places(draws: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """How many of the draws (n, *x) are below the truth (*x), and how many equal it."""
    x, true = draws.double(), truth.double()
    if truth.ndim == 3:  # pixels: what a picture of 8 bits cannot show does not count
        x, true = (((v.clamp(-1, 1) + 1) * 127.5).round() for v in (x, true))
    return (x < true).sum(0), (x == true).sum(0)


def inside(draws: Tensor, truth: Tensor, cut: int) -> Tensor:
    """(*x) whether the truth lies in the interval without the `cut` outermost draws at either end;
    among equal draws the probability of it when the truth is placed at random."""
    below, equal = places(draws, truth)
    first, last = below.clamp(min=cut), (below + equal).clamp(max=len(draws) - cut)
    return (last - first + 1).clamp(min=0).double() / (equal + 1)


def coverage_near(draws: Tensor, truth: Tensor, level: float = LEVEL) -> tuple[float, float]:
    """The share of the pixels whose truth is in the interval of a level, and its nominal value,
    the nearest one that the draws have."""
    count = len(draws)
    cut = min(max(1, round((1 - level) * (count + 1) / 2)), max(1, count // 2))
    return float(inside(draws, truth, cut).mean()), (count + 1 - 2 * cut) / (count + 1)


def scores_of(run: "Run") -> dict[str, float]:
    """The scores of a run, averaged over its images; none where the truth is not known."""
    if run.truth is None or not run.draws.shape[2]:
        return {}
    each = [scored(OneImage(run.draws, i), run.truth[i]) for i in range(run.draws.shape[0])]
    return {name: sum(one[name] for one in each) / len(each) for name in each[0]}
