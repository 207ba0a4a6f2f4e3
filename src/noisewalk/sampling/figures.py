"""The figures of a run, in matplotlib without pyplot's global state."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._checks import one_of, whole
from ..errors import ConfigError
from ..evaluate.diagnostics.chains import projections
from . import canvas
from .scores import SCORED, evenly, inside, places
from .view import View, verdict_line, view_of

if TYPE_CHECKING:
    from .run import Run

SHOWN = 5  # draws below the overview
GRID = 16  # draws of a grid
LINES = 8  # chains with a colour of their own
MIN_RANKED = 4  # draws a chain, fewer have no ranks to speak of


def figure_of(run: "Run", kind: str, image: int, pixel: tuple[int, int] | None, band: int) -> Any:
    """The figure of `Run.plot`."""
    import matplotlib

    one_of("kind", kind, tuple(KINDS))
    with matplotlib.rc_context(canvas.STYLE):
        if kind == "pixel":
            return of_pixel(run, image, pixel, band)
        return KINDS[kind](run, image)


def overview(run: "Run", image: int) -> Any:
    """Truth, measurement, mean, uncertainty and error; some draws; the verdict above."""
    view = _pictured(run, image, SHOWN)
    panels = _panels(view)
    columns = max(len(panels), len(view.draws))
    height, width = view.spread.shape
    side = canvas.WIDTH / columns
    tall = min(2.0, height / width) * side * (1.35 if len(view.draws) == 0 else 2.15) + 1.3
    found = canvas.figure(canvas.WIDTH, tall, verdict_line(run.summary()))
    grid = found.subplots(2, columns, squeeze=False)
    greys: list[Any] = []
    heats: list[Any] = []
    for axes, (name, x, hot) in zip(grid[0], panels, strict=False):
        limits = view.y_limits if name.startswith("measurement") else view.limits
        if hot:
            heats.append((axes, canvas.heat(axes, x, view.top, name, view.origin)))
        else:
            greys.append((name, canvas.picture(axes, x, limits, name, view.origin)))
    for k, (axes, x) in enumerate(zip(grid[1], view.draws, strict=False), 1):
        canvas.picture(axes, x, view.limits, f"draw {k}", view.origin)
    for axes in grid.ravel():
        if not axes.images:
            axes.set_axis_off()
    of_x = dict(greys)["mean"]
    canvas.bar(found, of_x, [a for a in grid[1] if a.images], view.unit, view.limits)
    label = view.unit.replace("value", "deviation")
    canvas.bar(found, heats[0][1], [axes for axes, _ in heats], label, (0.0, view.top))
    return found


def draws(run: "Run", image: int) -> Any:
    """A grid of draws, evenly spread over the chains."""
    view = _pictured(run, image, GRID)
    columns = min(8, len(view.draws))
    rows = math.ceil(len(view.draws) / columns)
    height, width = view.spread.shape
    side = canvas.WIDTH / columns
    title = f"{len(view.draws)} of {run.draws.shape[1] * run.draws.shape[2]} draws"
    found = canvas.figure(canvas.WIDTH, rows * side * min(2.0, height / width) * 1.2 + 1.0, title)
    grid = found.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel()[len(view.draws) :]:
        axes.set_axis_off()
    shown = None
    for k, (axes, x) in enumerate(zip(grid.ravel(), view.draws, strict=False), 1):
        shown = canvas.picture(axes, x, view.limits, f"{k}", view.origin)
    canvas.bar(found, shown, list(grid.ravel()), view.unit, view.limits)
    return found


def trace(run: "Run", image: int) -> Any:
    """The chains over their draws; where each has one draw, the draws side by side."""
    lines = _lines(run, image)
    chains, count = next(iter(lines.values())).shape
    title = "Chains should share one level and one spread, without a drift."
    if count == 1:
        title = "Every chain has one draw: a point each. A point far from the others is stuck."
    found = canvas.figure(canvas.WIDTH, 0.6 + 1.9 * len(lines), title)
    grid = found.subplots(len(lines), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, values) in zip(grid, lines.items(), strict=True):
        if count == 1:
            axes.plot(np.arange(1, chains + 1), values[:, 0], "o", color=canvas.COLOURS[0])
        for k, row in enumerate(values if count > 1 else ()):
            style = _line(k, chains)
            axes.plot(np.arange(1, count + 1), row, linewidth=0.9, **style)
        axes.set_ylabel(name)
    grid[-1].set_xlabel("chain" if count == 1 else "draw")
    if 1 < chains <= LINES and count > 1:
        found.legend(*grid[0].get_legend_handles_labels(), loc="outside right upper")
    return found


def rank(run: "Run", image: int) -> Any:
    """Ranks of each chain's draws among all: distribution functions minus the uniform one."""
    lines = _lines(run, image)
    chains, count = next(iter(lines.values())).shape
    if count < MIN_RANKED or chains < 2:
        return canvas.empty(
            f"– Ranks of chains need two chains of {MIN_RANKED} draws or more, and this run has "
            f'{chains} of {count}. run.plot("trace") shows them side by side.'
        )
    title = "Ranks of each chain's draws among all draws. Chains that agree stay near 0."
    found = canvas.figure(canvas.WIDTH, 3.3, title)
    at = np.linspace(0.0, 1.0, 101)
    grid = found.subplots(1, len(lines), sharey=True, squeeze=False)[0]
    band = 1.96 * np.sqrt(at * (1 - at) / count * (chains - 1) / chains)
    for axes, (name, values) in zip(grid, lines.items(), strict=True):
        place = values.ravel().argsort().argsort().reshape(chains, count) + 0.5
        label = "95 % of independent draws"
        axes.fill_between(at, -band, band, color=canvas.BAND, linewidth=0, label=label)
        for k, row in enumerate(np.sort(place / values.size, axis=1)):
            curve = np.searchsorted(row, at, side="right") / count - at
            axes.plot(at, curve, linewidth=1.2, **_line(k, chains))
        axes.set(xlabel="rank / number of draws", title=name)
    grid[0].set_ylabel("share of the chain's draws - uniform")
    if chains <= LINES:
        found.legend(*grid[0].get_legend_handles_labels(), loc="outside right upper")
    return found


