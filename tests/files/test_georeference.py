"""The place of an image from that of its measurement: what stands where must not move."""

import json

import numpy as np
import pytest

from noisewalk.files.georeference import Georeference

wcs = pytest.importorskip("astropy.wcs")
fits = pytest.importorskip("astropy.io.fits")

SCALE, POINTS, MATRIX, KEYS = 33550, 33922, 34264, 34735
POINT = [1, 1, 0, 1, 1025, 0, 1, 2]
GRIDS = [(1, 0, 0), (4, 0, 0), (3, 0, 0), (1, 2, 5), (2, 1, 3)]
"""Factor, and the rows and columns before the first pixel of the measurement."""


def header(cd: bool | None, sip: bool) -> fits.Header:
    """By a CD matrix, by PC and CDELT, or (None) by PC alone."""
    made = fits.Header()
    end = "-SIP" if sip else ""
    made.update(CTYPE1=f"RA---TAN{end}", CTYPE2=f"DEC--TAN{end}", CUNIT1="deg", CUNIT2="deg")
    made.update(CRPIX1=7.3, CRPIX2=-4.0, CRVAL1=150.1, CRVAL2=2.2)
    if cd:
        made.update(CD1_1=-2e-4, CD1_2=3e-5, CD2_1=2e-5, CD2_2=2.2e-4)
    elif cd is None:
        made.update(PC1_1=-2e-4, PC1_2=3e-5, PC2_1=2e-5, PC2_2=2.2e-4)
    else:
        made.update(CDELT1=-2e-4, CDELT2=2e-4, PC1_1=0.9, PC1_2=0.1, PC2_1=-0.1, PC2_2=0.9)
    if sip:
        made.update(A_ORDER=2, B_ORDER=2, A_2_0=1e-4, A_1_1=-2e-4, B_0_2=3e-4)
    return made


def on_the_image(pixel: np.ndarray, factor: int, start: int) -> np.ndarray:
    """Where centres of pixels, counted from 0, lie on the finer grid."""
    return factor * (pixel + 0.5) + start - 0.5


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", [(True, False), (False, False), (None, False), (True, True)])
def test_the_sky_stays_where_it_is(grid: tuple[int, int, int], kind: tuple[bool, bool]) -> None:
    factor, top, left = grid
    if kind[1] and (top, left) != (0, 0):
        kind = (True, True)
    text = header(*kind).tostring(sep="\n", endcard=False, padding=False)
    found = Georeference("fits", text).finer(*grid)
    x, y = np.array([0.0, 3.0, 11.5]), np.array([2.0, 0.0, 9.25])
    before = wcs.WCS(header(*kind)).all_pix2world(np.stack([x, y], 1), 0)
    after = wcs.WCS(fits.Header.fromstring(found.header, sep="\n"))
    moved = np.stack([on_the_image(x, factor, left), on_the_image(y, factor, top)], 1)
    np.testing.assert_allclose(after.all_pix2world(moved, 0), before, rtol=0, atol=1e-10)


def placed(tags: dict, column: float, row: float) -> np.ndarray:
    """Where the centre of a pixel, counted from 0, lies by the tags of a GeoTIFF."""
    edge = 0.0 if tags.get(KEYS) == POINT else 0.5
    if MATRIX in tags:
        at = np.array([column + edge, row + edge, 0.0, 1.0])
        return (np.array(tags[MATRIX]).reshape(4, 4) @ at)[:2]
    i, j, _, x, y, _ = tags[POINTS]
    sx, sy, _ = tags[SCALE]
    return np.array([x + (column + edge - i) * sx, y - (row + edge - j) * sy])


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("point", [False, True])
@pytest.mark.parametrize("matrix", [False, True])
def test_the_ground_stays_where_it_is(
    grid: tuple[int, int, int], point: bool, matrix: bool
) -> None:
    factor, top, left = grid
    turned = [30.0, 4.0, 0.0, 600.0, 5.0, -28.0, 0.0, 900.0, 0, 0, 1.0, 0, 0, 0, 0, 1.0]
    tags = {SCALE: [30.0, 20.0, 0.0], POINTS: [2.0, 1.0, 0.0, 600.0, 900.0, 0.0]}
    tags = {MATRIX: turned} if matrix else tags
    tags |= {KEYS: POINT} if point else {}
    found = Georeference("tiff", tags=tags).finer(*grid)
    for column, row in ((0.0, 0.0), (3.0, 7.0)):
        moved = on_the_image(column, factor, left), on_the_image(row, factor, top)
        np.testing.assert_allclose(placed(dict(found.tags), *moved), placed(tags, column, row))


def test_it_survives_spec_json() -> None:
    tags = {SCALE: [30.0, 20.0, 0.0], 34737: "WGS 84|"}
    place = Georeference("tiff", "", tags, ("red", "nir"), float("nan"), ((1e-4, 0.1), (1e-4, 0.0)))
    back = Georeference.from_facts(json.loads(json.dumps(place.facts())))
    assert back.nodata is not None
    assert np.isnan(back.nodata)
    assert (back.tags, back.bands, back.scales) == (tags, place.bands, place.scales)
