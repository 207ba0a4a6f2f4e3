"""Pixels for the report: arrays in, 8-bit pictures and PNG bytes out.

A picture is a uint8 array, (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA. Entries that are not
finite or not observed are transparent. A value v between the limits low and high becomes
rint(255 (v - low) / (high - low)), clipped. Pictures keep the array's size.
"""

import base64
import io
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image

SPREAD, DIVERGING, MEASURED = "magma", "RdBu_r", "cividis"
LIMIT_Z = 3.0  # at either end of a bar of standardised values


def tile(x: np.ndarray) -> np.ndarray:
    """(C, H, W) laid out: grey, RGB, or other channels in a grid with NaN in the gaps."""
    channels, height, width = x.shape
    if channels == 1:
        return x[0]
    if channels == 3:
        return np.moveaxis(x, 0, -1)
    columns = math.ceil(math.sqrt(channels))
    rows = math.ceil(channels / columns)
    gaps = np.full((rows * columns - channels, height, width), np.nan)
    grid = np.concatenate([x, gaps]).reshape(rows, columns, height, width)
    return grid.swapaxes(1, 2).reshape(rows * height, columns * width)


def picture(
    values: np.ndarray, low: float = -1.0, high: float = 1.0, valid: np.ndarray | None = None
) -> np.ndarray:
    """Grey or RGB picture of values from low, black, to high, white; transparent where invalid."""
    return _with_alpha(_quantise(values, low, high), values, valid)


def coloured(
    values: np.ndarray, colormap: str, low: float, high: float, valid: np.ndarray | None = None
) -> np.ndarray:
    """As `picture`, of a scalar field (H, W) in the colours of one of matplotlib's tables."""
    return _with_alpha(_table(colormap)[_quantise(values, low, high)], values, valid)


def colour_bar(colormap: str | None) -> np.ndarray:
    """A picture of one row: the 256 colours of a table, grey for None."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    return ramp if colormap is None else _table(colormap)[ramp]


def table(colormap: str) -> str:
    """The 256 colours of a table for the page's script: bytes as base64."""
    return base64.b64encode(_table(colormap).tobytes()).decode()


def root_mean_square(x: np.ndarray) -> np.ndarray:
    """Root mean square of (C, H, W) over the channels, so that one map shows them all."""
    return np.sqrt(np.mean(np.square(x, dtype=np.float64), axis=0))


def standardised_sum(x: np.ndarray) -> np.ndarray:
    """The sum of (C, H, W) over the channels that have a value, divided by the root of how many:
    noise of unit variance stays so."""
    count = np.isfinite(x).sum(axis=0)
    return np.where(count > 0, np.nansum(x, axis=0) / np.sqrt(np.maximum(count, 1)), np.nan)


def upper_limit(values: np.ndarray, scale: float = 1.0) -> float:
    """The 99.5 % quantile, rounded up to two digits in the user's unit, `scale` to one of ours."""
    finite = np.abs(values[np.isfinite(values)], dtype=np.float64) * scale
    if finite.size == 0 or finite.max() == 0:
        return 1.0 / scale
    limit = float(np.quantile(finite, 0.995)) or float(finite.max())
    digit = 10.0 ** (math.floor(math.log10(limit)) - 1)
    return math.ceil(limit / digit - 1e-9) * digit / scale


def exceeds(values: np.ndarray, limit: float) -> bool:
    """Whether a finite value lies above the end of the colour bar, which must then say so."""
    return bool(np.any(values[np.isfinite(values)] > limit + 1e-9 * abs(limit)))


def enlarge(pixels: np.ndarray, side: int = 192) -> np.ndarray:
    """A picture with each pixel repeated so that its longer side has `side` pixels or more."""
    factor = magnification(pixels.shape[0], pixels.shape[1], side)
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def magnification(height: int, width: int, side: int = 192) -> int:
    """The smallest whole factor that makes the longer side at least `side` pixels."""
    return max(1, math.ceil(side / max(height, width)))


def thumbnail(pixels: np.ndarray, side: int = 128) -> np.ndarray:
    """The box average of a picture whose longer side has more than `side` pixels."""
    ratio = side / max(pixels.shape[:2])
    if ratio >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * ratio)), max(1, round(pixels.shape[0] * ratio))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def sheet(pictures: Sequence[np.ndarray], columns: int, gap: int = 4) -> np.ndarray:
    """Pictures of one size in rows of so many columns, on a transparent ground."""
    height, width = pictures[0].shape[:2]
    rows, columns = math.ceil(len(pictures) / columns), min(columns, len(pictures))
    canvas = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for i, pixels in enumerate(pictures):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        rgba = np.asarray(Image.fromarray(pixels).convert("RGBA"))
        canvas[top : top + height, left : left + width] = rgba
    return canvas


def png(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file that holds a picture."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_uri(pixels: np.ndarray) -> str:
    """A picture for the `src` of an image element."""
    return png_uri(png(pixels))


def png_uri(content: bytes) -> str:
    """The content of a PNG file for the `src` of an image element."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _quantise(values: np.ndarray, low: float, high: float) -> np.ndarray:
    unit = np.nan_to_num((np.asarray(values, np.float64) - low) / (high - low), nan=0.0)
    return np.rint(255 * np.clip(unit, 0.0, 1.0)).astype(np.uint8)


def _with_alpha(pixels: np.ndarray, values: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    seen = np.isfinite(values) if valid is None else np.isfinite(values) & valid
    seen = seen.all(axis=-1) if seen.ndim == 3 else seen
    if seen.all():
        return pixels
    rgb = pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, axis=-1)
    alpha = np.where(seen, 255, 0).astype(np.uint8)[..., None]
    return np.concatenate([np.where(seen[..., None], rgb, 0).astype(np.uint8), alpha], axis=-1)


@cache
def _table(colormap: str) -> np.ndarray:
    import matplotlib

    return matplotlib.colormaps[colormap](np.linspace(0.0, 1.0, 256), bytes=True)[:, :3]
