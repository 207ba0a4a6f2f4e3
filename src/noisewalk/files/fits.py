"""FITS files: one of the images in them, in whatever way it was compressed."""

import gzip
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, MissingExtraError
from .georeference import Georeference
from .reading import Look, Reading

OF_THE_FILE = ("BLANK", "CHECKSUM", "DATASUM", "EXTNAME", "EXTVER", "INHERIT")
"""Cards that describe how the values were stored, and not what they are."""


def read_fits(path: Path, part: str, look: Look) -> Reading:
    """One image of a FITS file, the bottom row first as the file stores it.

    `part` is the name of an extension, NAME,VERSION or its number from 0, as CFITSIO counts; ""
    the only image there is.
    """
    try:
        import astropy.io.fits as fits
    except ImportError as error:
        raise MissingExtraError("astropy", "fits") from error
    with warnings.catch_warnings(), path.open("rb") as raw:
        warnings.simplefilter("ignore")  # headers that break the standard are common and harmless
        warnings.filterwarnings("error", message=".*(truncated|Error validating header)")
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file: Any = gzip.GzipFile(fileobj=raw) if zipped else raw
        with fits.open(file, memmap=False) as hdus:
            hdu = _chosen(path, list(hdus), part)
            look(_shape(hdu))
            header, stored = hdu.header.copy(strip=True), dict(hdu.header)
            values = np.asarray(hdu.data).reshape(_shape(hdu))
    for key in OF_THE_FILE:
        header.remove(key, ignore_missing=True, remove_all=True)
    cards = header.tostring(sep="\n", endcard=False, padding=False)
    gaps = None
    if "BLANK" in stored:  # unsigned numbers are stored with a shift
        blank = stored["BLANK"] + stored.get("BZERO", 0)
        gaps = np.isnan(values) if values.dtype.kind == "f" else values == blank
    unit = str(header.get("BUNIT", "")).strip()
    return Reading(values, path, gaps, unit, Georeference("fits", cards))


def _shape(hdu: Any) -> tuple[int, ...]:
    """The shape of an image without leading axes of length 1 beyond the third."""
    shape = tuple(hdu.shape)
    while len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _chosen(path: Path, hdus: list[Any], part: str) -> Any:
    """The image of that name or number, or the only one."""
    images = {i: hdu for i, hdu in enumerate(hdus) if getattr(hdu, "is_image", False) and hdu.shape}
    name, _, version = (word.strip().upper() for word in part.partition(","))
    if not part:
        found = list(images.values())
    elif name.isdecimal() and not version:
        found = [hdu for i, hdu in images.items() if i == int(name)]
    else:
        named = [hdu for hdu in images.values() if hdu.name.upper() == name]
        found = [hdu for hdu in named if version in ("", str(hdu.ver))]
    if len(found) == 1:
        return found[0]
    if not images:
        raise ConfigError(f"{path} holds no image; tables are not read")
    held = ", ".join(f"[{i}] {hdu.name or 'PRIMARY'}" for i, hdu in images.items())
    what = f"{path} holds {len(images)} images ({held})"
    if part:
        raise ConfigError(f"{what}; {len(found)} of them are {part!r}: take one by its number")
    example = next((hdu.name for hdu in images.values() if hdu.name not in ("", "PRIMARY")), "1")
    raise ConfigError(f"{what}: choose one, as in {path.name}[{example}]")
