"""GeoTIFFs of results: values, tags and layout, read back by tifffile and, if there, by GDAL."""

from pathlib import Path

import numpy as np
import pytest
from file_samples import tifffile

from noisewalk.files.arrays import read_array
from noisewalk.files.georeference import Georeference
from noisewalk.files.write_tiff import write_tiff

TAGS = {33550: [30.0, 30.0, 0.0], 33922: [0.0, 0.0, 0.0, 500000.0, 4100000.0, 0.0]}
TAGS |= {34735: [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633], 34737: "UTM 33N|"}
NAMES = ("B4", "B3 <&>")
SCALES = ((1e-4, 0.0), (2e-4, -0.1))


def written(path: Path, shape: tuple[int, ...], scales: tuple = ()) -> np.ndarray:
    values = np.random.default_rng(0).normal(0.1, 0.05, shape).astype(np.float32)
    place = Georeference("tiff", "", TAGS, NAMES, -9999.0, scales)
    write_tiff(path, values, place, NAMES, "1", scales)
    return values


@pytest.mark.parametrize("side", [(5, 7), (300, 513), (1025, 600)])
@pytest.mark.parametrize("scales", [(), SCALES])
def test_values_tags_and_names_come_back(tmp_path: Path, side: tuple, scales: tuple) -> None:
    values = written(tmp_path / "a.tif", (2, *side), scales)
    found = read_array(tmp_path / "a.tif")
    np.testing.assert_allclose(found.values, values, rtol=0, atol=1e-7 if scales else 0)
    assert found.unit == "1"
    assert found.missing is not None
    assert not found.missing.any()
    place = found.georeference
    assert place is not None
    assert dict(place.tags) == TAGS
    assert (place.bands, place.nodata, place.scales) == (NAMES, -9999.0, scales)


def test_large_images_have_overviews_in_the_order_of_a_cloud_optimised_file(tmp_path: Path) -> None:
    values = written(tmp_path / "a.tif", (2, 1200, 700))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        pages = list(file.pages)
        assert [page.shape for page in pages] == [(1200, 700, 2), (600, 350, 2), (300, 175, 2)]
        assert [page.subfiletype for page in pages] == [0, 1, 1]
        assert all(page.is_tiled and page.compression == 8 for page in pages)
        directories = [page.offset for page in pages]
        first = [page.dataoffsets[0] for page in pages]
        assert directories == sorted(directories)
        assert directories[0] == 8
        assert directories[-1] < first[-1] < first[-2] < first[-3]
        small = pages[1].asarray()
    mean = values.reshape(2, 600, 2, 350, 2).mean((2, 4))
    np.testing.assert_allclose(np.moveaxis(small, -1, 0), mean, atol=1e-6)


@pytest.mark.parametrize("side", [(5, 7), (300, 513), (1025, 600)])
def test_a_validator_finds_it_cloud_optimised(tmp_path: Path, side: tuple) -> None:
    cogeo = pytest.importorskip("rio_cogeo.cogeo", reason="rio-cogeo is not installed")
    written(tmp_path / "a.tif", (2, *side), SCALES)
    assert cogeo.cog_validate(tmp_path / "a.tif", strict=True) == (True, [], [])


def test_gdal_reads_what_was_meant(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="needs rasterio, the extra geo")
    values = written(tmp_path / "a.tif", (2, 1200, 700), SCALES)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.crs.to_epsg() == 32633
        assert file.transform[:6] == (30.0, 0.0, 500000.0, 0.0, -30.0, 4100000.0)
        assert (file.nodata, file.descriptions) == (-9999.0, NAMES)
        assert (file.scales, file.offsets) == ((1e-4, 2e-4), (0.0, -0.1))
        assert file.overviews(1) == [2, 4]
        stored = file.read() * np.array(file.scales)[:, None, None]
    stored += np.array([0.0, -0.1])[:, None, None]
    np.testing.assert_allclose(stored, values, atol=1e-7)
