"""TIFF files: exact values in every layout."""

from pathlib import Path

import numpy as np
from file_samples import FLOATS, INTS, check_exact, example, tifffile


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
