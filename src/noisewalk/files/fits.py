"""FITS files: the one image in them."""

import warnings
from pathlib import Path

import numpy as np

from ..errors import ConfigError, MissingExtraError


def read_fits(path: Path) -> np.ndarray:
    """The values of the only image in a FITS file, the bottom row first as the file stores them."""
    try:
        import astropy.io.fits as fits
    except ImportError as error:
        raise MissingExtraError("astropy", "fits") from error
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")  # headers that break the standard are common and harmless
        warnings.filterwarnings("error", message=".*(truncated|Error validating header)")
        with fits.open(file, memmap=False) as hdus:
            pairs = [(f"{i}:{hdu.name}", hdu) for i, hdu in enumerate(hdus)]
            images = {name: hdu.data for name, hdu in pairs if getattr(hdu, "is_image", False)}
    found = {name: data for name, data in images.items() if data is not None}
    if len(found) != 1:
        held = f"{len(found)} images ({', '.join(found)})"
        raise ConfigError(f"{path} holds {held}; save one in a file of its own")
    return next(iter(found.values()))
