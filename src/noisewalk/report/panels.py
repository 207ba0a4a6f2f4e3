"""Figures of one report: a picture, its colour bar in the user's unit, its caption."""

from collections.abc import Iterator
from html import escape

import numpy as np

from . import images, plots
from .data import ReportData
from .text import number, with_unit

LIMIT_Z = 3.0
CHANNELS = {3: ("red", "green", "blue")}


def panel(
    data: ReportData,
    title: str,
    pixels: np.ndarray,
    note: str,
    labels: tuple[str, ...],
    colormap: str | None = None,
    layer: str = "",
    linked: bool = False,
) -> str:
    """One figure; `layer` is its name in the page's script, and linked ones share a cross hair."""
    height, across = pixels.shape[:2]
    scale = f"scale from {labels[0]} to {labels[-1]}"
    alt = escape(f"{title}: {across} × {height} pixels, {scale}")
    spans = "".join(f"<span>{escape(label)}</span>" for label in labels)
    bar = images.data_uri(images.colour_bar(colormap))
    name = f' data-layer="{escape(layer)}"' if layer else ""
    return (
        f'<figure class="panel" style="--w:{display_width(data)}px"{name}><figcaption>'
        f'{escape(title)}</figcaption><div class="pane{" linked" if linked else ""}">'
        f'<img src="{images.data_uri(pixels)}" alt="{alt}" class="{grain(pixels)}" '
        f'width="{across}" height="{height}"></div><div class="bar"><img src="{bar}" alt="" '
        f'width="256" height="1"><div>{spans}</div></div><p class="note">{escape(note)}</p>'
        "</figure>"
    )


def display_width(data: ReportData, side: int = 192) -> int:
    """CSS pixels for an image of x, a whole number for each of its own."""
    height, width = images.tile(data.mean).shape[:2]
    return width * images.magnification(height, width, side)


def grain(pixels: np.ndarray) -> str:
    """The class "fine" for pictures whose single pixels need not be seen, else "coarse"."""
    return "fine" if max(pixels.shape[:2]) >= 96 else "coarse"


def headline(data: ReportData) -> Iterator[str]:
    """Truth, measurement, mean, uncertainty and the error of the mean."""
    if data.truth is not None:
        yield _image(data, "Truth", data.truth, "The clean image.")
    yield measurement(data)
    yield _image(data, "Mean", data.mean, f"Average of {data.nll.size} draws.")
    spread = images.root_mean_square(data.std)
    limit = images.upper_limit(spread, data.scale)
    over = "root mean square over the channels" if len(data.mean) > 1 else "pixel by pixel"
    note = f"Standard deviation of the draws, {over}."
    yield _deviation(data, "Uncertainty", note, spread, limit, "Uncertainty")
    if data.truth is not None:
        error = images.root_mean_square(np.asarray(data.mean, np.float64) - data.truth)
        note = "|mean − truth|, on the scale of the uncertainty."
        yield _deviation(data, "Error of the mean", note, error, limit, "Error")


def measurement(data: ReportData) -> str:
    """The measurement in the form that suits its shape: an image, a heat map or a curve."""
    name, y, measured = "Measurement", np.asarray(data.measurement, np.float64), data.measured
    shape = y.shape[1:] if y.ndim == 3 and len(y) == 1 else y.shape
    seen = "" if measured.all() else f", {int(measured.sum())} of {measured.size} observed"
    note = f"{' × '.join(map(str, shape)) or '1'} values{seen}."
    if y.ndim == 3 and data.measurement_unit is None:
        valid = images.tile(np.where(measured, 1.0, 0.0)) == 1
        pixels, linked = images.picture(images.tile(y), valid=valid), data.measurement_on_grid
        return panel(data, name, pixels, note, _range_labels(data), None, name, linked)
    y, unit = np.where(measured, y, np.nan), data.measurement_unit or ""
    if y.ndim < 2:
        return _curve(data, name, f"{note} Vertical axis in {unit}." if unit else note, y)
    field = images.tile(y) if y.ndim == 3 else y.reshape(-1, y.shape[-1])
    finite = field[np.isfinite(field)]
    low, high = map(float, np.quantile(finite, (0.005, 0.995))) if finite.size else (0.0, 1.0)
    high = high if high > low else low + 1.0
    below = "≤ " if images.exceeds(-finite, -low) else ""
    above = "≥ " if images.exceeds(finite, high) else ""
    labels = below + number(low, 3), above + with_unit(high, unit)
    if y.ndim == 3:
        return panel(data, name, images.picture(field, low, high), note, labels, None, name)
    pixels = images.coloured(field, images.MEASURED, low, high)
    return panel(data, name, pixels, note, labels, images.MEASURED, name)


