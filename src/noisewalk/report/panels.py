"""Figures of one report: a picture, its colour bar in the user's unit, its caption.

The pictures here are small ones that any reader of HTML shows. The page's script puts finer ones in
their place, drawn from the layers that `data-layer` names.
"""

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from ..sampling.verdict import DOUBT
from . import images, plots
from .contrast import spread_limit, stretch
from .data import ReportData
from .text import number, with_unit

STILL = 128  # pixels of the longer side of a picture at most


def panel(
    data: ReportData,
    title: str,
    pixels: np.ndarray,
    note: str,
    labels: Sequence[str],
    colormap: str | None = None,
    layer: str = "",
) -> str:
    """One figure; `layer` is what the page's script draws in its place, "" for nothing."""
    pixels = images.thumbnail(pixels, STILL)
    height, across = pixels.shape[:2]
    alt = escape(f"{title}: scale from {labels[0]} to {labels[-1]}")
    spans = "".join(f"<span>{escape(label)}</span>" for label in labels)
    bar = images.data_uri(images.colour_bar(colormap))
    name = f' data-layer="{escape(layer)}"' if layer else ""
    return (
        f'<figure class="panel"{name}><figcaption>{escape(title)}</figcaption><div class="pane">'
        f'<img src="{images.data_uri(pixels)}" alt="{alt}" class="{grain(pixels)}" '
        f'width="{across}" height="{height}">{north(data) if layer else ""}</div>'
        f'<div class="bar"><img src="{bar}" alt="" width="256" height="1"><div>{spans}</div></div>'
        f'<p class="note">{escape(note)}</p></figure>'
    )


def grain(pixels: np.ndarray) -> str:
    """The class "fine" for pictures whose single pixels need not be seen, else "coarse"."""
    return "fine" if max(pixels.shape[:2]) >= 96 else "coarse"


def north(data: ReportData) -> str:
    """An arrow to north over a picture, where the way is known."""
    if data.place is None or data.place.north is None:
        return ""
    return (
        f'<svg class="north" viewBox="-10 -12 20 24" role="img" aria-label="North is '
        f'{number(data.place.north, 3)}° clockwise from upwards"><g '
        f'transform="rotate({data.place.north:g})"><path d="M0 9V-4M-4 -1L0 -7L4 -1"/></g>'
        '<text y="20">N</text></svg>'
    )


def headline(data: ReportData) -> Iterator[str]:
    """Measurement, mean and uncertainty, and the truth and the error where they are known."""
    yield measurement(data)
    yield image(data, "Mean", data.mean, f"The average of {data.nll.size} draws.", "mean")
    of_all = "of all channels together" if len(data.mean) == 3 else "in each pixel"
    bright = "" if data.summary.get("verdict") == DOUBT else " Bright: not known. Dark: known."
    note = f"The standard deviation of the draws {of_all}.{bright}"
    yield _spread(data, "Uncertainty", note, data.std, "std")
    if data.truth is not None:
        yield image(data, "Truth", data.truth, "The clean image.", "truth")
        error = np.asarray(data.mean, np.float64) - data.truth
        note = "How far the mean is from the truth, in the colours of the uncertainty."
        yield _spread(data, "Error", note, error, "error")


def image(data: ReportData, title: str, x: np.ndarray, note: str, layer: str) -> str:
    """An image on the stretch that the truth, the mean and the draws share."""
    return panel(data, title, still(data, x), note, labels(data, _ends(x, data)), None, layer)


def still(data: ReportData, x: np.ndarray) -> np.ndarray:
    """The picture of an image."""
    low, high = _ends(x, data)
    return images.picture(_last(data.in_unit(_shown(x))), low, high)


def measurement(data: ReportData) -> str:
    """The measurement in the form that suits its shape: an image, a heat map or a curve."""
    y, measured = np.asarray(data.measurement, np.float64), data.measured
    shape = y.shape[1:] if y.ndim == 3 and len(y) == 1 else y.shape
    seen = "" if measured.all() else f", {int(measured.sum())} of {measured.size} observed"
    how = f"{data.how.removeprefix('x is ').capitalize()}, with noise. " if data.how else ""
    note = f"{how}{' × '.join(map(str, shape)) or '1'} values{seen}."
    return _of_measurement(data, "Measurement", np.where(measured, y, np.nan), note, "measurement")


