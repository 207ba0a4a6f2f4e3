"""TIFF files: the one image in them, in whatever layout it was written."""

import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import unescape

import numpy as np

from ..errors import ConfigError, MissingExtraError
from .georeference import GEO_TAGS, Georeference
from .images import refuse_transparency
from .raster import Raster, read_raster
from .reading import Look, Reading

REDUCED, MASK = 1, 4
"""Bits of a page's NewSubfileType: an overview, or GDAL's mask of the pixels that are there."""
METADATA, NODATA = 42112, 42113
"""GDAL's tags: scales, offsets, units and names of the bands in XML; the number of a gap."""
PHOTOMETRIC, RECOLOURED = 262, (0, 3)
"""The tag of the colour space, and those of which other values are shown than are stored."""


def read_tiff(path: Path, part: str, look: Look) -> Reading:
    """The only image in a TIFF file as (C, H, W), scaled as it says, with its mask and place.

    `part` is "" for all of it, or its rows and columns from 0, such as "100:292,200:520". GDAL
    reads it where rasterio is installed, and the image is a plain one.
    """
    try:
        import tifffile
    except ImportError as error:
        raise MissingExtraError("tifffile", "tiff") from error
    with _logged_errors_raised(), tifffile.TiffFile(path) as file:
        images = [one for one in file.series if not one.keyframe.subfiletype & (REDUCED | MASK)]
        if len(images) != 1:
            count = len(images)
            raise ConfigError(f"{path} holds {count} images; save one in a file of its own")
        series = images[0]
        _check(path, series)
        count, *size = _shape(series)
        window = _window(path, part, size)
        look((count, *(side.stop - side.start for side in window)))
        tags = {tag.code: tag.value for tag in series.keyframe.tags.values()}
        found = read_raster(path, window) if _is_plain(series) else None
        if found is None:
            found = _decoded(path, file, series, window, tags)
    return _placed(path, _told(path, found, tags), tags, window)


def _is_plain(series: Any) -> bool:
    """Whether GDAL reads the same numbers: one page, no colour map, no inversion, no alpha."""
    page = series.keyframe
    kind = getattr(page.photometric, "name", "")
    other = len(series.pages) > 1 or any(int(code) in (1, 2) for code in page.extrasamples)
    grey = kind == "MINISBLACK" or (kind == "RGB" and not page.jpegtables)
    return grey and not other and page.bitspersample >= 8 and page.dtype.kind in "iuf"


def _window(path: Path, part: str, size: list[int]) -> tuple[slice, slice]:
    """The rows and columns of a part; ConfigError for those that are not there."""
    if not part:
        return slice(0, size[0]), slice(0, size[1])
    found = re.fullmatch(r"(\d+):(\d+),\s*(\d+):(\d+)", part)
    rows, columns = (0, 0), (0, 0)
    if found is not None:
        a, b, c, d = map(int, found.groups())
        rows, columns = (a, b), (c, d)
    if not (rows[0] < rows[1] <= size[0] and columns[0] < columns[1] <= size[1]):
        example = f"{path.name}[0:{size[0]},0:{size[1]}] is all of it"
        raise ConfigError(f"{path} has no rows and columns {part!r}: {example}")
    return slice(*rows), slice(*columns)


def _decoded(path: Path, file: Any, series: Any, window: tuple[slice, slice], tags: Any) -> Raster:
    """What tifffile reads; a stored number that marks gaps is looked for before it is coloured."""
    stored = _channels_first(path, series.axes, series.asarray())
    values = _without_alpha(path, series.keyframe, _photometric(path, series.keyframe, stored))
    masks = [page for page in file.pages if page.subfiletype & MASK]
    shown = [page.asarray() != 0 for page in masks if page.shape == values.shape[1:]][:1]
    if NODATA in tags and tags.get(PHOTOMETRIC) in RECOLOURED:
        shown.append(~_equal(stored, _number(path, "nodata tag", tags[NODATA])).any(0))
    return Raster(values[:, *window], np.logical_and.reduce(shown)[window] if shown else None)


def _told(path: Path, found: Raster, tags: Any) -> Raster:
    """The values with what the file's own tags say of them, which goes before what lies beside the
    file; ConfigError for tags that are broken."""
    if NODATA in tags and tags.get(PHOTOMETRIC) not in RECOLOURED:
        found = found._replace(nodata=_number(path, "nodata tag", tags[NODATA]))
    if METADATA not in tags:
        return found
    said = _band_items(path, tags[METADATA], len(found.values))
    pairs = zip(said["scale"], said["offset"], strict=True)
    scales = [(_number(path, "scale", a or 1), _number(path, "offset", b or 0)) for a, b in pairs]
    names, units = tuple(said["description"]), tuple(said["unittype"])
    return found._replace(scales=tuple(scales), names=names, units=units)


def _shape(series: Any) -> tuple[int, ...]:
    """(C, H, W) of a series, before it is decoded; an alpha channel that is dropped is counted."""
    y, x = series.axes.index("Y"), series.axes.index("X")
    height, width = series.shape[y], series.shape[x]
    count = math.prod(series.shape) // max(1, height * width)
    colours = getattr(series.keyframe.photometric, "name", "") == "PALETTE"
    alpha = sum(int(code) in (1, 2) for code in series.keyframe.extrasamples)
    return 3 if colours else count - alpha, height, width


