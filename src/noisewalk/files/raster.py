"""GeoTIFF files through GDAL: the rows and columns that are asked for, and what belongs to them."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Raster(NamedTuple):
    """The stored values of an image, and what the file says of them."""

    values: np.ndarray  # (C, H, W)
    shown: np.ndarray | None  # bool (H, W), False where the file's mask hides it
    nodata: float | None = None  # the stored number of a gap
    scales: tuple[tuple[float, float], ...] = ()  # (scale, offset) of every band
    names: tuple[str, ...] = ()  # of the bands, "" where there is none
    units: tuple[str, ...] = ()  # likewise


def read_raster(path: Path, window: tuple[slice, slice]) -> Raster | None:
    """These rows and columns of a GeoTIFF; None where rasterio is not installed."""
    try:
        import rasterio
        from rasterio.enums import MaskFlags
    except ImportError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, driver="GTiff") as data:
            at: Any = rasterio.windows.Window.from_slices(*window)
            masked = MaskFlags.per_dataset in data.mask_flag_enums[0]
            return Raster(
                data.read(window=at),
                data.read_masks(1, window=at) != 0 if masked else None,
                None if data.nodata is None else float(data.nodata),
                tuple(zip(map(float, data.scales), map(float, data.offsets), strict=True)),
                tuple(name or "" for name in data.descriptions),
                tuple(unit or "" for unit in data.units),
            )
