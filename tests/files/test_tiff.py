"""TIFF files: exact values in every layout."""

from pathlib import Path

import numpy as np
import pytest

from noisewalk.files.arrays import read_array

tifffile = pytest.importorskip("tifffile")

INTS = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]
FLOATS = ["float32", "float64"]


def example(dtype: str, shape: tuple[int, ...] = (3, 5, 7)) -> np.ndarray:
    rng = np.random.default_rng(sum(map(ord, dtype)))
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(shape) < 0.5
    if kind.kind == "f":
        return rng.uniform(-1, 1, shape).astype(kind)
    return rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


def check_exact(path: Path, values: np.ndarray) -> None:
    got = read_array(path).values
    assert got.dtype == values.dtype
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, values)


def test_tiff_files_come_back_exactly_in_every_layout(tmp_path: Path) -> None:
    for dtype in (*INTS, *FLOATS):
        values, path = example(dtype), tmp_path / "a.tif"
        tifffile.imwrite(path, np.moveaxis(values, 0, -1), photometric="rgb")
        check_exact(path, values)
        tifffile.imwrite(
            path, values, photometric="rgb", planarconfig="separate", compression="zlib"
        )
        check_exact(path, values)
        tifffile.imwrite(path, values, photometric="minisblack")  # three pages
        check_exact(path, values)
        tifffile.imwrite(path, values[0], photometric="minisblack", byteorder=">")
        check_exact(path, values[:1])
        bands = example(dtype, (5, 4, 6))
        tifffile.imwrite(
            path.with_suffix(".tiff"),
            np.moveaxis(bands, 0, -1),
            photometric="minisblack",
            planarconfig="contig",
        )
        check_exact(path.with_suffix(".tiff"), bands)


def test_tiff_palette_inverted_grey_and_opaque_alpha(tmp_path: Path) -> None:
    grey, colours, path = example("uint8", (5, 7)), example("uint16", (3, 256)), tmp_path / "a.tif"
    tifffile.imwrite(path, grey, photometric="palette", colormap=colours)
    check_exact(path, colours[:, grey])
    tifffile.imwrite(path, grey, photometric="miniswhite")
    check_exact(path, 255 - grey[None])
    tifffile.imwrite(
        path,
        np.dstack([grey, grey, grey, np.full_like(grey, 255)]),
        photometric="rgb",
        extrasamples=["unassalpha"],
    )
    check_exact(path, np.stack([grey] * 3))
