"""FITS files of results come back with the values, the WCS and the unit."""

from pathlib import Path

import numpy as np
from file_samples import example, fits

from noisewalk.files.arrays import read_array
from noisewalk.files.georeference import Georeference
from noisewalk.files.write_fits import write_fits

CARDS = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 3.5, "CRPIX2": 2.0, "CRVAL1": 150.0}
CARDS |= {"CRVAL2": 2.0, "CDELT1": -1e-4, "CDELT2": 1e-4, "BUNIT": "adu", "OBSERVER": "Leavitt"}


def test_an_image_comes_back_with_its_header_and_history(tmp_path: Path) -> None:
    header, values, path = fits.Header(), example("float32", (1, 5, 7)), tmp_path / "a.fits"
    header.update(CARDS)
    place = Georeference("fits", header.tostring(sep="\n", endcard=False, padding=False))
    write_fits(path, {"mean": values}, place, "mJy", ["made by \u03a6", "x" * 200])
    found, again = fits.getheader(path), read_array(path)
    assert {key: found[key] for key in CARDS} == {**CARDS, "BUNIT": "mJy"}
    assert "made by ?" in str(found["HISTORY"])
    assert np.array_equal(again.values, values)
    assert again.unit == "mJy"
    write_fits(path, {"mean": values}, place, "\u00b0C", [])
    assert fits.getheader(path)["BUNIT"] == "?C"
    assert fits.getdata(path).shape == (5, 7)


def test_several_images_are_extensions_with_the_header_each(tmp_path: Path) -> None:
    parts = {"Q05": example("float32", (3, 5, 7)), "Q95": example("float64", (3, 5, 7))}
    write_fits(tmp_path / "a.fits", parts, None, "", ["h"])
    for name, values in parts.items():
        assert np.array_equal(read_array(f"{tmp_path}/a.fits[{name}]").values, values)
