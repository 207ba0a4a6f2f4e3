"""Zarr and NetCDF files: one named variable of them."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, MissingExtraError
from .reading import Look, Reading

PLANE = 2
"""Axes of a variable that may be an image, at least."""


def read_netcdf(path: Path, part: str, look: Look) -> Reading:
    """A variable of a NetCDF file, with its scale, offset and unit; what equals its fill value is
    missing."""
    try:
        import xarray
    except ImportError as error:
        raise MissingExtraError("xarray", "arviz") from error
    with warnings.catch_warnings(), xarray.open_dataset(path, decode_times=False) as data:
        warnings.simplefilter("ignore")
        found = data[_chosen(path, part, ((n, v.ndim) for n, v in data.data_vars.items()))]
        shape = _plain(found.shape)
        look(shape)
        filled = "_FillValue" in found.encoding or "missing_value" in found.encoding
        values = np.asarray(found.values).reshape(shape)
        unit = str(found.attrs.get("units", "")).strip()
    gaps = np.isnan(values) if filled and values.dtype.kind == "f" else None
    return Reading(values, path, gaps, unit)


def read_zarr(path: Path, part: str, look: Look) -> Reading:
    """A zarr array, or an array of a zarr group; xarray's scale, offset and fill value hold."""
    import zarr

    store: Any = zarr.open(str(path), mode="r")
    if isinstance(store, zarr.Group):
        store = store[_chosen(path, part, ((n, a.ndim) for n, a in store.arrays()))]
    elif part:
        raise ConfigError(f"{path} is one array and has no part {part!r}: leave it out")
    shape, told = _plain(store.shape), dict(store.attrs)
    look(shape)
    values = np.asarray(store[...]).reshape(shape)
    gaps = values == told["_FillValue"] if "_FillValue" in told else None
    if "scale_factor" in told or "add_offset" in told:
        values = values * told.get("scale_factor", 1.0) + told.get("add_offset", 0.0)
    return Reading(values, path, gaps, str(told.get("units", "")).strip())


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without leading axes of length 1 beyond the third."""
    while len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    return tuple(shape)


def _chosen(path: Path, part: str, variables: Iterable[tuple[Any, int]]) -> str:
    """The name of the variable: that asked for, or the only one with rows and columns."""
    sizes = {str(name): ndim for name, ndim in variables}
    names = [part] if part else [name for name, ndim in sizes.items() if ndim >= PLANE]
    if len(names) == 1 and names[0] in sizes:
        return names[0]
    held = f"{path} holds the variables {', '.join(sizes) or 'none'}"
    wanted = f"none is {part!r}" if part else "name one"
    raise ConfigError(f"{held}; {wanted}, as in {path.name}[NAME]")
