"""Curves as SVG that stretches to the page; tick labels are HTML beside it, to keep their size."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from .text import number

MAX_POINTS = 600
COLOURS = 8


def trace(
    values: np.ndarray, name: str, horizontal: str = "kept draw", limits: Sequence[float] = ()
) -> str:
    """One line for each row of values (line, position), broken where a value is not finite."""
    lines, length = values.shape
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return f'<p class="missing">– {escape(name)}: no finite value.</p>'
    least, most = float(finite.min()), float(finite.max())
    pad = 0.05 * (most - least) or 0.005 * max(abs(least), 1.0)
    low, high = limits or (least - pad, most + pad)
    marks = ticks(low, high)
    labels = "".join(
        f'<span style="bottom:{100 * (t - low) / (high - low):.2f}%">{tick_text(t, marks)}</span>'
        for t in marks
    )
    grid = "".join(f'<path class="grid" d="M0 {_y(t, low, high)}H1000"/>' for t in marks)
    paths = "".join(
        f'<path class="line c{i % COLOURS}" d="{_path(row, low, high)}"/>'
        for i, row in enumerate(values)
    )
    spans = f"{lines} lines over {length} values ({horizontal})"
    what = f"{name}: {spans}, from {number(finite.min())} to {number(finite.max())}"
    ends = f"<span>1</span><span>{escape(horizontal)}</span><span>{length}</span>"
    return (
        f'<div class="plot"><div class="ylabels" aria-hidden="true">{labels}</div>'
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(what)}">{grid}{paths}</svg>'
        f'<div class="xlabels" aria-hidden="true">{ends}</div></div>'
    )


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """About `most` multiples of 1, 2 or 5 times a power of ten inside an interval."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the finite values of each row over a sliding window of odd length."""
    seen, kernel = np.isfinite(values), np.ones(window)
    total = np.stack([np.convolve(row, kernel) for row in np.where(seen, values, 0.0)])
    count = np.stack([np.convolve(row, kernel) for row in seen.astype(np.float64)])
    middle = slice(window // 2, window // 2 + values.shape[1])
    return np.where(count > 0.5, total / np.maximum(count, 1.0), np.nan)[:, middle]


def tick_text(value: float, marks: list[float]) -> str:
    """A label with just the decimals that tell neighbours apart."""
    step = marks[1] - marks[0] if len(marks) > 1 else abs(value) or 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return number(value) if decimals > 6 else f"{value + 0.0:.{decimals}f}".replace("-", "−")


def _y(value: float, low: float, high: float) -> str:
    return f"{1000 * (high - value) / (high - low):.4g}"


def _path(row: np.ndarray, low: float, high: float) -> str:
    """One line; a long one keeps the smallest and the largest value of each stretch."""
    index = np.arange(len(row))
    if len(row) > MAX_POINTS:
        parts = np.array_split(index, MAX_POINTS // 2)
        finite = np.isfinite(row)
        above, below = np.where(finite, row, np.inf), np.where(finite, row, -np.inf)
        ends = [[p[0] + above[p].argmin(), p[0] + below[p].argmax()] for p in parts]
        index = np.unique(np.concatenate(ends))
    last, out, pen = max(len(row) - 1, 1), [], "M"
    for i in index:
        if math.isfinite(row[i]):
            out.append(f"{pen}{1000 * i / last:.4g} {_y(float(row[i]), low, high)}")
            pen = "L"
        else:
            pen = "M"
    return "".join(out)
