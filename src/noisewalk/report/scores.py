"""Scores of a run's mean and of its single draws against the truth."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._packages import locate
from ..errors import WeightsError
from ..evaluate.metrics import lpips, psnr, ssim
from ..evaluate.metrics.perceptual import ARCHIVES

SCORED = 25  # draws per chain


def scores_of(draws: Any, mean: Tensor, truth: Tensor | None) -> dict[str, float]:
    """PSNR, SSIM and LPIPS of the mean and, averaged, of single draws, where they exist."""
    if truth is None or mean.ndim != 4 or min(mean.shape[2:]) < 11:
        return {}
    some = evenly(draws, SCORED)
    singles = some.flatten(0, 2)
    truths = truth.repeat_interleave(some.shape[1] * some.shape[2], 0)
    metrics = {"psnr": psnr, "ssim": ssim, **({"lpips": lpips} if _has_lpips(mean) else {})}
    found = {}
    for name, metric in metrics.items():
        found[name] = float(metric(mean, truth).mean())
        found[f"{name}_draws"] = float(metric(singles, truths).mean())
    return found


def evenly(draws: Any, count: int) -> Tensor:
    """At most `count` draws of each chain, evenly spread."""
    total = draws.shape[2]
    index = sorted({round(i) for i in np.linspace(0, total - 1, min(count, total))})
    return torch.stack([draws[:, :, k] for k in index], 2)


def _has_lpips(mean: Tensor) -> bool:
    """Whether images are large enough for LPIPS and its weights are here: nothing is downloaded."""
    if min(mean.shape[2:]) < 31 or mean.shape[1] not in (1, 3):
        return False
    try:
        locate(**ARCHIVES["alex"])
    except WeightsError:
        return False
    return True
