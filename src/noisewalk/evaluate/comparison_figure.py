"""The draws of several samplers side by side."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _pictures as pictures
from ..errors import ConfigError
from ..sampling import canvas
from ..sampling.run import Run
from ..sampling.view import View, view_of

DRAWS = 2
MOST = 12  # entries that a figure can hold
HOT = ("uncertainty", "error of the mean")


def side_by_side(runs: Mapping[str, Run], image: int) -> Any:
    """Mean, uncertainty, error and two draws, a row an entry, below truth and measurement."""
    import matplotlib

    if len(runs) > MOST:
        raise ConfigError(f"{len(runs)} entries do not fit into one figure: show {MOST} at most")
    views = {name: view_of(run, image, DRAWS) for name, run in runs.items()}
    if not all(view.is_picture for view in views.values()):
        raise ConfigError("the draws are no pictures: there is nothing to show side by side")
    with matplotlib.rc_context(canvas.STYLE):
        return _figure(views, next(iter(views.values())))


def _figure(views: Mapping[str, View], first: View) -> Any:
    names = ["mean", *(HOT if first.error is not None else HOT[:1])]
    columns = [*names, *(f"draw {k + 1}" for k in range(DRAWS))]
    shown = [x for view in views.values() for x in (view.mean, view.draws)]
    limits = pictures.limits(*shown, *([] if first.truth is None else [first.truth]))
    top = max(view.top for view in views.values())
    height, width = first.spread.shape
    side = canvas.WIDTH / len(columns)
    tall = (len(views) + 1) * (side * min(2.0, height / width) * 0.97 + 0.2) + 0.8
    found = canvas.figure(canvas.WIDTH, tall)
    grid = found.subplots(len(views) + 1, len(columns), squeeze=False)
    _given(grid[0], first, limits)
    for row, (name, view) in zip(grid[1:], views.items(), strict=True):
        for axes, column in zip(row, columns, strict=True):
            if (x := _panel(view, column)) is None:
                axes.set_axis_off()
            elif column in HOT:
                hot = canvas.heat(axes, x, top, column, view.origin)
            else:
                grey = canvas.picture(axes, x, limits, column, view.origin)
        row[0].set_ylabel(name, fontsize=10)
    last = len(names)
    for part in (grid[-1, :1], grid[-1, last:]):  # under every column, so that rows stay level
        canvas.bar(found, grey, list(part), first.unit, limits)
    deviation = first.unit.replace("value", "deviation")
    canvas.bar(found, hot, list(grid[-1, 1:last]), deviation, (0.0, top))
    return found


def _panel(view: View, column: str) -> np.ndarray | None:
    if column.startswith("draw"):
        k = int(column.split()[1]) - 1
        return view.draws[k] if k < len(view.draws) else None
    return {"mean": view.mean, HOT[0]: view.spread, HOT[1]: view.error}[column]


def _given(row: Any, view: View, limits: tuple[float, float]) -> None:
    """What is known of the problem, in the first row."""
    given = [("truth", view.truth, limits), ("measurement", view.y, view.y_limits)]
    known = [(name, x, ends) for name, x, ends in given if x is not None and x.ndim >= 2]
    for axes, (name, x, ends) in zip(row, known, strict=False):
        canvas.picture(axes, x, ends, name, view.origin)
    for axes in row[len(known) :]:
        axes.set_axis_off()