def calibration(run: "Run", image: int) -> Any:
    """How often intervals hold the truth, and its rank among the draws, over the pixels."""
    if run.truth is None:
        raise ConfigError("a calibration plot needs the truth: nw.Run(draws, truth=truth)")
    x = evenly(run.draws[whole("image", image, 0, run.draws.shape[0] - 1)], SCORED)
    count, truth = len(x), run.truth[image].cpu()
    if count < 2:
        return canvas.empty("– One draw has no interval: a calibration plot needs two or more.")
    cuts = range(1, count // 2 + 1)
    nominal = [(count + 1 - 2 * k) / (count + 1) for k in cuts]
    found = canvas.figure(canvas.WIDTH, 4.2, _calibration_title(count, truth.numel()))
    left, right = found.subplots(1, 2)
    shares = [float(inside(x, truth, k).mean()) for k in cuts]
    left.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=1, label="exact draws")
    style = {"markersize": 3, "linewidth": 1.2, "label": "this run"}
    left.plot(nominal, shares, "o-", color=canvas.COLOURS[0], **style)
    names = {"xlabel": "nominal coverage of the interval", "ylabel": "pixels with the truth inside"}
    left.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", **names)
    left.text(0.03, 0.9, "intervals too wide", color="0.45", fontsize=8)
    left.text(0.60, 0.06, "intervals too narrow", color="0.45", fontsize=8)
    left.legend(loc="lower right", bbox_to_anchor=(1.0, 0.1))
    heights = _rank_shares(*places(x, truth), count)
    bins = len(heights)
    edges = np.linspace(0, 1, bins + 1)
    right.bar(edges[:-1], heights * bins, width=1 / bins, align="edge", color=canvas.COLOURS[0])
    right.axhline(1.0, color="0.5", linestyle="--", linewidth=1, label="exact draws")
    right.set_ylim(0, 1.25 * max(1.0, float((heights * bins).max())))
    right.set(xlabel="rank of the truth / number of draws", ylabel="density over the pixels")
    right.legend(loc="upper right")
    return found


