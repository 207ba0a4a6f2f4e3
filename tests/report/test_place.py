"""Ticks and the way to north."""

import numpy as np
import pytest

import noisewalk as nw
from noisewalk.report.place import place_of

PIXEL_SCALE, TIEPOINT, TRANSFORMATION = 33550, 33922, 34264


def test_a_geotiff_has_north_upwards_and_ticks_in_its_own_numbers():
    tags = {PIXEL_SCALE: [10.0, 10.0, 0.0], TIEPOINT: [0.0, 0.0, 0.0, 600.0, 900.0, 0.0]}
    place = place_of(nw.files.Georeference("tiff", tags=tags), (20, 40))
    assert place.north == 0.0
    at = {label: share for share, label in place.x}
    assert at["800"] == pytest.approx(0.5)  # 200 of the 400 that the 40 columns take
    rows = {label: share for share, label in place.y}
    assert rows["800"] == pytest.approx(0.5)


def test_a_turned_geotiff_has_north_where_its_rows_say():
    east, north = np.array([0.0, -1.0]), np.array([-1.0, 0.0])  # of a column and a row further
    matrix = np.eye(4)
    matrix[:2, 0], matrix[:2, 1] = east, north
    tags = {TRANSFORMATION: matrix.ravel().tolist()}
    place = place_of(nw.files.Georeference("tiff", tags=tags), (4, 4))
    assert place.north == pytest.approx(-90.0)  # the first column lies north of the second
    assert not place.x


def test_a_file_without_a_place_has_none():
    assert place_of(None, (4, 4)) is None
    assert place_of(nw.files.Georeference("tiff"), (4, 4)) is None


@pytest.mark.parametrize("dec", [-30.0, 0.0, 60.0])
@pytest.mark.parametrize("turn", [0.0, 25.0])
def test_a_fits_image_has_ticks_of_the_sky(dec, turn):
    wcs = pytest.importorskip("astropy.wcs").WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [0.01, dec], [8.5, 8.5]
    wcs.wcs.cdelt = [-0.01, 0.01]
    angle = np.radians(turn)
    wcs.wcs.pc = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    header = wcs.to_header().tostring(sep="\n", endcard=False, padding=False)
    place = place_of(nw.files.Georeference("fits", header), (16, 16))
    assert place.names == ("RA", "DEC")
    assert place.north == pytest.approx(turn, abs=0.5)
    for share, label in place.y:
        _, found = wcs.wcs_pix2world(-0.5, 16 * (1 - share) - 0.5, 0)
        assert float(label.rstrip("°").replace("−", "-")) == pytest.approx(float(found), abs=0.002)


SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 8.5, "CRPIX2": 8.5}
SKY |= {"CRVAL1": 10.0, "CRVAL2": 2.0, "CDELT1": -0.01, "CDELT2": 0.01}


@pytest.mark.parametrize(
    "change",
    [
        {"CPDIS1": "LOOKUP", "DP1.NAXES": 2},
        {"CPDIS1": "LOOKUP"},
        {"CTYPE3": "WAVE-TAB", "NAXIS": 3},
        {"CTYPE1": "WAVE"},
        {"CTYPE2": ""},
        {"CTYPE1": "RA---DSS", "CTYPE2": "DEC--DSS"},
        {"CDELT1": 0.0, "CDELT2": 0.0},
        {"CUNIT1": "pixel"},
        {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2},
        {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRPIX1": 1e5},
        {"CTYPE1": "RA---AIT", "CTYPE2": "DEC--AIT", "CRPIX1": 1e5},
    ],
    ids=str,
)
def test_a_sky_that_is_not_understood_has_no_frame(change):
    fits = pytest.importorskip("astropy.io.fits")
    header = fits.Header()
    header.update({**SKY, **change})
    text = header.tostring(sep="\n", endcard=False, padding=False)
    place = place_of(nw.files.Georeference("fits", text), (16, 16))
    assert place is None or place.north is None or np.isfinite(place.north)
