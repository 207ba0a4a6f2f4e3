"""Labelled images of one report: a picture, its colour bar in the user's unit, its caption."""

import base64
import json
from collections.abc import Iterator
from html import escape

import numpy as np

from . import images, plots
from .data import ReportData
from .text import number, with_unit

LIMIT_Z = 3.0
CHANNELS = {3: ("red", "green", "blue")}


def panel(
    title: str,
    pixels: np.ndarray,
    width: int,
    note: str = "",
    colormap: str | None = None,
    labels: tuple[str, ...] = (),
    layer: str = "",
    linked: bool = False,
) -> str:
    """One figure.

    Arguments:
        title: above the picture.
        pixels: uint8 picture.
        width: of the picture on a large screen, in CSS pixels.
        note: below it.
        colormap: of the colour bar; None: grey.
        labels: along the colour bar, evenly spaced; empty: no bar.
        layer: name under which the page's script offers the picture for comparison; "": none.
        linked: True if the picture lies on the pixel grid of x, so that the cross hair is shared.

    Returns:
        An HTML fragment.
    """
    height, across = pixels.shape[:2]
    alt = escape(
        f"{title}: {across} × {height} pixels"
        + (f", scale from {labels[0]} to {labels[-1]}" if labels else "")
    )
    bar = ""
    if labels:
        spans = "".join(f"<span>{escape(label)}</span>" for label in labels)
        bar = (
            f'<div class="bar"><img src="{images.data_uri(images.colour_bar(colormap))}" alt="" '
            f'width="256" height="1"><div>{spans}</div></div>'
        )
    caption = f'<p class="note">{escape(note)}</p>' if note else ""
    name = f' data-layer="{escape(layer)}"' if layer else ""
    return (
        '<figure class="panel" '
        f'style="--w:{width}px"{name}><figcaption>{escape(title)}</figcaption>'
        f'<div class="pane{" linked" if linked else ""}">'
        f'<img src="{images.data_uri(pixels)}" alt="{alt}" class="{grain(pixels)}" '
        f'width="{across}" height="{height}"></div>{bar}{caption}</figure>'
    )


def display_width(data: ReportData, side: int = 192) -> int:
    """CSS pixels for an image of x: a whole number per pixel.

    Arguments:
        data: the report's content.
        side: least length of the longer side.

    Returns:
        The width.
    """
    height, width = images.tile(data.mean).shape[:2]
    return width * images.magnification(height, width, side)


def grain(pixels: np.ndarray) -> str:
    """How the browser enlarges a picture.

    Arguments:
        pixels: uint8 picture.

    Returns:
        The class "fine" for pictures whose single pixels need not be seen, else "coarse".
    """
    return "fine" if max(pixels.shape[:2]) >= 96 else "coarse"


def headline(data: ReportData) -> Iterator[str]:
    """Truth, measurement, mean, uncertainty and the error of the mean.

    Arguments:
        data: the report's content.

    Yields:
        Figures.
    """
    width, linked = display_width(data), on_grid(data)
    ends = _range_labels(data)
    if data.truth is not None:
        yield panel(
            "Truth",
            images.picture(images.tile(data.truth)),
            width,
            "The clean image.",
            None,
            ends,
            "Truth",
            linked,
        )
    yield measurement(data, width)
    draws = data.nll.size
    yield panel(
        "Mean",
        images.picture(images.tile(data.mean)),
        width,
        f"Average of {draws} draws.",
        None,
        ends,
        "Mean",
        linked,
    )
    uncertainty = images.root_mean_square(data.std)
    limit = images.upper_limit(uncertainty, data.scale)
    note = "Standard deviation of the draws" + (
        ", root mean square over channels." if len(data.mean) > 1 else ", pixel by pixel."
    )
    shown = images.coloured(uncertainty, images.UNCERTAINTY, 0.0, limit)
    yield panel(
        "Uncertainty",
        shown,
        width,
        note,
        images.UNCERTAINTY,
        _std_labels(data, uncertainty, limit),
        "Uncertainty",
        linked,
    )
    if data.truth is not None:
        error = images.root_mean_square(np.asarray(data.mean, np.float64) - data.truth)
        shown = images.coloured(error, images.UNCERTAINTY, 0.0, limit)
        note = "|mean − truth|, on the scale of the uncertainty."
        yield panel(
            "Error of the mean",
            shown,
            width,
            note,
            images.UNCERTAINTY,
            _std_labels(data, error, limit),
            "Error",
            linked,
        )


