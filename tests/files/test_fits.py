"""FITS files: exact values in native byte order."""

from pathlib import Path

from file_samples import FLOATS, check_exact, example, fits


def test_fits_files_come_back_exactly_and_in_native_byte_order(tmp_path: Path) -> None:
    for dtype in ("uint8", "int16", "uint16", "int32", "uint32", *FLOATS):
        values = example(dtype)
        fits.PrimaryHDU(values).writeto(tmp_path / "a.fits", overwrite=True)
        check_exact(tmp_path / "a.fits", values)
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values[0])]).writeto(
            tmp_path / "b.fits", overwrite=True
        )
        check_exact(tmp_path / "b.fits", values[:1])
