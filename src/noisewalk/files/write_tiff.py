"""GeoTIFF files of results, tiled, compressed and cloud-optimised.

The layout is that of a cloud-optimised GeoTIFF: every directory stands before all pixels, that of
the full image first, and the pixels of the overviews before those of the full image.

References:
    TIFF, Revision 6.0 (Adobe, 1992); OGC GeoTIFF 1.1 (19-008r4); OGC Cloud Optimized GeoTIFF 1.0
    (21-026).
"""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from ..errors import ConfigError
from .georeference import GEO_KEYS, Georeference
from .tiff import METADATA, NODATA

TILE, LARGEST = 256, 512  # pixels; images beyond the second have overviews
SHORT, LONG, DOUBLE, ASCII = 3, 4, 12, 2
FORMATS = {SHORT: "H", LONG: "I", DOUBLE: "d"}


def write_tiff(
    path: Path,
    values: np.ndarray,
    place: Georeference | None,
    names: Sequence[str],
    unit: str = "",
    scales: Sequence[tuple[float, float]] = (),
) -> None:
    """Write (C, H, W) as float32 bands with their names, their unit and their scale.

    A scale (a, b) of a band stores (value - b) / a with the tags that say so.
    """
    if scales:
        factor, shift = np.array(scales).T[:, :, None, None]
        values = (values - shift) / factor
    pages = [np.ascontiguousarray(values, np.float32)]
    while max(pages[-1].shape[1:]) > LARGEST:
        pages.append(_halved(pages[-1]))
    tiles = [[zlib.compress(tile, 6) for tile in _tiles(page)] for page in pages]
    if sum(len(t) for page in tiles for t in page) > 2**32 - 2**24:
        raise ConfigError(f"{path} would be larger than 4 GB; export fewer draws")
    more = _tags_of_place(place, names, unit, scales)
    size = [
        len(_directory(p, [0] * len(t), t, 0, more, 0, i)) for i, (p, t) in _pages(pages, tiles)
    ]
    starts = [8 + sum(size[:i]) for i in range(len(size) + 1)]
    offsets, at = {}, starts[-1]
    for i in reversed(range(len(pages))):  # the smallest overview first
        offsets[i] = [at + sum(map(len, tiles[i][:k])) for k in range(len(tiles[i]))]
        at += sum(map(len, tiles[i]))
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, 8))
        for i, (page, its) in _pages(pages, tiles):
            follows = starts[i + 1] if i + 1 < len(pages) else 0
            file.write(_directory(page, offsets[i], its, follows, more, starts[i], i))
        for its in reversed(tiles):
            file.writelines(its)


def _pages(pages: Any, tiles: Any) -> Any:
    return enumerate(zip(pages, tiles, strict=True))


def _halved(x: np.ndarray) -> np.ndarray:
    """The mean of every 2 x 2 pixels; the last row and column count twice where they are odd."""
    x = np.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)], mode="edge")
    bands, height, width = x.shape
    return x.reshape(bands, height // 2, 2, width // 2, 2).mean((2, 4), dtype=np.float32)


def _tiles(page: np.ndarray) -> Any:
    """The bytes of the tiles, row by row, pixel-interleaved, the last ones filled up."""
    _, height, width = page.shape
    full = np.pad(page, [(0, 0), (0, -height % TILE), (0, -width % TILE)], mode="edge")
    for top in range(0, full.shape[1], TILE):
        for left in range(0, full.shape[2], TILE):
            part = full[:, top : top + TILE, left : left + TILE]
            yield np.ascontiguousarray(np.moveaxis(part, 0, -1), "<f4").tobytes()


def _tags_of_place(
    place: Georeference | None, names: Sequence[str], unit: str, scales: Sequence[Any]
) -> dict[int, tuple[int, Any]]:
    """The tags by number that say where the image lies and what its bands are."""
    found: dict[int, tuple[int, Any]] = {}
    for code, value in (place.tags if place is not None else {}).items():
        kind = ASCII if isinstance(value, str) else SHORT if code == GEO_KEYS else DOUBLE
        found[code] = kind, value
    items = []  # GDAL escapes texts twice
    for i, name in enumerate(names):
        told = {"description": name, "unittype": unit}
        if scales:
            told |= {"scale": repr(float(scales[i][0])), "offset": repr(float(scales[i][1]))}
        items += [
            f'<Item name="{role.upper()}" sample="{i}" role="{role}">{escape(escape(text))}</Item>'
            for role, text in told.items()
            if text
        ]
    if items:
        found[METADATA] = ASCII, f"<GDALMetadata>\n{chr(10).join(items)}\n</GDALMetadata>"
    if place is not None and place.nodata is not None:
        found[NODATA] = ASCII, f"{place.nodata:.17g}"
    return found


def _directory(
    page: np.ndarray,
    offsets: list[int],
    tiles: list[bytes],
    follows: int,
    more: dict[int, tuple[int, Any]],
    start: int,
    level: int,
) -> bytes:
    """One image file directory with the values that do not fit into its entries, at `start`."""
    bands, height, width = page.shape
    tags: dict[int, tuple[int, Any]] = {
        254: (LONG, [1 if level else 0]),
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [32] * bands),
        259: (SHORT, [8]),  # Deflate
        262: (SHORT, [1]),  # black is 0
        277: (SHORT, [bands]),
        284: (SHORT, [1]),  # pixel by pixel
        322: (LONG, [TILE]),
        323: (LONG, [TILE]),
        324: (LONG, offsets),
        325: (LONG, [len(tile) for tile in tiles]),
        339: (SHORT, [3] * bands),  # floats
        **({338: (SHORT, [0] * (bands - 1))} if bands > 1 else {}),
        **({k: v for k, v in more.items() if not level or k == NODATA}),
    }
    entries, beyond = b"", b""
    after = start + 2 + 12 * len(tags) + 4
    for code, (kind, value) in sorted(tags.items()):
        if kind == ASCII:
            packed = value.encode("utf-8") + b"\0"
            count = len(packed)
        else:
            packed, count = struct.pack(f"<{len(value)}{FORMATS[kind]}", *value), len(value)
        where = packed.ljust(4, b"\0")
        if len(packed) > 4:
            where = struct.pack("<I", after + len(beyond))
            beyond += packed + b"\0" * (len(packed) % 2)
        entries += struct.pack("<HHI", code, kind, count) + where
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", follows) + beyond