def measurement(data: ReportData, width: int) -> str:
    """The measurement in the form that suits its shape.

    Arguments:
        data: the report's content.
        width: CSS pixels.

    Returns:
        A figure: image, heat map or curve.
    """
    y, measured = np.asarray(data.measurement, np.float64), data.measured
    shape = y.shape[1:] if y.ndim == 3 and len(y) == 1 else y.shape
    note = f"{' × '.join(map(str, shape)) or '1'} values" + (
        "." if measured.all() else f", {int(measured.sum())} of {measured.size} observed."
    )
    if y.ndim == 3 and data.measurement_unit is None:
        shown = images.picture(images.tile(y), valid=images.tile(np.where(measured, 1.0, 0.0)) == 1)
        return panel(
            "Measurement",
            shown,
            width,
            note,
            None,
            _range_labels(data),
            "Measurement",
            _measurement_linked(data),
        )
    y = np.where(measured, y, np.nan)
    unit = data.measurement_unit or ""
    if y.ndim < 2:
        return _curve("Measurement", y, f"{note} Vertical axis in {unit}." if unit else note, width)
    field = images.tile(y) if y.ndim == 3 else y.reshape(-1, y.shape[-1])
    finite = field[np.isfinite(field)]
    low, high = (
        (float(q) for q in np.quantile(finite, (0.005, 0.995))) if finite.size else (0.0, 1.0)
    )
    high = high if high > low else low + 1.0
    ends = (
        "≤ " * images.exceeds(-finite, -low) + number(low, 3),
        "≥ " * images.exceeds(finite, high) + with_unit(high, unit),
    )
    grey = y.ndim == 3
    shown = (
        images.picture(field, low, high)
        if grey
        else images.coloured(field, images.MEASURED, low, high)
    )
    return panel(
        "Measurement", shown, width, note, None if grey else images.MEASURED, ends, "Measurement"
    )


def standardized(data: ReportData) -> Iterator[str]:
    """The error in units of the uncertainty, a map per channel.

    Arguments:
        data: the report's content; without a truth there are none.

    Yields:
        Figures; pixels that do not vary are left out.
    """
    if data.truth is None:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(
            data.std > 0, (np.asarray(data.mean, np.float64) - data.truth) / data.std, np.nan
        )
    names = CHANNELS.get(len(z), [f"channel {i + 1}" for i in range(len(z))])
    for channel, name in zip(z, names, strict=True):
        title = "Standardized error" + (f", {name}" if len(z) > 1 else "")
        shown = images.coloured(channel, images.DIVERGING, -LIMIT_Z, LIMIT_Z)
        yield panel(
            title,
            shown,
            display_width(data),
            "(mean − truth) / uncertainty.",
            images.DIVERGING,
            ("−3", "0", "+3"),
            linked=on_grid(data),
        )


def within(data: ReportData) -> tuple[float, float] | None:
    """Share of pixels whose truth lies within one and two standard deviations of the mean.

    Arguments:
        data: the report's content.

    Returns:
        Both shares over the pixels that vary; None without a truth or without varying pixels.
    """
    if data.truth is None:
        return None
    varies = np.isfinite(data.std) & (data.std > 0)
    if not varies.any():
        return None
    z = np.abs(np.asarray(data.mean, np.float64) - data.truth)[varies] / data.std[varies]
    return float(np.mean(z <= 1.0)), float(np.mean(z <= 2.0))


