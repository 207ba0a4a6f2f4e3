"""The contrast stretch of an image: one for its truth, its mean and its draws."""

from typing import Any

import numpy as np

from . import images
from .data import ReportData

TAIL = 0.01  # of the pixels that may be clipped at either end


def contrast_of(data: ReportData) -> dict[str, Any]:
    """The stretches in the user's unit, of all channels together and then of each alone: the values
    that are black and white. `ends` are those of the file's own range, `spread` the ends of the bar
    of the uncertainty."""
    ends = sorted(data.value_range[:2])
    alone = [stretch(data, slice(c, c + 1)) for c in range(len(data.mean))]
    return {"ends": ends, "stretch": [stretch(data), *alone], "spread": spread_limit(data)}


def stretch(data: ReportData, channels: slice = slice(None)) -> list[float]:
    """The 1 % and 99 % quantiles of the truth, the mean and the first draws, in the user's unit."""
    shown = [data.mean, *data.samples[:3, 0]] if data.samples.size else [data.mean]
    shown += [] if data.truth is None else [data.truth]
    values = np.concatenate([np.ravel(x[channels]) for x in shown])
    values = data.in_unit(values[np.isfinite(values)])
    low, high = np.quantile(values, (TAIL, 1 - TAIL)) if values.size else data.value_range[:2]
    if high - low < 1e-6 * data.scale:  # a flat image
        low, high = low - data.scale, high + data.scale
    return [float(low), float(high)]


def spread_limit(data: ReportData) -> float:
    """Where the bar of the uncertainty ends, in the user's unit."""
    spread = images.root_mean_square(data.std)
    return images.upper_limit(spread, data.scale) * data.scale
