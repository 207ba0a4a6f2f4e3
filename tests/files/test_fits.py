"""FITS images: rows, types, extensions, compression, blanks."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from file_samples import FLOATS, INTS, check_exact, example, fits

from noisewalk.errors import ConfigError
from noisewalk.files.arrays import read_array


def test_fits_images_come_back_exactly_and_unflipped(tmp_path: Path) -> None:
    for dtype in ("uint8", "uint16", "int16", "uint32", "int32", *FLOATS):
        assert dtype in (*INTS, *FLOATS)
        values = example(dtype)
        for data in (values, values[0]):
            fits.PrimaryHDU(data).writeto(tmp_path / "a.fits", overwrite=True)
            check_exact(tmp_path / "a.fits", data.reshape(-1, 5, 7))


def observation(folder: Path, name: str = "obs.fits") -> dict[str, np.ndarray]:
    held = {"SCI": example("float32", (5, 7)), "ERR": example("float64", (5, 7))}
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(data, name=key) for key, data in held.items())]
    hdus[1].header["BUNIT"] = " mJy/beam "
    held["SCI2"] = example("int16", (5, 7))
    second = fits.ImageHDU(held["SCI2"], name="SCI")
    second.header["EXTVER"] = 2
    fits.HDUList([*hdus, second]).writeto(folder / name)
    return held


def test_an_extension_is_chosen_by_name_version_or_number(tmp_path: Path) -> None:
    held = observation(tmp_path)
    names = {"ERR": "ERR", "2": "ERR", "err": "ERR", "SCI,1": "SCI", "SCI,2": "SCI2"}
    for part, key in names.items():
        check_exact(Path(f"{tmp_path}/obs.fits[{part}]"), held[key][None])
    assert read_array(f"{tmp_path}/obs.fits[1]").unit == "mJy/beam"
    for part, message in {
        "SCI": "2 of them",
        "DQ": "0 of them",
        "0": "0 of them",
        "9": "0",
    }.items():
        with pytest.raises(ConfigError, match=rf"3 images \(\[1\] SCI, \[2\] ERR.*{message}"):
            read_array(f"{tmp_path}/obs.fits[{part}]")
    with pytest.raises(ConfigError, match=r"choose one, as in obs.fits\[SCI\]"):
        read_array(f"{tmp_path}/obs.fits")


def test_a_file_whose_name_has_brackets_is_that_file(tmp_path: Path) -> None:
    values = example("float32", (5, 7))
    fits.PrimaryHDU(values).writeto(tmp_path / "a[1].fits")
    check_exact(tmp_path / "a[1].fits", values[None])


def test_compressed_fits_files_come_back_exactly(tmp_path: Path) -> None:
    values = example("int16", (40, 30))
    image = fits.PrimaryHDU(values)
    image.writeto(tmp_path / "a.fit")
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress((tmp_path / "a.fit").read_bytes()))
    packed = fits.CompImageHDU(values, compression_type="RICE_1", name="SCI")
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(tmp_path / "a.fits.fz")
    for name in ("a.fit", "a.fits.gz", "a.fits.fz", "a.fits.fz[SCI]", "a.fits.fz[1]"):
        check_exact(tmp_path / name, values[None])


def test_scaled_and_blank_integers_are_numbers_and_gaps(tmp_path: Path) -> None:
    raw = np.arange(35, dtype=np.int16).reshape(5, 7)
    path, cards = tmp_path / "a.fits", [("SIMPLE", True), ("BITPIX", 16), ("NAXIS", 2)]
    cards += [("NAXIS1", 7), ("NAXIS2", 5), ("BLANK", 12), ("BSCALE", 0.5), ("BZERO", 100.0)]
    content = raw.astype(">i2").tobytes().ljust(2880, b"\0")
    path.write_bytes(fits.Header(cards).tostring().encode() + content)
    found = read_array(path)
    assert found.missing is not None
    assert np.array_equal(found.missing[0], raw == 12)
    kept = ~found.missing
    np.testing.assert_allclose(found.values[kept], (0.5 * raw + 100.0)[None][kept])


def test_blanks_of_unsigned_integers_are_gaps(tmp_path: Path) -> None:
    raw = np.arange(-17, 18, dtype=np.int16).reshape(5, 7)
    cards = [("SIMPLE", True), ("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 7), ("NAXIS2", 5)]
    cards += [("BLANK", -9), ("BZERO", 32768)]
    content = raw.astype(">i2").tobytes().ljust(2880, b"\0")
    (tmp_path / "a.fits").write_bytes(fits.Header(cards).tostring().encode() + content)
    found = read_array(tmp_path / "a.fits")
    assert found.values.dtype == np.uint16
    assert found.missing is not None
    assert np.array_equal(found.missing[0], raw == -9)
