"""Arrays as small pictures, and objects as cards of a notebook; every text in a card is escaped."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

UNCERTAINTY = "magma"
"""The one colour map of standard deviations and errors."""
SIDE = 112  # CSS pixels of a picture in a card
MOST = 256  # stored pixels of a picture's longer side
HATCH = (
    "background:repeating-linear-gradient(45deg,rgba(128,128,128,.5) 0 2px,transparent 2px 6px);"
)
"""Below what is transparent: not observed."""


def flat(x: Any) -> np.ndarray:
    """An array as (H, W), or (H, W, 3) for three channels; other channels stand side by side."""
    values = np.asarray(x, dtype=np.float64)
    if values.ndim == 3 and len(values) == 3:
        return np.moveaxis(values, 0, -1)
    if values.ndim == 3:
        return np.concatenate(list(values), axis=1)
    return values[None] if values.ndim == 1 else values.reshape(-1, values.shape[-1])


def limits(*arrays: Any) -> tuple[float, float]:
    """What is black and what is white in pictures that are compared: -1 and 1 where the values use
    half of that, else their 0.5 % and 99.5 % quantiles."""
    parts = [np.asarray(x, dtype=np.float64).ravel() for x in arrays]
    finite = np.concatenate([part[np.isfinite(part)] for part in parts])
    if not finite.size:
        return -1.0, 1.0
    low, high = (float(q) for q in np.quantile(finite, (0.005, 0.995)))
    if low >= -1.25 and high <= 1.25 and high - low >= 1.0:
        return -1.0, 1.0
    return (low, high) if high - low > 1e-6 else (low - 0.5, high + 0.5)


def upper(*arrays: Any) -> float:
    """The end of a colour bar that starts at 0: the 99.5 % quantile with two digits, rounded up."""
    parts = [np.abs(np.asarray(x, dtype=np.float64)).ravel() for x in arrays]
    finite = np.concatenate([part[np.isfinite(part)] for part in parts])
    top = float(np.quantile(finite, 0.995)) if finite.size else 0.0
    if top <= 0:
        return 1.0
    digit = 10.0 ** (math.floor(math.log10(top)) - 1)
    return math.ceil(top / digit - 1e-9) * digit


def shades(x: Any, low: float, high: float) -> np.ndarray:
    """`flat(x)` as 8-bit grey or RGB from low, black, to high, white; RGBA, transparent where a
    value is not finite."""
    values = flat(x)
    unit = np.nan_to_num((values - low) / (high - low))
    pixels = np.rint(255 * np.clip(unit, 0.0, 1.0)).astype(np.uint8)
    seen = np.isfinite(values)
    if seen.all():
        return pixels
    rgb = pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, axis=-1)
    seen = seen.all(-1) if seen.ndim == 3 else seen
    return np.concatenate([rgb, np.where(seen, 255, 0).astype(np.uint8)[..., None]], axis=-1)


def heat(x: Any, top: float) -> np.ndarray:
    """A field (H, W) from 0 to its top in the colours of uncertainties, RGB."""
    import matplotlib

    table = matplotlib.colormaps[UNCERTAINTY](np.linspace(0.0, 1.0, 256), bytes=True)[:, :3]
    return np.asarray(table[shades(np.nan_to_num(x), 0.0, top)])


def over_channels(x: Any) -> np.ndarray:
    """Root mean square of (C, H, W) over the channels: one map of all; other shapes are `flat`."""
    values = np.asarray(x, dtype=np.float64)
    return np.sqrt(np.square(values).mean(0)) if values.ndim == 3 else flat(values)


def uri(pixels: np.ndarray) -> str:
    """8-bit pixels as a PNG for the `src` of an image element, box averaged to `MOST` pixels."""
    image, ratio = Image.fromarray(np.ascontiguousarray(pixels)), MOST / max(pixels.shape[:2])
    if ratio < 1:
        size = max(1, round(image.width * ratio)), max(1, round(image.height * ratio))
        image = image.resize(size, Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def card(
    title: str,
    text: str = "",
    pictures: Sequence[tuple[str, np.ndarray]] = (),
    numbers: Mapping[str, str] | None = None,
) -> str:
    """What a notebook shows of an object: title, sentence, captioned pictures, numbers."""
    figures = "".join(_figure(caption, pixels) for caption, pixels in pictures)
    row = f'<div style="display:flex;flex-wrap:wrap;gap:8px;margin:6px 0">{figures}</div>'
    cells = " ".join(
        f'<span style="margin-right:14px;white-space:nowrap"><span style="opacity:.7">'
        f"{escape(name)}</span> <b>{escape(value)}</b></span>"
        for name, value in (numbers or {}).items()
    )
    said = f'<div style="max-width:46em">{escape(text)}</div>' if text else ""
    return (
        '<div style="font-size:13px;line-height:1.5;padding:4px 0">'
        f"<div><b>{escape(title)}</b></div>{said}{row if figures else ''}<div>{cells}</div></div>"
    )


def _figure(caption: str, pixels: np.ndarray) -> str:
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    grain = "image-rendering:pixelated;" if scale >= 1 else ""
    size = (
        HATCH + f"width:{max(1, round(width * scale))}px;height:{max(1, round(height * scale))}px"
    )
    return (
        f'<figure style="margin:0"><img src="{uri(pixels)}" alt="{escape(caption)}" '
        f'style="{grain}{size};border:1px solid rgba(128,128,128,.4)">'
        f'<figcaption style="font-size:12px;opacity:.8">{escape(caption)}</figcaption></figure>'
    )