def of_pixel(run: "Run", image: int, pixel: tuple[int, int] | None, band: int) -> Any:
    """The draws of one pixel as a histogram, with the truth, and where the pixel is."""
    view = _pictured(run, image, 10 * SCORED)
    bands = view.mean.reshape(-1, *view.mean.shape[-2:])
    band = whole("band", band, 0, len(bands) - 1)
    spread = view.std.reshape(bands.shape)[band]
    most = divmod(int(spread.argmax()), spread.shape[1])
    place = most if pixel is None else pixel
    sizes = spread.shape
    row, column = (whole("pixel", i, 0, n - 1) for i, n in zip(place, sizes, strict=True))
    values = view.draws.reshape(len(view.draws), *bands.shape)[:, band, row, column]
    where = f"row {row}, column {column}" + (f", band {band}" if len(bands) > 1 else "")
    found = canvas.figure(canvas.WIDTH, 3.6)
    left, right = found.subplots(1, 2, width_ratios=(1, 2))
    shown = canvas.heat(left, spread, view.top, "uncertainty", view.origin)
    left.plot(column, row, "o", markersize=11, mfc="none", mec="white", mew=3)
    left.plot(column, row, "o", markersize=11, mfc="none", mec=canvas.TRUTH, mew=1.5)
    label = view.unit.replace("value", "deviation")
    canvas.bar(found, shown, left, label, (0.0, view.top))
    right.hist(values, bins="auto" if len(values) > 20 else 8, color=canvas.COLOURS[0], alpha=0.6)
    low, high = np.quantile(values, (0.05, 0.95))
    right.axvspan(low, high, color=canvas.BAND, zorder=0, label="5 % to 95 % of the draws")
    right.axvline(values.mean(), color=canvas.COLOURS[0], label=f"mean {values.mean():.3g}")
    if view.truth is not None:
        true = float(view.truth.reshape(bands.shape)[band, row, column])
        right.axvline(true, color=canvas.TRUTH, linestyle="--", label=f"truth {true:.3g}")
    right.set(xlabel=view.unit, ylabel="draws")
    right.set_title(f"{where}: {len(values)} draws", loc="left")
    right.legend(loc="upper left", bbox_to_anchor=(0.0, -0.16), ncols=3)
    return found


KINDS: dict[str, Callable[..., Any]] = {
    "overview": overview,
    "draws": draws,
    "trace": trace,
    "rank": rank,
    "calibration": calibration,
    "pixel": of_pixel,
}


def _pictured(run: "Run", image: int, count: int) -> View:
    view = view_of(run, image, count)
    if not view.is_picture:
        found = tuple(run.draws.shape[3:])
        raise ConfigError(f"x of shape {found} is no picture: use kind 'trace' or 'rank'")
    return view


def _panels(view: View) -> list[tuple[str, np.ndarray, bool]]:
    """Name, values and whether they are deviations."""
    out: list[tuple[str, np.ndarray, bool]] = []
    if view.truth is not None:
        out.append(("truth", view.truth, False))
    if view.y is not None and view.y.ndim >= 2:
        name = "measurement"
        if view.y_limits != view.limits:
            name += f", {view.y_limits[0]:.2g} to {view.y_limits[1]:.2g}"
        out.append((name, view.y, False))
    out += [("mean", view.mean, False), ("uncertainty", view.spread, True)]
    return out if view.error is None else [*out, ("error of the mean", view.error, True)]


def _lines(run: "Run", image: int) -> dict[str, np.ndarray]:
    """(chain, draw) curves: the misfit where it is known, and two random projections of x."""
    image = whole("image", image, 0, run.draws.shape[0] - 1)
    found: dict[str, Tensor] = {}
    if "nll" in run.arrays:
        found["misfit, $-\\log p(y|x)$"] = run.nll[image]
    ways = projections(run.draws[image], 2)
    if not ways.shape[1]:
        raise ConfigError("the run has no draws yet: there is nothing to show")
    found |= {f"projection {k + 1} of x": ways[..., k] for k in range(2)}
    return {name: torch.as_tensor(values).double().cpu().numpy() for name, values in found.items()}


def _line(chain: int, chains: int) -> dict[str, Any]:
    if chains > LINES:
        return {"color": canvas.COLOURS[0], "alpha": 0.35}
    return {"color": canvas.COLOURS[chain % len(canvas.COLOURS)], "label": f"chain {chain + 1}"}


def _rank_shares(below: Tensor, equal: Tensor, count: int) -> np.ndarray:
    """The share of the pixels by the place of the truth, in bins of equally many places."""
    size = count + 1
    bins = next(n for n in range(min(20, size), 0, -1) if size % n == 0 or n <= 10)
    place = torch.arange(size)[:, None]
    first, width = below.flatten(), equal.flatten() + 1
    share = ((place >= first) & (place < first + width)).double() / width
    each = share.mean(1).numpy()
    weights = np.zeros(bins)
    np.add.at(weights, np.arange(size) * bins // size, each)
    counts = np.bincount(np.arange(size) * bins // size, minlength=bins)
    return weights / counts * size / bins


def _calibration_title(count: int, pixels: int) -> str:
    return (
        f"The truth among {count} draws, over {pixels:,} pixels of one image, which are not "
        "independent. (nw.calibrate tests the sampler itself.)"
    )
