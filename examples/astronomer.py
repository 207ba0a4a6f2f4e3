"""Deconvolve an exposure in FITS by a generator of one's own, and get FITS back with the same WCS.

The script first makes the files that an observer has. `obs.fits` holds the image (SCI), its error
map (ERR) and its flags (DQ), and `psf.fits` the point-spread function, whose sum is not 1. It then
calls `noisewalk sample` as on the command line, and opens the result with astropy.

The image is in MJy/sr. `--range 0 40` says what -1 and 1 of the prior's images are. Flags 0 and 3
mark pixels that were not measured: dead ones and cosmic rays. The prior is `own.py:prior`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from own import SHAPE, prior

from noisewalk.cli.main import main as noisewalk
from noisewalk.operators import Convolution

BRIGHTEST, SEED = 40.0, 4  # MJy/sr
DEAD, COSMIC, SATURATED = 0, 3, 5  # bits of DQ; the last one is harmless here


def make_files(folder: Path) -> None:
    """An exposure of a sky that the prior has drawn."""
    from astropy.io import fits
    from astropy.wcs import WCS

    rng = np.random.default_rng(SEED)
    z = torch.from_numpy(rng.standard_normal((1, 2, *SHAPE)).astype(np.float32))
    y, x = np.mgrid[-6:7, -6:7]
    psf = 3.0 * np.exp(-0.5 * (x**2 / 2.0**2 + (y - 0.5 * x) ** 2 / 1.5**2))
    seen = Convolution(psf / psf.sum())(prior()(z))[0, 0].numpy()
    sky = BRIGHTEST * (seen + 1) / 2
    error = np.sqrt(0.3**2 + 0.02 * np.maximum(sky, 0)).astype(np.float32)
    flags = np.zeros(SHAPE, np.int16)
    flags[:, 33] |= 1 << DEAD
    flags[rng.random(SHAPE) < 0.01] |= 1 << COSMIC
    flags[10:12, 10:12] |= 1 << SATURATED
    image = sky + error * rng.standard_normal(SHAPE)
    image[flags & (1 << DEAD) > 0] = 0.0
    image[flags & (1 << COSMIC) > 0] = 5000.0
    place = WCS(naxis=2)
    place.wcs.ctype, place.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.1, 2.2]
    place.wcs.crpix, place.wcs.cdelt = [SHAPE[1] / 2, SHAPE[0] / 2], [-0.06 / 3600, 0.06 / 3600]
    hdus = [fits.PrimaryHDU()]
    for name, values in (("SCI", image.astype(np.float32)), ("ERR", error), ("DQ", flags)):
        hdus.append(fits.ImageHDU(values, place.to_header(), name=name))
    hdus[1].header["BUNIT"] = "MJy/sr"
    fits.HDUList(hdus).writeto(folder / "obs.fits", overwrite=True)
    fits.PrimaryHDU(psf.astype(np.float32)).writeto(folder / "psf.fits", overwrite=True)
    np.save(folder / "truth.npy", (BRIGHTEST * (prior()(z)[0, 0].numpy() + 1) / 2))


def command(folder: Path, more: Sequence[str]) -> list[str]:
    """What is typed."""
    return [
        "noisewalk", "sample", f"{folder}/obs.fits[SCI]",
        "--prior", f"{Path(__file__).parent}/own.py:prior",
        "--operator", f"conv:{folder}/psf.fits[0],normalize=true,boundary=reflect",
        "--sigma-y", f"{folder}/obs.fits[ERR]",
        "--missing", f"{folder}/obs.fits[DQ]", "--bits", f"{DEAD},{COSMIC}",
        "--range", "0", str(BRIGHTEST), "--out", f"{folder}/restored", *more,
    ]  # fmt: skip


def main() -> None:
    """Make the files, restore them, and look at the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("astronomer"), help="the folder of all")
    parser.add_argument("more", nargs="*", help="after --: further options of noisewalk sample")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    make_files(given.out)
    sys.argv = command(given.out, given.more)
    try:
        noisewalk()
    except SystemExit as stop:
        if stop.code:
            raise
    look(given.out)


def look(folder: Path) -> None:
    """What astropy says of the result; an error where it is not where the exposure was."""
    from astropy.io import fits
    from astropy.wcs import WCS

    with (
        fits.open(folder / "obs.fits") as before,
        fits.open(folder / "restored/mean.fits") as after,
    ):
        image, header = after[0].data, after[0].header
        corners = [[0, 0], [0, SHAPE[0]], [SHAPE[1], 0], [12.5, 30.25]]
        places = [WCS(h).wcs_pix2world(corners, 0) for h in (before["SCI"].header, header)]
        np.testing.assert_allclose(*places, rtol=0, atol=1e-10)
        flagged = before["DQ"].data & (1 << DEAD | 1 << COSMIC) > 0
        naive = np.where(flagged, np.nan, before["SCI"].data)
    truth = np.load(folder / "truth.npy")
    for name, values in (("the exposure", naive), ("the mean", image)):
        away = np.sqrt(np.nanmean((values - truth) ** 2))
        print(f"{name} is {away:.3g} {header['BUNIT']} (rms) away from the sky")
    print(f"{folder}/restored/mean.fits has the WCS of the exposure: open it in any viewer")


if __name__ == "__main__":
    main()
