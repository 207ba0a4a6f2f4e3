"""Arrays out of files: png, jpg, tif, npy, npz and FITS, values as they are, images channel first.

A file holds v in some unit and some dtype; nothing here rescales. Images come back as (C, H, W), a
plane (H, W) as (1, H, W), in native byte order, first row first as the file stores it (FITS stores
the bottom row first; so does the array). What a decoder would lose or guess in silence is refused
instead: transparency, 16-bit colour PNGs (Pillow keeps 8 bits), CMYK, several images in one file.
Pickles are never loaded.
"""

from __future__ import annotations

import importlib
import logging
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..errors import ConfigError, MissingExtraError, NoisewalkError


@dataclass(frozen=True, eq=False)
class Reading:
    """What a file holds.

    Arguments:
        values: the array, in the file's unit and dtype (bool, integer or float; native byte order);
            never empty.
        path: the file, for messages.
    """

    values: np.ndarray = field(repr=False)
    path: Path


def read_array(path: str | Path) -> Reading:
    """Read one array from a .png, .jpg, .jpeg, .tif, .tiff, .npy, .npz or .fits file.

    An .npz gives the only array in it, or the one named `y`; a .fits file the only image in it. An
    alpha channel that is opaque everywhere is dropped. JPEG and PNG are turned upright by their
    EXIF orientation.

    Arguments:
        path: the file.

    Returns:
        The values as stored: (C, H, W) for images, (1, H, W) for planes; other numbers of axes,
            which only npy, npz and FITS can hold, as they are.

    Raises:
        ConfigError: the file is absent, empty, not a file, of an unknown type, damaged, or holds
            something that is not one real array.
        MissingExtraError: tifffile (for .tif) or astropy (for .fits) is not installed.
    """
    path = Path(path)
    reader = _reader(path)
    try:
        values = reader(path)
    except NoisewalkError:
        raise
    except Exception as error:  # decoders meet damaged bytes with errors of any kind
        reason = " ".join(str(error).split()) or type(error).__name__
        advice = (
            "pip install imagecodecs, or save it uncompressed"
            if "imagecodecs" in reason
            else "the file is damaged or of another type"
        )
        raise ConfigError(
            f"{path} cannot be read as {path.suffix.lower()}: {reason}; {advice}"
        ) from error
    if values.dtype.kind not in "biuf":
        raise ConfigError(
            f"{path} holds values of type {values.dtype}; allowed are real numbers (integer, "
            "float or bool)"
        )
    if values.size == 0:
        raise ConfigError(f"{path} holds an array of shape {values.shape}, which has no values")
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return Reading(values[None] if values.ndim == 2 else values, path)


def _reader(path: Path) -> Callable[[Path], np.ndarray]:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} does not exist; give the path of an image or array file"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(
            f"{path} is "
            f"{'a folder' if stat.S_ISDIR(status.st_mode) else 'not a regular file'}; give the "
            "path of one file"
        )
    if path.suffix.lower() not in _READERS:
        raise ConfigError(
            f"{path} has the extension {path.suffix!r}; allowed are {' '.join(_READERS)}"
        )
    if status.st_size == 0:
        raise ConfigError(f"{path} is empty (0 bytes); write it again")
    return _READERS[path.suffix.lower()]


def _read_pillow(path: Path) -> np.ndarray:
    with Image.open(path, formats=("PNG", "JPEG")) as file:
        if file.format == "PNG" and file.mode not in ("I;16", "I") and _png_depth(path) == 16:
            raise ConfigError(
                f"{path} is a 16-bit PNG with colour or alpha, of which 8 bits would be lost; "
                "save it as .tif, .npy or 8-bit PNG"
            )
        image = ImageOps.exif_transpose(file)
    transparent = image.info.get("transparency")
    if image.mode in ("I;16", "I"):
        values = np.array(image).astype(np.uint16)
        _refuse_transparency(path, transparent is not None and bool((values == transparent).any()))
        return values
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise ConfigError(
            f"{path} has the colour mode {image.mode}; allowed are grey, palette and RGB: "
            "convert it first"
        )
    if transparent is not None or image.mode.endswith("A"):
        _refuse_transparency(path, np.asarray(image.convert("RGBA"))[..., 3].min() < 255)
    if image.mode in ("1", "L", "LA"):
        return np.array(image.convert("L"))
    return np.moveaxis(np.array(image.convert("RGB")), -1, 0)


