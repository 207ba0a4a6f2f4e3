"""The paper that figures are drawn on: matplotlib without pyplot and its global state."""

import io
import textwrap
from functools import cache
from typing import Any

import numpy as np

from .. import _pictures as pictures

WIDTH = 10.0  # inches: that of a notebook
COLOURS = ("#3366aa", "#cc6633", "#338855", "#8855aa", "#aa8822", "#559999", "#bb5577", "#777777")
TRUTH, BAND = "#cc3333", "0.85"
STYLE: dict[Any, Any] = {
    "font.size": 10.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


@cache
def _kind() -> type:
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        """A figure that a notebook shows without pyplot."""

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=100)
            return buffer.getvalue()

    return ShownFigure


def figure(width: float, height: float, title: str = "") -> Any:
    """An empty figure, inches wide and high, with a wrapped line above."""
    found = _kind()(figsize=(width, height), layout="constrained")
    if title:
        lines = textwrap.fill(title, int(11.5 * width))
        found.suptitle(lines, x=0.01, ha="left", fontsize=10)
    return found


def empty(reason: str, width: float = WIDTH) -> Any:
    """A figure that says why there is nothing to draw."""
    found = figure(width, 1.2)
    axes = found.subplots()
    axes.set_axis_off()
    text = textwrap.fill(reason, int(11 * width))
    axes.text(0.0, 0.5, text, va="center", transform=axes.transAxes)
    return found


def picture(axes: Any, x: np.ndarray, limits: tuple[float, float], title: str, origin: str) -> Any:
    """An image in grey or colour; hatched where it is not known."""
    _frame(axes, title)
    values = pictures.flat(x)
    if values.ndim == 3:
        return axes.imshow(pictures.shades(x, *limits), origin=origin, interpolation="nearest")
    how = {"vmin": limits[0], "vmax": limits[1], "origin": origin, "interpolation": "nearest"}
    return axes.imshow(np.ma.masked_invalid(values), cmap="gray", **how)


def heat(axes: Any, x: np.ndarray, top: float, title: str, origin: str) -> Any:
    """A map of deviations from 0 to the top."""
    _frame(axes, title)
    how = {"vmin": 0.0, "vmax": top, "origin": origin, "interpolation": "nearest"}
    return axes.imshow(x, cmap=pictures.UNCERTAINTY, **how)


def bar(found: Any, shown: Any, axes: Any, label: str, limits: tuple[float, float]) -> None:
    """A colour bar below axes, also of pictures in colour."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    grey = ScalarMappable(Normalize(*limits), cmap="gray")
    scalar = shown.get_array() is not None and shown.get_array().ndim == 2
    how = {"location": "bottom", "fraction": 0.06, "pad": 0.02, "aspect": 30}
    found.colorbar(shown if scalar else grey, ax=axes, label=label, **how)


def _frame(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", pad=4)
    axes.set(xticks=[], yticks=[])
    axes.set_facecolor("white")
    axes.patch.set(hatch="///", edgecolor="0.75")
    for spine in axes.spines.values():
        spine.set(visible=True, color="0.7")