def _placed(path: Path, found: Raster, tags: Any, window: tuple[slice, slice]) -> Reading:
    """The values scaled, with their gaps, their unit, the names of the bands, and their place."""
    values, nodata = found.values, found.nodata
    missing = None if found.shown is None else np.broadcast_to(~found.shown, values.shape)
    if nodata is not None:
        marked = _equal(values, nodata)
        missing = marked if missing is None else marked | missing
    scales = found.scales if any(pair != (1.0, 0.0) for pair in found.scales) else ()
    if scales:
        factor, shift = np.array(scales).T[:, :, None, None]
        values = factor * values + shift
    units = {unit for unit in found.units if unit}
    place = {code: _plain(tags[code]) for code in GEO_TAGS if code in tags}
    names = found.names if any(found.names) else ()
    at = Georeference("tiff", "", place, names, nodata, scales)
    at = at.finer(1, -window[0].start, -window[1].start)
    return Reading(values, path, missing, units.pop() if len(units) == 1 else "", at)


def _equal(values: np.ndarray, number: float) -> np.ndarray:
    """Where the values are this number as their type holds it; nowhere if it cannot."""
    if values.dtype.kind == "f":
        return np.isnan(values) if np.isnan(number) else values == values.dtype.type(number)
    info = np.iinfo(values.dtype) if values.dtype.kind in "iu" else np.iinfo(np.uint8)
    held = number.is_integer() and info.min <= number <= info.max
    return values == int(number) if held else np.zeros(values.shape, bool)


def _band_items(path: Path, text: str, count: int) -> dict[str, list[str]]:
    """The items of GDAL's metadata that belong to a band, by role, "" where there is none."""
    found = {role: [""] * count for role in ("scale", "offset", "description", "unittype")}
    try:
        items = ElementTree.fromstring(text).iter("Item") if text.strip() else iter(())
    except ElementTree.ParseError as error:
        raise ConfigError(f"{path} has broken GDAL metadata ({error}); write it again") from error
    for item in items:
        role, sample = item.get("role", ""), item.get("sample", "")
        if role in found and sample.isdecimal() and int(sample) < count:
            found[role][int(sample)] = unescape((item.text or "").strip())
    return found


def _number(path: Path, what: str, text: Any) -> float:
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        raise ConfigError(f"{path} has the {what} {text!r}, which is no number") from None


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else np.asarray(value).ravel().tolist()


def _check(path: Path, series: Any) -> None:
    """Raise ConfigError for what tifffile would read in part or otherwise than it was meant."""
    page, size = series.keyframe, path.stat().st_size
    parts = (zip(p.dataoffsets, p.databytecounts, strict=True) for p in series.pages)
    end = max((offset + count for part in parts for offset, count in part), default=0)
    if end > size:
        raise ConfigError(f"{path} is truncated: it has {size} bytes of at least {end}")
    turned = page.tags.get("Orientation")
    if turned is not None and int(turned.value) != 1:
        raise ConfigError(f"{path} has the TIFF orientation {int(turned.value)}; save it upright")
    if page.bitspersample not in (1, 8, 16, 32, 64):
        raise ConfigError(f"{path} has {page.bitspersample} bits per sample; convert it to 8 or 16")


@contextmanager
def _logged_errors_raised() -> Iterator[None]:
    """Raise what tifffile logs: it goes on without damaged tags, which can change the values."""

    def check(record: logging.LogRecord) -> bool:
        cut = "offset to first page" in record.getMessage()
        if record.levelno >= logging.ERROR or cut:
            raise ValueError(record.getMessage())
        return "GDAL_NODATA" not in record.getMessage()  # it is read here

    logger = logging.getLogger("tifffile")
    logger.addFilter(check)
    try:
        yield
    finally:
        logger.removeFilter(check)


def _channels_first(path: Path, axes: str, values: np.ndarray) -> np.ndarray:
    """Any TIFF axes with at most one of length > 1 besides Y and X -> (C, H, W)."""
    y, x = axes.index("Y"), axes.index("X")
    others = [i for i in range(values.ndim) if i not in (y, x)]
    if sum(values.shape[i] > 1 for i in others) > 1:
        found = f"axes {axes} of shape {values.shape}"
        raise ConfigError(f"{path} has {found}; allowed is one image, (C, H, W)")
    return values.transpose([*others, y, x]).reshape(-1, values.shape[y], values.shape[x])


def _photometric(path: Path, page: Any, values: np.ndarray) -> np.ndarray:
    kind = getattr(page.photometric, "name", str(page.photometric))
    if kind == "PALETTE" and len(values) == 1:
        return page.colormap[:, values[0]]
    if kind == "MINISWHITE" and values.dtype.kind in "bu":
        return np.invert(values)
    if kind not in ("MINISBLACK", "RGB", "YCBCR"):
        found = f"the TIFF colour space {kind} ({values.dtype})"
        raise ConfigError(f"{path} has {found}; convert it to grey or RGB")
    return values


def _without_alpha(path: Path, page: Any, values: np.ndarray) -> np.ndarray:
    """Drop opaque alpha: ExtraSamples 1 and 2 are alpha, 0 is any other band."""
    extra = [int(code) for code in page.extrasamples]
    alpha = [len(values) - len(extra) + i for i, code in enumerate(extra) if code in (1, 2)]
    opaque = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1
    refuse_transparency(path, bool((values[alpha] != opaque).any()))
    return np.delete(values, alpha, axis=0)