def _png_depth(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(25)[24]


def _refuse_transparency(path: Path, transparent: bool) -> None:
    if transparent:
        raise ConfigError(
            f"{path} has transparent pixels, whose values are undefined; flatten it onto a "
            "background or save it without alpha"
        )


def _read_tiff(path: Path) -> np.ndarray:
    tifffile = _extra("tifffile", "tiff")
    with _logged_errors_raised("tifffile"), tifffile.TiffFile(path) as file:
        if len(file.series) != 1:
            raise ConfigError(
                f"{path} holds {len(file.series)} images of different kinds; save the one to "
                "use in a file of its own"
            )
        series = file.series[0]
        page = series.keyframe
        ends = [
            offset + count
            for p in series.pages
            for offset, count in zip(p.dataoffsets, p.databytecounts, strict=True)
        ]
        if max(ends, default=0) > path.stat().st_size:
            raise ConfigError(
                f"{path} is truncated: it should have at least {max(ends)} bytes but has "
                f"{path.stat().st_size}"
            )
        orientation = page.tags.get("Orientation")
        if orientation is not None and int(orientation.value) != 1:
            raise ConfigError(
                f"{path} has the TIFF orientation {int(orientation.value)}; turn it upright "
                "(orientation 1) and save it again"
            )
        if page.bitspersample not in (1, 8, 16, 32, 64):
            raise ConfigError(
                f"{path} has {page.bitspersample} bits per sample; allowed are 1, 8, 16, 32 "
                "and 64: convert it first"
            )
        return _without_alpha(
            path,
            page,
            _photometric(path, page, _channels_first(path, series.axes, series.asarray())),
        )


@contextmanager
def _logged_errors_raised(name: str) -> Iterator[None]:
    """tifffile logs damaged tags and goes on without them, which can change the values."""

    def check(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            raise ValueError(record.getMessage())
        return True

    logger = logging.getLogger(name)
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
        raise ConfigError(
            f"{path} holds an array of shape {values.shape} (axes {axes}); allowed is one "
            "image, (H, W) with one axis of channels or pages"
        )
    return values.transpose([*others, y, x]).reshape(-1, values.shape[y], values.shape[x])


def _photometric(path: Path, page: Any, values: np.ndarray) -> np.ndarray:
    kind = getattr(page.photometric, "name", str(page.photometric))
    if kind == "PALETTE" and len(values) == 1:
        return page.colormap[:, values[0]]
    if kind == "MINISWHITE" and values.dtype.kind in "bu":
        return np.invert(values)
    if kind not in ("MINISBLACK", "RGB", "YCBCR"):
        raise ConfigError(
            f"{path} has the TIFF colour space {kind} ({values.dtype}); allowed are grey, "
            "palette and RGB: convert it first"
        )
    return values


def _without_alpha(path: Path, page: Any, values: np.ndarray) -> np.ndarray:
    """Drop opaque alpha; ExtraSamples 1 and 2 are associated and unassociated alpha, 0 is any other
    band."""
    extra = [int(code) for code in page.extrasamples]
    alpha = [len(values) - len(extra) + i for i, code in enumerate(extra) if code in (1, 2)]
    opaque = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1
    _refuse_transparency(path, bool((values[alpha] != opaque).any()))
    return np.delete(values, alpha, axis=0)


def _read_numpy(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        if not file.read(6).startswith((b"\x93NUMPY", b"PK")):
            raise ConfigError(
                f"{path} is not a NumPy file (or a pickle, which is never loaded); write it "
                "again with np.save or np.savez"
            )
        file.seek(0)
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            if len(names) != 1 and "y" not in names:
                raise ConfigError(
                    f"{path} holds {len(names)} arrays ({', '.join(names)}); keep one, or name "
                    "the one to use 'y'"
                )
            values = loaded[names[0] if len(names) == 1 else "y"]
    return np.asarray(values)


def _read_fits(path: Path) -> np.ndarray:
    fits = _extra("astropy.io.fits", "fits")
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter(
            "ignore"
        )  # headers that break the standard are common and harmless, damage is not
        warnings.filterwarnings("error", message=".*(truncated|Error validating header)")
        with fits.open(file, memmap=False) as hdus:
            images = {
                f"{i}:{hdu.name}": hdu.data
                for i, hdu in enumerate(hdus)
                if getattr(hdu, "is_image", False)
            }
    found = {name: data for name, data in images.items() if data is not None}
    if len(found) != 1:
        raise ConfigError(
            f"{path} holds {len(found)} images ({', '.join(found)}); save the one to use in a "
            "file of its own"
        )
    return next(iter(found.values()))


def _extra(module: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(module.split(".")[0], extra) from error


_READERS = {
    ".png": _read_pillow,
    ".jpg": _read_pillow,
    ".jpeg": _read_pillow,
    ".tif": _read_tiff,
    ".tiff": _read_tiff,
    ".npy": _read_numpy,
    ".npz": _read_numpy,
    ".fits": _read_fits,
}
