"""Pixels for the report: arrays in, 8-bit pictures and PNG bytes out.

A picture is a uint8 array, (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA; entries that are not
finite or not observed are transparent. A value v between the limits low and high becomes rint(255
(v - low) / (high - low)), clipped; nothing else is ever clipped. Pictures keep the array's size
(PNG files get an integer enlargement, pages leave it to the browser), so that one array entry is
one square.
"""

import base64
import io
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .data import ReportData, as_list

UNCERTAINTY = "magma"
DIVERGING = "RdBu_r"
MEASURED = "cividis"


def tile(x: np.ndarray) -> np.ndarray:
    """Lay the channels of an image out for display.

    Arguments:
        x: (C, H, W).

    Returns:
        (H, W) for one channel, (H, W, 3) for three, else the channels side by side in a near-square
        grid, gaps NaN.
    """
    channels, height, width = x.shape
    if channels == 1:
        return x[0]
    if channels == 3:
        return np.moveaxis(x, 0, -1)
    columns = math.ceil(math.sqrt(channels))
    rows = math.ceil(channels / columns)
    grid = np.full((rows * columns, height, width), np.nan)
    grid[:channels] = x
    return (
        grid.reshape(rows, columns, height, width)
        .swapaxes(1, 2)
        .reshape(rows * height, columns * width)
    )


def picture(
    values: np.ndarray, low: float = -1.0, high: float = 1.0, valid: np.ndarray | None = None
) -> np.ndarray:
    """Grey or RGB picture of values between two limits.

    Arguments:
        values: (H, W) or (H, W, 3).
        low: shown as black.
        high: shown as white.
        valid: bool, broadcastable to values; False is transparent. None: wherever finite.

    Returns:
        uint8 picture, with an alpha channel only if something is transparent.
    """
    return _with_alpha(_quantise(values, low, high), values, valid)


def coloured(
    values: np.ndarray, colormap: str, low: float, high: float, valid: np.ndarray | None = None
) -> np.ndarray:
    """Map a scalar field through one of matplotlib's colour tables.

    Arguments:
        values: (H, W).
        colormap: the table's name.
        low: value of the table's first colour.
        high: value of its last colour.
        valid: bool, broadcastable to values; False is transparent. None: wherever finite.

    Returns:
        uint8 picture (H, W, 3), or (H, W, 4) if something is transparent.
    """
    return _with_alpha(_table(colormap)[_quantise(values, low, high)], values, valid)


def colour_bar(colormap: str | None) -> np.ndarray:
    """The 256 colours of a table in a row.

    Arguments:
        colormap: the table's name; None: grey.

    Returns:
        uint8 picture, one row.
    """
    ramp = np.arange(256, dtype=np.uint8)[None]
    return ramp if colormap is None else _table(colormap)[ramp]


def root_mean_square(x: np.ndarray) -> np.ndarray:
    """Root mean square over channels, so that one map shows them all.

    Arguments:
        x: (C, H, W).

    Returns:
        (H, W).
    """
    return np.sqrt(np.mean(np.square(x, dtype=np.float64), axis=0))


def upper_limit(values: np.ndarray, scale: float = 1.0) -> float:
    """A limit for a map of non-negative values: their 99.5 % quantile, rounded up to two digits in
    the user's unit.

    Arguments:
        values: any shape.
        scale: user's units per unit of the values.

    Returns:
        The limit in the values' unit. A map of zeros gets 1 / scale.
    """
    finite = np.abs(values[np.isfinite(values)], dtype=np.float64) * scale
    if finite.size == 0 or finite.max() == 0:
        return 1.0 / scale
    limit = float(np.quantile(finite, 0.995)) or float(finite.max())
    digit = 10.0 ** (math.floor(math.log10(limit)) - 1)
    limit = math.ceil(limit / digit - 1e-9) * digit
    return limit / scale


def exceeds(values: np.ndarray, limit: float) -> bool:
    """Whether the colour bar must say that its end also stands for larger values.

    Arguments:
        values: any shape; entries that are not finite are skipped.
        limit: the end of the bar.

    Returns:
        True if some value is larger.
    """
    return bool(np.any(values[np.isfinite(values)] > limit + 1e-9 * abs(limit)))


