"""The pictures of a run's folder: samples.png, mean.png and std.png."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import images, panels
from .data import ReportData, as_list
from .files import write_files


def write_images(data: ReportData | Sequence[ReportData], folder: str | Path) -> None:
    """Write the draws, their mean and their standard deviation as PNG files.

    samples.png holds a row for each chain, or for each image if there are several. std.png holds
    its colour bar. Small pictures are enlarged by a whole number.

    Arguments:
        data: one image's report, or several of one shape.
        folder: an existing folder; pictures of an earlier report are replaced.

    Raises:
        ConfigError: there is nothing to write.
        StoreError: the folder cannot be written to.

    Example:
        >>> import tempfile, numpy as np, noisewalk as nw
        >>> x, shown = np.zeros((2, 5, 1, 8, 8)), {"title": "Grey", "summary": {}}
        >>> arrays = {"measurement": x[0, 0], "mean": x[0, 0], "std": x[0, 0], "samples": x}
        >>> data = nw.report.ReportData(nll=np.zeros((2, 5)), **arrays, **shown)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     nw.report.write_images(data, folder)
    """
    write_files(Path(folder), pictures_of(as_list(data)))


def pictures_of(several: Sequence[ReportData]) -> dict[str, bytes]:
    """The content of the three files by name."""
    mean = _together([_enlarged(one.mean) for one in several])
    made = {"samples.png": _samples(several), "mean.png": mean, "std.png": _std(several)}
    return {name: images.png(pixels) for name, pixels in made.items()}


def strip(data: ReportData) -> np.ndarray:
    """The measurement, where it is a picture, the mean and the uncertainty side by side, RGB."""
    shown = [panels.still(data, data.mean), panels.spread_of(data, data.std)]
    y = np.where(data.measured, data.measurement, np.nan)
    if data.measurement_on_grid and data.mean.shape[1] % y.shape[1] == 0:
        factor = data.mean.shape[1] // y.shape[1]
        shown.insert(0, panels.still(data, y.repeat(factor, 1).repeat(factor, 2)))
    large = [images.enlarge(pixels, 128) for pixels in shown]
    return np.asarray(Image.fromarray(images.sheet(large, len(large))).convert("RGB"))


def _enlarged(x: np.ndarray) -> np.ndarray:
    return images.enlarge(images.picture(images.tile(x)))


def _together(pictures: list[np.ndarray]) -> np.ndarray:
    if len(pictures) == 1:
        return pictures[0]
    return images.sheet(pictures, math.ceil(math.sqrt(len(pictures))))


def _samples(several: Sequence[ReportData]) -> np.ndarray:
    chains, shown = several[0].samples.shape[:2]
    rows, columns = (chains, shown) if len(several) == 1 else (1, chains * shown)
    columns = columns if columns > 1 else math.ceil(math.sqrt(rows))
    draws = []
    for one in several:
        x = one.samples if len(several) == 1 else one.samples.swapaxes(0, 1)
        draws += [_enlarged(draw) for draw in x.reshape(-1, *one.mean.shape)]
    return images.sheet(draws, columns)


def _std(several: Sequence[ReportData]) -> np.ndarray:
    maps, scale = [images.root_mean_square(one.std) for one in several], several[0].scale
    limit = images.upper_limit(np.stack(maps), scale)
    colours = [images.enlarge(images.coloured(m, images.SPREAD, 0.0, limit)) for m in maps]
    above = "≥ " if images.exceeds(np.stack(maps), limit) else ""
    return _labelled(_together(colours), f"{above}{limit * scale:.3g} {several[0].unit}".strip())


def _labelled(pixels: np.ndarray, end: str) -> np.ndarray:
    """The picture above its colour bar from 0 to `end`, on white."""
    import matplotlib

    font_file = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    font = ImageFont.truetype(str(font_file), 12)
    image = Image.fromarray(pixels).convert("RGBA")
    pad, bar, width = 8, 10, image.width
    canvas = Image.new("RGB", (width + 2 * pad, image.height + 3 * pad + bar + 18), "white")
    canvas.paste(image, (pad, pad), image)
    top = image.height + 2 * pad
    colours = Image.fromarray(images.colour_bar(images.SPREAD)).resize((width, bar))
    canvas.paste(colours, (pad, top))
    draw = ImageDraw.Draw(canvas)
    draw.text((pad, top + bar + 3), "0", "black", font)
    draw.text((pad + width, top + bar + 3), end, "black", font, anchor="ra")
    return np.asarray(canvas)
