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
MOST = 7  # entries that fit beside each other


def side_by_side(runs: Mapping[str, Run], image: int) -> Any:
    """Mean, uncertainty, error and two draws, a column an entry; truth and measurement first."""
    import matplotlib

    views = {name: view_of(run, image, DRAWS) for name, run in runs.items()}
    first = next(iter(views.values()))
    if not first.is_picture:
        raise ConfigError("the draws are no pictures: there is nothing to show side by side")
    if len(views) > MOST:
        raise ConfigError(f"{len(views)} entries do not fit beside each other: show {MOST} at most")
    with matplotlib.rc_context(canvas.STYLE):
        return _figure(views, first)


def _figure(views: Mapping[str, View], first: View) -> Any:
    rows = ["mean", "uncertainty", *(["error"] if first.error is not None else [])]
    rows += [f"draw {k + 1}" for k in range(DRAWS)]
    limits = pictures.limits(*(v.mean for v in views.values()), *(v.draws for v in views.values()))
    top = max(view.top for view in views.values())
    columns, (height, width) = len(views) + 1, first.spread.shape
    side = min(2.0, canvas.WIDTH / columns)
    tall = len(rows) * side * min(2.0, height / width) * 1.1 + 1.2
    found = canvas.figure(side * columns + 0.4, tall)
    grid = found.subplots(len(rows), columns, squeeze=False)
    shown: dict[bool, Any] = {}
    for axes, (name, view) in zip(grid[:, 1:].T, views.items(), strict=True):
        for k, row in enumerate(rows):
            title = name if k == 0 else ""
            hot = row in ("uncertainty", "error")
            x = _row(view, row)
            if x is None:
                axes[k].set_axis_off()
                continue
            draw = canvas.heat if hot else canvas.picture
            shown[hot] = draw(axes[k], x, top if hot else limits, title, view.origin)
    _given(grid[:, 0], first, limits)
    for axes, row in zip(grid[:, 1], rows, strict=True):
        axes.set_ylabel(row, fontsize=9)
    picked = grid[:, 1:]
    deviation = first.unit.replace("value", "deviation")
    half = max(1, (columns - 1) // 2)
    canvas.bar(found, shown[False], list(picked[-1, :half]), first.unit, limits)
    canvas.bar(found, shown[True], list(picked[-1, half:] if columns > 2 else picked[-1]),
               deviation, (0.0, top))
    return found


def _row(view: View, row: str) -> np.ndarray | None:
    if row.startswith("draw"):
        k = int(row.split()[1]) - 1
        return view.draws[k] if k < len(view.draws) else None
    return {"mean": view.mean, "uncertainty": view.spread, "error": view.error}[row]


def _given(column: Any, view: View, limits: tuple[float, float]) -> None:
    """What is known of the problem, in the first column."""
    given = [("truth", view.truth, limits), ("measurement", view.y, view.y_limits)]
    known = [(name, x, ends) for name, x, ends in given if x is not None and x.ndim >= 2]
    for axes, (name, x, ends) in zip(column, known, strict=False):
        canvas.picture(axes, x, ends, name, view.origin)
    for axes in column[len(known) :]:
        axes.set_axis_off()
