"""Where a picture lies on the sky or on the ground: ticks along its edges and the way to north."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..files.georeference import TRANSFORMATION, Georeference
from .plots import tick_text, ticks

Ticks = Sequence[tuple[float, str]]


class Place(NamedTuple):
    """The frame of a picture, whose top row comes first."""

    x: Ticks = ()  # share of the width from the left, and the label
    y: Ticks = ()  # share of the height from the top
    names: tuple[str, str] = ("x", "y")
    north: float | None = None  # the direction of north in degrees, clockwise from upwards


def place_of(where: Georeference | None, shape: tuple[int, ...]) -> Place | None:
    """The frame of (H, W) pixels; None where the file does not say."""
    if where is None:
        return None
    place = _of_sky(where.header, shape) if where.format == "fits" else _of_ground(where, shape)
    return place if place.x or place.y or place.north is not None else None


def _of_sky(header: str, shape: tuple[int, ...]) -> Place:
    """By the celestial axes of a FITS header, as far as astropy understands them."""
    try:
        from astropy.io.fits import Header
        from astropy.wcs import WCS
    except ImportError:  # the report is rebuilt where the extra is not installed
        return Place()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wcs = WCS(Header.fromstring(header, sep="\n"))
            return _of_celestial(wcs.celestial, shape) if wcs.has_celestial else Place()
        except Exception:  # of many kinds, MemoryError among them; a picture needs no frame
            return Place()


def _of_celestial(wcs: Any, shape: tuple[int, ...]) -> Place:
    """By celestial axes alone; pixel row 0 is shown at the bottom."""
    height, width = shape
    across, up = np.linspace(0, 1, 65), np.linspace(0, 1, 65)
    east, _ = wcs.wcs_pix2world(width * across - 0.5, np.full(65, -0.5), 0)
    _, north = wcs.wcs_pix2world(np.full(65, -0.5), height * up - 0.5, 0)
    centre = width / 2 - 0.5, height / 2 - 0.5
    lon, lat = map(float, wcs.wcs_pix2world(*centre, 0))
    step = float(np.abs(wcs.wcs.cdelt[1] * wcs.wcs.get_pc()[1]).sum()) or 1e-6
    there = wcs.wcs_world2pix(lon, lat + math.copysign(step, -lat or 1.0), 0)
    dx, dy = (float(a) - b for a, b in zip(there, centre, strict=True))
    angle = math.degrees(math.atan2(dx, dy)) + (0.0 if lat <= 0 else 180.0)
    names = wcs.wcs.lngtyp.strip() or "longitude", wcs.wcs.lattyp.strip() or "latitude"
    found = _marks(across, np.unwrap(east, period=360.0), "°"), _marks(1 - up, north, "°")
    return Place(*found, names, _turn(angle))


def _of_ground(where: Georeference, shape: tuple[int, ...]) -> Place:
    """By the tags of a GeoTIFF."""
    tags: Mapping[int, Any] = where.tags
    if axes := where.axes(shape):
        spots = [(np.arange(n) + 0.5) / n for n in shape]
        return Place(_marks(spots[1], axes["x"]), _marks(spots[0], axes["y"]), north=0.0)
    if TRANSFORMATION not in tags:
        return Place()
    matrix = np.array(tags[TRANSFORMATION], np.float64).reshape(4, 4)[:2, :2]
    column, row = np.linalg.solve(matrix, [0.0, 1.0])
    return Place(north=_turn(math.degrees(math.atan2(column, -row))))


def _marks(spots: np.ndarray, values: np.ndarray, unit: str = "") -> Ticks:
    """Round values inside the picture, where they grow or shrink all along the edge."""
    order = np.argsort(values)
    if {*np.sign(np.diff(values))} not in ({1.0}, {-1.0}):
        return []
    ends = float(values.min()), float(values.max())
    found = next(marks for most in (4, 8, 16) if len(marks := ticks(*ends, most)) > 1)
    places = np.interp(found, values[order], spots[order])
    return [(float(p), tick_text(t, found) + unit) for p, t in zip(places, found, strict=True)]


def _turn(angle: float) -> float | None:
    """An angle from -180 up to 180 degrees, to a tenth; None where there is none."""
    return round((angle + 180.0) % 360.0 - 180.0, 1) if math.isfinite(angle) else None