def standardized(data: ReportData) -> Iterator[str]:
    """The error in units of the uncertainty, a map for each channel, where pixels vary."""
    if data.truth is None:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.asarray(data.mean, np.float64) - data.truth
        z = np.where(data.std > 0, error / data.std, np.nan)
    names = CHANNELS.get(len(z), [f"channel {i + 1}" for i in range(len(z))])
    for channel, name in zip(z, names, strict=True):
        title = "Standardized error" + (f", {name}" if len(z) > 1 else "")
        yield _diverging(data, title, "(mean − truth) / uncertainty.", channel, data.on_grid)


def within(data: ReportData) -> tuple[float, float] | None:
    """Shares of the varying pixels whose truth is within one and two deviations of the mean."""
    varies = np.isfinite(data.std) & (data.std > 0)
    if data.truth is None or not varies.any():
        return None
    z = np.abs(np.asarray(data.mean, np.float64) - data.truth)[varies] / data.std[varies]
    return float(np.mean(z <= 1.0)), float(np.mean(z <= 2.0))


def residual(data: ReportData) -> str:
    """What the draws leave unexplained, in units of the noise; "" if it is not given."""
    if data.residual is None:
        return ""
    r = np.where(data.measured, data.residual, np.nan).astype(np.float64)
    note = "(y − A(x)) / noise, averaged over the draws. Any structure is signal that they miss."
    if r.ndim < 2:
        return _curve(data, "Residual", note, r)
    if r.ndim == 3 and len(r) > 1:
        count = data.measured.sum(axis=0)
        r = np.where(count > 0, np.nansum(r, axis=0) / np.sqrt(np.maximum(count, 1)), np.nan)
        note += " The channels are summed and divided by √C."
    return _diverging(data, "Residual", note, r.reshape(-1, r.shape[-1]), data.measurement_on_grid)


def _image(data: ReportData, title: str, x: np.ndarray, note: str) -> str:
    pixels = images.picture(images.tile(x))
    return panel(data, title, pixels, note, _range_labels(data), None, title, data.on_grid)


def _deviation(
    data: ReportData, title: str, note: str, values: np.ndarray, limit: float, layer: str
) -> str:
    """A map of deviations on the scale from 0 to the limit."""
    pixels = images.coloured(values, images.UNCERTAINTY, 0.0, limit)
    top, above = limit * data.scale, "≥ " if images.exceeds(values, limit) else ""
    labels = "0", number(top / 2, 3), above + with_unit(top, data.unit)
    return panel(data, title, pixels, note, labels, images.UNCERTAINTY, layer, data.on_grid)


def _diverging(data: ReportData, title: str, note: str, z: np.ndarray, linked: bool) -> str:
    """A map of standardized values on the scale from -3 to 3."""
    pixels = images.coloured(z, images.DIVERGING, -LIMIT_Z, LIMIT_Z)
    labels = "−3", "0", "+3"
    return panel(data, title, pixels, note, labels, images.DIVERGING, linked=linked)


def _curve(data: ReportData, title: str, note: str, y: np.ndarray) -> str:
    plot = plots.trace(y.reshape(1, -1), title, "entry")
    return (
        f'<figure class="panel curve" style="--w:{2 * display_width(data)}px"><figcaption>'
        f'{escape(title)}</figcaption>{plot}<p class="note">{escape(note)}</p></figure>'
    )


def _range_labels(data: ReportData) -> tuple[str, str]:
    low, high, unit = data.value_range
    return number(low), with_unit(high, unit, 4)