def fit(data: ReportData) -> Iterator[str]:
    """What the mean predicts, and what the draws leave unexplained."""
    if data.predicted is not None:
        note = "What this instrument would measure of the mean, without noise."
        seen = np.where(data.measured, data.predicted, np.nan)
        yield _of_measurement(data, "Predicted", seen, note, "predicted")
    if data.residual is not None:
        yield _residual(data)


def _of_measurement(data: ReportData, title: str, y: np.ndarray, note: str, layer: str) -> str:
    unit = data.measurement_unit or ""
    if y.ndim == 3 and data.measurement_unit is None:
        name = layer if data.measurement_on_grid else ""
        return image(data, title, y, note, name)
    if y.ndim < 2:
        return _curve(title, f"{note} Vertical axis in {unit}." if unit else note, y)
    field = _last(_shown(y)) if y.ndim == 3 else y.reshape(-1, y.shape[-1])
    finite = field[np.isfinite(field)]
    low, high = map(float, np.quantile(finite, (0.005, 0.995))) if finite.size else (0.0, 1.0)
    high = high if high > low else low + 1.0
    below = "≤ " if images.exceeds(-finite, -low) else ""
    above = "≥ " if images.exceeds(finite, high) else ""
    said = below + number(low, 3), above + with_unit(high, unit)
    if y.ndim == 3:
        return panel(data, title, images.picture(field, low, high), note, said)
    pixels = images.coloured(field, images.MEASURED, low, high)
    return panel(data, title, pixels, note, said, images.MEASURED)


def _residual(data: ReportData) -> str:
    """What the draws leave unexplained, in units of the noise."""
    r = np.where(data.measured, np.asarray(data.residual, np.float64), np.nan)
    note = "(y − A(x)) / noise, averaged over the draws. Structure is signal that no draw explains."
    if r.ndim < 2:
        return _curve("Residual", note, r)
    if r.ndim == 3:
        r = r[0] if len(r) not in (1, 3) else images.standardised_sum(r)
    r = r.reshape(-1, r.shape[-1])
    pixels = images.coloured(r, images.DIVERGING, -images.LIMIT_Z, images.LIMIT_Z)
    name = "residual" if data.measurement_on_grid else ""
    return panel(data, "Residual", pixels, note, ("−3", "0", "+3"), images.DIVERGING, name)


def _spread(data: ReportData, title: str, note: str, values: np.ndarray, layer: str) -> str:
    """A map of deviations on the scale from 0 to the limit of the uncertainty."""
    top = spread_limit(data)
    spread = images.root_mean_square(_shown(values)) * data.scale
    above = "≥ " if images.exceeds(spread, top) else ""
    said = "0", number(top / 2, 3), above + with_unit(top, data.unit)
    return panel(data, title, spread_of(data, values), note, said, images.SPREAD, layer)


def spread_of(data: ReportData, values: np.ndarray) -> np.ndarray:
    """The picture of deviations (C, H, W)."""
    spread = images.root_mean_square(_shown(values)) * data.scale
    return images.coloured(spread, images.SPREAD, 0.0, spread_limit(data))


def labels(data: ReportData, ends: Sequence[float]) -> tuple[str, str]:
    """The ends of a bar of values."""
    return f"≤ {number(ends[0], 3)}", f"≥ {with_unit(ends[1], data.unit)}"


def _ends(x: np.ndarray, data: ReportData) -> list[float]:
    return stretch(data) if len(x) in (1, 3) else stretch(data, slice(1))


def _shown(x: np.ndarray) -> np.ndarray:
    """The channels that are shown together: all of one or three, else the first."""
    return x if len(x) in (1, 3) else x[:1]


def _last(x: np.ndarray) -> np.ndarray:
    return x[0] if len(x) == 1 else np.moveaxis(x, 0, -1)


def _curve(title: str, note: str, y: np.ndarray) -> str:
    plot = plots.trace(y.reshape(1, -1), title, "entry")
    return (
        f'<figure class="panel curve"><figcaption>{escape(title)}</figcaption>{plot}'
        f'<p class="note">{escape(note)}</p></figure>'
    )
