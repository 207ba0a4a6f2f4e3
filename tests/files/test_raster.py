"""GeoTIFFs through GDAL: the same as through tifffile, whole or in a window."""

import dataclasses

import numpy as np
import pytest

from noisewalk.errors import ConfigError
from noisewalk.files import raster, tiff
from noisewalk.files.arrays import read_array

pytest.importorskip("tifffile")
rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")

PLACE = {"crs": "EPSG:32633", "transform": rasterio.transform.from_origin(6e5, 4.9e6, 30, 30)}


def scene(path, bands=4, dtype="uint16", nodata=0, scale=None, mask=False, **more):
    values = np.random.default_rng(0).integers(1, 3000, (bands, 40, 56)).astype(dtype)
    values[:, :3, :5] = 0
    how = {"driver": "GTiff", "height": 40, "width": 56, "count": bands, "dtype": dtype}
    with rasterio.open(path, "w", **how, nodata=nodata, **PLACE, **more) as file:
        file.write(values)
        file.descriptions = [f"B{k + 2}" for k in range(bands)]
        if scale:
            file.scales, file.offsets = [scale[0]] * bands, [scale[1]] * bands
            file.units = ["reflectance"] * bands
        if mask:
            shown = np.full((40, 56), 255, np.uint8)
            shown[10:20, 10:20] = 0
            file.write_mask(shown)
    return path


CASES = {
    "plain": {},
    "scaled": {"scale": (1e-4, -0.1)},
    "masked": {"mask": True, "nodata": None},
    "tiled": {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"},
    "float": {"dtype": "float32", "bands": 1, "nodata": -9999},
    "by band": {"interleave": "band", "bands": 3, "photometric": "RGB"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("part", ["", "[8:32,0:24]"])
def test_gdal_and_tifffile_read_the_same(tmp_path, monkeypatch, case, part):
    given = f"{scene(tmp_path / 'a.tif', **CASES[case])}{part}"
    shapes = []
    found = read_array(given, shapes.append)
    monkeypatch.setattr(tiff, "read_raster", lambda *_: None)
    expected = read_array(given)
    assert shapes == [found.values.shape]
    assert found.values.dtype == expected.values.dtype
    np.testing.assert_array_equal(found.values, expected.values)
    assert (found.missing is None) == (expected.missing is None)
    if found.missing is not None:
        np.testing.assert_array_equal(found.missing, expected.missing)
    assert (found.unit, found.georeference) == (expected.unit, expected.georeference)
    whole = read_array(tmp_path / "a.tif")
    if part:
        np.testing.assert_array_equal(found.values, whole.values[:, 8:32, :24])
        axes = whole.georeference.axes((40, 56)), found.georeference.axes((24, 24))
        np.testing.assert_allclose(axes[0]["y"][8:32], axes[1]["y"])


def test_it_reads_what_rasterio_says(tmp_path):
    path = scene(tmp_path / "a.tif", scale=(1e-4, -0.1))
    found = raster.read_raster(path, (slice(0, 40), slice(0, 56)))
    with rasterio.open(path) as data:
        np.testing.assert_array_equal(found.values, data.read())
        assert found.scales == tuple(zip(data.scales, data.offsets, strict=True))
        assert (found.names, found.nodata) == (data.descriptions, data.nodata)
    fields = dataclasses.asdict(read_array(path).georeference)
    assert fields["bands"] == ("B2", "B3", "B4", "B5")


@pytest.mark.parametrize("part", ["[0:41,0:5]", "[5:5,0:5]", "[rows]", "[0:5]"])
def test_a_window_that_is_not_there_is_refused(tmp_path, part):
    path = scene(tmp_path / "a.tif")
    with pytest.raises(ConfigError, match=r"no rows and columns .* a.tif\[0:40,0:56\]"):
        read_array(f"{path}{part}")
