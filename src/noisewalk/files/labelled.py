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
    return _variable(path, part, look)


def read_zarr(path: Path, part: str, look: Look) -> Reading:
    """A zarr array as it is, or a variable of a zarr group: with named axes as in NetCDF."""
    import zarr

    store: Any = zarr.open(str(path), mode="r")
    if isinstance(store, zarr.Group):
        arrays = dict(store.arrays())
        chosen = arrays[_chosen(path, part, ((n, a.ndim) for n, a in arrays.items()))]
        names = getattr(chosen.metadata, "dimension_names", None)
        if names or "_ARRAY_DIMENSIONS" in chosen.attrs:
            return _variable(path, part, look, engine="zarr", consolidated=False)
        store = chosen
    elif part:
        raise ConfigError(f"{path} is one array and has no part {part!r}: leave it out")
    shape = _plain(store.shape)
    look(shape)
    return Reading(np.asarray(store[...]).reshape(shape), path)


def _variable(path: Path, part: str, look: Look, **how: Any) -> Reading:
    """A variable by xarray."""
    try:
        import xarray
    except ImportError as error:
        raise MissingExtraError("xarray", "arviz") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with xarray.open_dataset(path, decode_times=False, **how) as data:
            found = data[_chosen(path, part, ((n, v.ndim) for n, v in data.data_vars.items()))]
            shape = _plain(found.shape)
            look(shape)
            filled = "_FillValue" in found.encoding or "missing_value" in found.encoding
            values = np.asarray(found.values).reshape(shape)
            unit = str(found.attrs.get("units", "")).strip()
    gaps = np.isnan(values) if filled and values.dtype.kind == "f" else None
    return Reading(values, path, gaps, unit)


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
