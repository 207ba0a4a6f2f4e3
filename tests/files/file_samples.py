"""Values and the files that hold them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from noisewalk.files.arrays import read_array
from noisewalk.files.masks import Gaps
from noisewalk.files.measurement import Given, measure
from noisewalk.files.ranges import ValueRange

tifffile = pytest.importorskip("tifffile")
fits = pytest.importorskip("astropy.io.fits")

INTS = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]
FLOATS = ["float32", "float64"]
EPS = 2.0**-24  # rounding of float32, relative


def example(dtype: str, shape: tuple[int, ...] = (3, 5, 7)) -> np.ndarray:
    rng = np.random.default_rng(sum(map(ord, dtype)))
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    if kind.kind == "f":
        return rng.uniform(-1, 1, shape).astype(kind)
    return rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def npy(path: Path, values: object) -> Path:
    np.save(path, np.asarray(values), allow_pickle=False)
    return path


def png(path: Path, values: np.ndarray, **options: object) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


def written(folder: Path, suffix: str) -> Path:
    path, values = folder / f"a{suffix}", example("uint8", (24, 24))
    if suffix in (".png", ".jpg"):
        return png(path, values)
    if suffix == ".tif":
        tifffile.imwrite(path, values, photometric="minisblack")
    elif suffix == ".fits":
        fits.PrimaryHDU(values).writeto(path)
    else:
        np.save(path, values) if suffix == ".npy" else np.savez(path, values)
    return path


def check_exact(path: Path, values: np.ndarray) -> None:
    got = read_array(path).values
    assert got.dtype == values.dtype
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, values)


def load_measurement(
    path: Path,
    shape: tuple[int, ...],
    value_range: ValueRange | None = None,
    missing: str | Path | None = None,
    read: Tensor | None = None,
    **gaps: str,
) -> tuple[Tensor, Tensor | None, ValueRange]:
    """The measurement without its first axis, its gaps and its range."""
    given = Given(gaps=Gaps(missing, **gaps), range=value_range)
    m = measure(path, given, shape, read=read)
    return m.y[0], None if m.observed is None else m.observed[0], m.range


def equal(x: Tensor, values: object) -> bool:
    return x.dtype == torch.float32 and torch.equal(
        x, torch.as_tensor(np.asarray(values, dtype=np.float32))
    )
