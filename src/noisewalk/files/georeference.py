"""Where a file's pixels lie: a FITS header or the geographic tags of a TIFF, to be written again.

A measurement may have coarser pixels than the image that is restored from it. With the edge of a
pixel at a whole number, the edge e of the measurement lies at f e + o in the image.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PIXEL_SCALE, TIEPOINT, TRANSFORMATION, GEO_KEYS = 33550, 33922, 34264, 34735
GEO_TAGS = (PIXEL_SCALE, TIEPOINT, TRANSFORMATION, GEO_KEYS, 34736, 34737)
PROJECTED, GEOGRAPHIC, USER_DEFINED = 3072, 2048, 32767
RASTER_TYPE, POINT = 1025, 2  # of GeoKeyDirectory: a pixel is a point, its centre


@dataclass(frozen=True)
class Georeference:
    """The place, the unit and the names of a file's pixels.

    Arguments:
        format: "fits" or "tiff".
        header: of a FITS image, its cards, a line each; "" for a TIFF.
        tags: of a TIFF, the values of its geographic tags by number.
        bands: names of the bands, empty where there are none.
        nodata: of a TIFF, the stored number that marks a gap, or None.
        scales: of a TIFF, a (scale, offset) a band: value = scale * stored + offset.

    Example:
        >>> tags = {33550: [30.0, 30.0, 0.0], 33922: [0.0, 0.0, 0.0, 600.0, 900.0, 0.0]}
        >>> nw.files.Georeference("tiff", tags=tags).finer(2).tags[33550]
        [15.0, 15.0, 0.0]
    """

    format: str
    header: str = field(default="", repr=False)
    tags: Mapping[int, Any] = field(default_factory=dict)
    bands: tuple[str, ...] = ()
    nodata: float | None = None
    scales: tuple[tuple[float, float], ...] = ()

    def finer(self, factor: int, top: int = 0, left: int = 0) -> "Georeference":
        """That of the image whose pixels are `factor` times smaller, and whose first pixel lies
        `top` rows and `left` columns of its own before the first one here."""
        if (factor, top, left) == (1, 0, 0):
            return self
        tags, header = dict(self.tags), self.header
        if self.format == "fits":
            header = _finer_header(header, factor, top, left)
        else:
            tags = _finer_tags(tags, factor, top, left)
        return Georeference(self.format, header, tags, self.bands, self.nodata, self.scales)

    @property
    def crs(self) -> str:
        """The reference system of a GeoTIFF, such as EPSG:32631; "" where it has no such number."""
        keys = np.asarray(self.tags.get(GEO_KEYS, [])).reshape(-1, 4)[1:]
        found = {int(key): int(value) for key, kind, _, value in keys if kind == 0}
        numbers = (found.get(key, 0) for key in (PROJECTED, GEOGRAPHIC))
        return next((f"EPSG:{n}" for n in numbers if 0 < n < USER_DEFINED), "")

    def axes(self, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        """The coordinates y and x of the centres of (H, W) pixels of an upright GeoTIFF."""
        if not {PIXEL_SCALE, TIEPOINT} <= self.tags.keys():
            return {}
        (sx, sy, _), (i, j, _, x, y, _) = self.tags[PIXEL_SCALE], self.tags[TIEPOINT][:6]
        centre = 0.0 if _of_points(self.tags) else 0.5
        rows, columns = np.arange(shape[0]) + centre - j, np.arange(shape[1]) + centre - i
        return {"y": y - sy * rows, "x": x + sx * columns}

    def facts(self) -> dict[str, Any]:
        """As JSON, for spec.json; `from_facts` reads it."""
        nodata = None if self.nodata is None else repr(self.nodata)
        tags = {str(code): value for code, value in self.tags.items()}
        own = {"header": self.header, "tags": tags, "bands": list(self.bands)}
        return {"format": self.format, **own, "nodata": nodata, "scales": list(self.scales)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Georeference":
        """That of `facts`."""
        tags = {int(code): value for code, value in facts["tags"].items()}
        nodata = None if facts["nodata"] is None else float(facts["nodata"])
        scales = tuple((float(a), float(b)) for a, b in facts["scales"])
        return cls(facts["format"], facts["header"], tags, tuple(facts["bands"]), nodata, scales)


def _finer_header(text: str, factor: int, top: int, left: int) -> str:
    """CRPIX, CDELT or CD, and the coefficients of SIP on the finer grid."""
    from astropy.io.fits import Header

    header = Header.fromstring(text, sep="\n")
    matrix = any(re.fullmatch(r"CD\d_\d[A-Z]?", key) for key in header)
    for key in list(header) if not matrix else ():
        if re.fullmatch(r"CRPIX[12][A-Z]?", key):
            step = key.replace("CRPIX", "CDELT")
            header[step] = header.get(step, 1.0)  # as of a PC matrix alone
    for key in list(header):
        if found := re.fullmatch(r"CRPIX([12])[A-Z]?", key):
            start = left if found[1] == "1" else top
            header[key] = factor * (header[key] - 0.5) + start + 0.5
        elif re.fullmatch(r"CD\d_[12][A-Z]?", key) or (
            not matrix and re.fullmatch(r"CDELT[12][A-Z]?", key)
        ):
            header[key] = header[key] / factor
        elif found := re.fullmatch(r"[AB]P?_(\d)_(\d)", key):
            header[key] = header[key] * float(factor) ** (1 - int(found[1]) - int(found[2]))
    return header.tostring(sep="\n", endcard=False, padding=False)


def _of_points(tags: Mapping[int, Any]) -> bool:
    """Whether the tags place the centre of a pixel and not its corner."""
    keys = np.asarray(tags.get(GEO_KEYS, [])).reshape(-1, 4)[1:]
    return any(key == RASTER_TYPE and value == POINT for key, _, _, value in keys)


def _finer_tags(tags: dict[int, Any], factor: int, top: int, left: int) -> dict[int, Any]:
    """Tie points, pixel scale and transformation on the finer grid."""
    half = 0.5 if _of_points(tags) else 0.0
    start = np.array([left, top]) + half * (factor - 1)
    if TIEPOINT in tags:
        points = np.array(tags[TIEPOINT], np.float64).reshape(-1, 6)
        points[:, :2] = factor * points[:, :2] + start
        tags[TIEPOINT] = points.ravel().tolist()
    if PIXEL_SCALE in tags:
        x, y, z = tags[PIXEL_SCALE]
        tags[PIXEL_SCALE] = [x / factor, y / factor, z]
    if TRANSFORMATION in tags:
        back = np.diag([1 / factor, 1 / factor, 1.0, 1.0])
        back[:2, 3] = -start / factor
        matrix = np.array(tags[TRANSFORMATION], np.float64).reshape(4, 4) @ back
        tags[TRANSFORMATION] = matrix.ravel().tolist()
    return tags