def residual(data: ReportData) -> str:
    """What the draws leave unexplained, in units of the noise.

    Arguments:
        data: the report's content.

    Returns:
        A figure; "" if the residual is not given.
    """
    if data.residual is None:
        return ""
    width = display_width(data)
    measured = data.measured
    r = np.where(measured, data.residual, np.nan).astype(np.float64)
    note = (
        "(y − A(x)) / noise, averaged over the draws. Structure here is signal that the draws miss."
    )
    if r.ndim < 2:
        return _curve("Residual", r, note, width)
    if r.ndim == 3 and len(r) > 1:
        count = measured.sum(axis=0)
        r = np.where(count > 0, np.nansum(r, axis=0) / np.sqrt(np.maximum(count, 1)), np.nan)
        note += " Channels summed over √C."
    shown = images.coloured(r.reshape(-1, r.shape[-1]), images.DIVERGING, -LIMIT_Z, LIMIT_Z)
    return panel(
        "Residual",
        shown,
        width,
        note,
        images.DIVERGING,
        ("−3", "0", "+3"),
        linked=_measurement_linked(data),
    )


def on_grid(data: ReportData) -> bool:
    """Whether pictures of x have its pixel grid (one or three channels; others are tiled).

    Arguments:
        data: the report's content.

    Returns:
        True for grey and RGB.
    """
    return len(data.mean) in (1, 3)


def payload(data: ReportData) -> str:
    """Pixel values for the read-out under the pointer, as 16-bit integers (65535 is missing).

    Arguments:
        data: the report's content.

    Returns:
        JSON that is safe inside a script element; "" where pictures do not have the pixel grid.
    """
    if not on_grid(data):
        return ""
    low, high, unit = data.value_range
    layers = {"mean": data.mean, "std": data.std}
    if data.truth is not None:
        layers["truth"] = data.truth
    if _measurement_linked(data):
        layers["measurement"] = np.where(data.measured, data.measurement, np.nan)
    packed = {
        name: _pack(values, low, high, is_std=name == "std") for name, values in layers.items()
    }
    return (
        json.dumps({"unit": unit, "low": low, "high": high, "layers": packed}, allow_nan=False)
        .replace("<", "\\u003c")
        .replace("&", "\\u0026")
    )


def _pack(values: np.ndarray, low: float, high: float, is_std: bool) -> dict[str, object]:
    user = np.asarray(values, np.float64)
    user = user * abs(high - low) / 2 if is_std else low + (user + 1) * (high - low) / 2
    seen = np.isfinite(user)
    start, stop = (float(user[seen].min()), float(user[seen].max())) if seen.any() else (0.0, 0.0)
    step = (stop - start) / 65534 or 1.0
    levels = np.where(seen, np.rint((np.where(seen, user, start) - start) / step), 65535).astype(
        "<u2"
    )
    return {
        "shape": list(values.shape),
        "start": start,
        "step": step,
        "data": base64.b64encode(levels.tobytes()).decode(),
    }


def _measurement_linked(data: ReportData) -> bool:
    y, x = data.measurement, data.mean
    if not (on_grid(data) and data.measurement_unit is None and y.ndim == 3 and len(y) in (1, 3)):
        return False
    return y.shape[1] * x.shape[2] == y.shape[2] * x.shape[1]


def _curve(title: str, y: np.ndarray, note: str, width: int) -> str:
    plot = plots.trace(y.reshape(1, -1), title, "entry")
    return (
        '<figure class="panel curve" '
        f'style="--w:{2 * width}px"><figcaption>{escape(title)}</figcaption>{plot}<p '
        f'class="note">{escape(note)}</p></figure>'
    )


def _range_labels(data: ReportData) -> tuple[str, str]:
    low, high, unit = data.value_range
    return number(low), with_unit(high, unit, 4)


def _std_labels(data: ReportData, values: np.ndarray, limit: float) -> tuple[str, str, str]:
    top = limit * data.scale
    return (
        "0",
        number(top / 2, 3),
        ("≥ " if images.exceeds(values, limit) else "") + with_unit(top, data.unit),
    )
