"""Results in the format, the unit and the place of the file that a measurement came from."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import ConfigError
from .georeference import Georeference
from .images import save_png
from .write_fits import write_fits
from .write_tiff import write_tiff

ENDINGS = (".fits", ".fit", ".tif", ".tiff", ".nc", ".zarr", ".npy", ".npz", ".png")


@dataclass(frozen=True, eq=False)
class Result:
    """What is written: arrays (image, ..., band, y, x) in the file's unit, never clipped."""

    what: str  # mean, std, quantiles, draws or probability
    parts: Mapping[str, np.ndarray]  # by name, such as Q05; of one alone its name is `what`
    place: Georeference | None
    unit: str
    history: Sequence[str]
    display: np.ndarray  # the mean on the scale of [-1, 1], for a PNG


def write_result(path: Path, result: Result) -> None:
    """Write a result in the format of the path's ending; ConfigError where it cannot hold it."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(f"{path} has the ending {ending!r}; allowed are {' '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is not a folder: make it, or write elsewhere")
    try:
        if ending in (".npy", ".npz"):
            _write_numpy(path, result)
        elif ending in (".nc", ".zarr"):
            raise ConfigError(f"{path}: take run.to_xarray() for {ending}")
        else:
            _write_image(path, ending, result)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error


def _write_numpy(path: Path, result: Result) -> None:
    """One array, its parts on a first axis of their own in .npy."""
    parts, buffer = list(result.parts.values()), io.BytesIO()
    if path.suffix.lower() == ".npz":
        np.savez(buffer, **dict(result.parts))  # type: ignore[arg-type]
    else:
        np.save(buffer, parts[0] if len(parts) == 1 else np.stack(parts))
    path.write_bytes(buffer.getbuffer())  # numpy itself does not see that a disk is full


def _write_image(path: Path, ending: str, result: Result) -> None:
    """A picture of one image."""
    count = len(next(iter(result.parts.values())))
    if count != 1:
        raise ConfigError(f"a {ending} file holds one image, and the run has {count}: take .npz")
    parts = {name: values[0] for name, values in result.parts.items()}
    if ending == ".png":
        if result.what != "mean":
            raise ConfigError(f"a PNG shows the mean, not the {result.what}: take .npy or .tif")
        save_png(torch.from_numpy(result.display[0]), path)
    elif ending in (".fits", ".fit"):
        write_fits(path, parts, result.place, result.unit, result.history)
    else:
        _write_bands(path, parts, result)


def _write_bands(path: Path, parts: Mapping[str, np.ndarray], result: Result) -> None:
    """A GeoTIFF with the bands of every part one after the other."""
    place = result.place if result.place and result.place.format == "tiff" else None
    shape = next(iter(parts.values())).shape
    own = list(place.bands) if place is not None and place.bands else []
    own = own if len(own) == shape[-3] else [f"band {i + 1}" for i in range(shape[-3])]
    names, stack = [], []
    for name, values in parts.items():
        for k, one in enumerate(values.reshape(-1, *shape[-3:])):
            many = "" if values.ndim == 3 else f" {k + 1}"
            names += [f"{band} {name}{many}" if name != "mean" else band for band in own]
            stack.append(one)
    scales: list[tuple[float, float]] = []
    if place is not None and len(place.scales) == shape[-3] and result.what != "probability":
        shifts = [b if result.what != "std" else 0.0 for _, b in place.scales]
        scales = [(a, b) for (a, _), b in zip(place.scales, shifts, strict=True)] * len(stack)
    if place is not None and result.what in ("std", "probability"):
        place = Georeference("tiff", "", place.tags, place.bands, None, place.scales)  # 0 is no gap
    write_tiff(path, np.concatenate(stack), place, names, result.unit, scales)
