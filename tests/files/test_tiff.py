"""TIFF files: exact values in every layout."""

from pathlib import Path

import numpy as np
import pytest
from file_samples import FLOATS, INTS, check_exact, example, tifffile

from noisewalk.errors import ConfigError
from noisewalk.files.arrays import read_array


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


def gdal(path: Path, values: np.ndarray, nodata: str = "", items: str = "") -> Path:
    """Bands as GDAL writes them, pixel by pixel."""
    tags = [(42113, "s", 0, nodata, True)] if nodata else []
    if items:
        tags.append((42112, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True))
    tifffile.imwrite(
        path,
        np.moveaxis(values, 0, -1),
        photometric="minisblack",
        planarconfig="contig" if len(values) > 1 else None,
        extratags=tags,
        metadata=None,
    )
    return path


def test_the_nodata_tag_marks_gaps_in_every_band_of_its_own(tmp_path: Path) -> None:
    hole = example("uint16", (4, 32, 32)) | 1
    hole[:, 3:15, 4:16] = 0
    hole[1, 20, 20] = 0
    found = read_array(gdal(tmp_path / "a.tif", hole, "0"))
    assert found.missing is not None
    assert np.array_equal(found.missing, hole == 0)
    assert found.missing.sum() == 4 * 144 + 1
    lowest = np.full((1, 2, 2), 0.5, np.float32)
    lowest[0, 0] = np.finfo(np.float32).min, np.nan
    for nodata, count in (("-3.4028234663852886e+38", 1), ("nan", 1), ("-9999", 0)):
        found = read_array(gdal(tmp_path / "b.tif", lowest, nodata))
        assert found.missing is not None
        assert found.missing.sum() == count
    impossible = read_array(gdal(tmp_path / "c.tif", hole, "-9999"))
    assert impossible.missing is not None
    assert not impossible.missing.any()


def test_scales_offsets_names_and_units_are_those_of_each_band(tmp_path: Path) -> None:
    raw = example("uint16", (3, 5, 7))
    raw[0, 0, 0] = 0
    items = "".join(
        f'<Item name="SCALE" sample="{i}" role="scale">{10.0**-i}</Item>'
        f'<Item name="DESCRIPTION" sample="{i}" role="description">B{i}</Item>'
        f'<Item name="UNITTYPE" sample="{i}" role="unittype">W/m2</Item>'
        for i in range(3)
    )
    items += '<Item name="OFFSET" sample="2" role="offset">-0.5</Item><Item name="AREA">x</Item>'
    found = read_array(gdal(tmp_path / "a.tif", raw, "0", items))
    for i in range(3):
        expected = 10.0**-i * raw[i] - (0.5 if i == 2 else 0.0)
        np.testing.assert_allclose(found.values[i], expected, rtol=1e-14)
    assert found.unit == "W/m2"
    assert found.missing is not None
    assert np.array_equal(found.missing, raw == 0)
    assert found.georeference is not None
    assert found.georeference.bands == ("B0", "B1", "B2")
    assert found.georeference.scales == ((1.0, 0.0), (0.1, 0.0), (0.01, -0.5))


def test_an_internal_mask_marks_gaps_and_overviews_are_passed_over(tmp_path: Path) -> None:
    values, path = example("uint16", (32, 32)), tmp_path / "a.tif"
    there = np.ones((32, 32), bool)
    there[:12, :12] = False
    with tifffile.TiffWriter(path) as file:
        file.write(values, photometric="minisblack", metadata=None)
        file.write(there, photometric="mask", subfiletype=4, metadata=None)
        file.write(values[::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
        file.write(there[::2, ::2], photometric="mask", subfiletype=5, metadata=None)
    check_exact(path, values[None])
    found = read_array(path)
    assert found.missing is not None
    assert np.array_equal(found.missing[0], ~there)


def test_broken_gdal_tags_are_refused(tmp_path: Path) -> None:
    grey = example("uint16", (1, 5, 7))
    for nodata, items, message in (
        ("none", "", "nodata tag 'none'"),
        ("", "<Item", "broken GDAL metadata"),
        ("", '<Item sample="0" role="scale">x</Item>', "the scale 'x'"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_array(gdal(tmp_path / "a.tif", grey, nodata, items))


@pytest.mark.parametrize("kind", ["miniswhite", "palette"])
def test_a_gap_is_a_stored_number_and_not_the_one_that_is_shown(tmp_path: Path, kind: str) -> None:
    grey = np.array([[0, 5, 250], [255, 5, 7]], np.uint8)
    tags, path = [(42113, "s", 0, "5", True)], tmp_path / "a.tif"
    more = {"colormap": example("uint16", (3, 256))} if kind == "palette" else {}
    tifffile.imwrite(path, grey, photometric=kind, extratags=tags, metadata=None, **more)
    found = read_array(path)
    assert found.missing is not None
    assert np.array_equal(found.missing, np.broadcast_to(grey == 5, found.values.shape))
    assert found.georeference is not None
    assert found.georeference.nodata is None
