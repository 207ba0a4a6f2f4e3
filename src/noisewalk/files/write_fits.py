"""FITS files of results: the header of the measurement's file with its WCS, and the history."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import MissingExtraError
from .georeference import Georeference


def write_fits(
    path: Path,
    images: Mapping[str, np.ndarray],
    place: Georeference | None,
    unit: str,
    history: Sequence[str],
) -> None:
    """Write one image into the primary array, or several into extensions that have their names.

    An image is (..., H, W); one channel alone is left out of its shape.
    """
    try:
        import astropy.io.fits as fits
    except ImportError as error:
        raise MissingExtraError("astropy", "fits") from error

    def header() -> fits.Header:
        cards = place.header if place is not None and place.format == "fits" else ""
        made = fits.Header.fromstring(cards, sep="\n")
        made.remove("BUNIT", ignore_missing=True, remove_all=True)
        if unit:
            made["BUNIT"] = _plain(unit)
        for line in history:
            made.add_history(_plain(line))
        return made

    flat = {name: x[..., 0, :, :] if x.shape[-3] == 1 else x for name, x in images.items()}
    if len(flat) == 1:
        hdus = [fits.PrimaryHDU(next(iter(flat.values())), header())]
    else:
        pairs = flat.items()
        hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(x, header(), name=n) for n, x in pairs)]
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer, output_verify="silentfix")
    path.write_bytes(buffer.getbuffer())


def _plain(text: str) -> str:
    """A text in the characters that a header may have."""
    return "".join(c if 32 <= ord(c) < 127 else "?" for c in text)
