"""TIFF files: the one image in them, in whatever layout it was written."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, MissingExtraError
from .images import refuse_transparency


def read_tiff(path: Path) -> np.ndarray:
    """The only image in a TIFF file as (C, H, W)."""
    try:
        import tifffile
    except ImportError as error:
        raise MissingExtraError("tifffile", "tiff") from error
    with _logged_errors_raised(), tifffile.TiffFile(path) as file:
        if len(file.series) != 1:
            count = len(file.series)
            raise ConfigError(f"{path} holds {count} images; save one in a file of its own")
        series = file.series[0]
        _check(path, series)
        values = _channels_first(path, series.axes, series.asarray())
        return _without_alpha(path, series.keyframe, _photometric(path, series.keyframe, values))


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
        if record.levelno >= logging.ERROR:
            raise ValueError(record.getMessage())
        return True

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