def enlarge(pixels: np.ndarray, side: int = 192) -> np.ndarray:
    """Repeat pixels so that a small picture can be seen.

    Arguments:
        pixels: a picture.
        side: least length of its longer side in pixels.

    Returns:
        The picture, each pixel a square of the smallest sufficient integer size.
    """
    factor = magnification(pixels.shape[0], pixels.shape[1], side)
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def magnification(height: int, width: int, side: int = 192) -> int:
    """The smallest integer factor that makes the longer side at least `side` pixels.

    Arguments:
        height: rows.
        width: columns.
        side: pixels on the screen.

    Returns:
        The factor, at least 1.
    """
    return max(1, math.ceil(side / max(height, width)))


def thumbnail(pixels: np.ndarray, side: int = 128) -> np.ndarray:
    """Shrink a large picture for an index.

    Arguments:
        pixels: uint8 picture.
        side: most pixels of its longer side.

    Returns:
        The picture itself if it is small enough, else its box average.
    """
    ratio = side / max(pixels.shape[:2])
    if ratio >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * ratio)), max(1, round(pixels.shape[0] * ratio))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def sheet(images: Sequence[np.ndarray], columns: int, gap: int = 4) -> np.ndarray:
    """Pictures of one size in rows, on a transparent ground.

    Arguments:
        images: uint8 pictures, all of the same height and width.
        columns: pictures per row.
        gap: pixels between them.

    Returns:
        uint8 picture (rows, columns, 4).
    """
    height, width = images[0].shape[:2]
    rows = math.ceil(len(images) / columns)
    columns = min(columns, len(images))
    canvas = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = np.asarray(
            Image.fromarray(image).convert("RGBA")
        )
    return canvas


def png(pixels: np.ndarray) -> bytes:
    """Encode a picture.

    Arguments:
        pixels: uint8 picture.

    Returns:
        The bytes of a PNG file.
    """
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_uri(pixels: np.ndarray) -> str:
    """Encode a picture for the `src` of an image element.

    Arguments:
        pixels: uint8 picture.

    Returns:
        A data URI that holds a PNG file.
    """
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def write_images(data: ReportData | Sequence[ReportData], folder: str | Path) -> None:
    """Write samples.png (a row per chain, or per image if there are several), mean.png and std.png
    (with its scale).

    Arguments:
        data: one image's report, or several of one shape.
        folder: an existing folder.

    Raises:
        ConfigError: nothing to write.
    """
    several = as_list(data)
    draws, columns = [], 0
    for one in several:
        flat = (
            one.samples
            if len(several) == 1
            else one.samples.swapaxes(0, 1).reshape(1, -1, *one.mean.shape)
        )
        columns = flat.shape[1] if flat.shape[1] > 1 else math.ceil(math.sqrt(flat.shape[0]))
        draws += [enlarge(picture(tile(x))) for x in flat.reshape(-1, *one.mean.shape)]
    side_by_side = math.ceil(math.sqrt(len(several)))
    means = [enlarge(picture(tile(one.mean))) for one in several]
    maps = [root_mean_square(one.std) for one in several]
    scale = several[0].scale
    limit = upper_limit(np.stack(maps), scale)
    stds = [enlarge(coloured(m, UNCERTAINTY, 0.0, limit)) for m in maps]
    std = _labelled(
        stds[0] if len(stds) == 1 else sheet(stds, side_by_side),
        limit * scale,
        several[0].unit,
        exceeds(np.stack(maps), limit),
    )
    folder = Path(folder)
    folder.joinpath("samples.png").write_bytes(png(sheet(draws, columns)))
    folder.joinpath("mean.png").write_bytes(
        png(means[0] if len(means) == 1 else sheet(means, side_by_side))
    )
    folder.joinpath("std.png").write_bytes(png(std))


def _labelled(pixels: np.ndarray, limit: float, unit: str, clipped: bool) -> np.ndarray:
    """The picture over its colour bar from 0 to limit, in the user's unit, on white."""
    import matplotlib

    font = ImageFont.truetype(
        str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 12
    )
    image = Image.fromarray(pixels).convert("RGBA")
    pad, bar, width = 8, 10, image.width
    canvas = Image.new("RGB", (width + 2 * pad, image.height + 3 * pad + bar + 18), "white")
    canvas.paste(image, (pad, pad), image)
    top = image.height + 2 * pad
    canvas.paste(Image.fromarray(colour_bar(UNCERTAINTY)).resize((width, bar)), (pad, top))
    draw = ImageDraw.Draw(canvas)
    draw.text((pad, top + bar + 3), "0", "black", font)
    end = f"{'≥ ' if clipped else ''}{limit:.3g} {unit}".strip()
    draw.text((pad + width, top + bar + 3), end, "black", font, anchor="ra")
    return np.asarray(canvas)


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
