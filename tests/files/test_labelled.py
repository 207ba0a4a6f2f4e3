"""Named variables of zarr and NetCDF files."""

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.files.arrays import read_array, shape_in

xarray = pytest.importorskip("xarray")
pytest.importorskip("scipy")

VALUES = np.random.default_rng(0).uniform(0, 300, (1, 4, 6)).round(1).astype("f4")
VALUES[0, 1, 2] = np.nan


@pytest.fixture
def weather(tmp_path):
    data = xarray.Dataset(
        {"t2m": (("time", "y", "x"), VALUES, {"units": "K"}), "name": ((), 3)},
        {"y": np.arange(4.0), "x": np.arange(6.0)},
    )
    packed = {"t2m": {"dtype": "int16", "scale_factor": 0.1, "_FillValue": -1}}
    data.to_netcdf(tmp_path / "w.nc", encoding=packed, engine="scipy")
    data.to_zarr(tmp_path / "w.zarr", zarr_format=2, encoding=packed)
    return tmp_path


@pytest.mark.parametrize("name", ["w.nc", "w.nc[t2m]", "w.zarr", "w.zarr[t2m]"])
def test_a_variable_is_unpacked_with_its_unit_and_its_gaps(weather, name):
    found = read_array(weather / name)
    assert found.unit == "K"
    np.testing.assert_array_equal(found.missing, np.isnan(VALUES))
    kept = ~np.isnan(VALUES)
    np.testing.assert_allclose(found.values[kept], VALUES[kept], atol=1e-3)
    assert shape_in(weather / name) == (1, 4, 6)
    m = nw.files.open(weather / name, range=(0, 300), sigma_y=3.0)
    assert m.num_missing == 1
    assert m.sigma_y == pytest.approx(0.02)


@pytest.mark.parametrize("name", ["w.nc[wind]", "w.zarr[wind]"])
def test_a_variable_that_is_not_there_lists_those_that_are(weather, name):
    with pytest.raises(ConfigError, match=r"holds the variables .*t2m.*; none is 'wind'"):
        read_array(weather / name)


def test_a_run_is_written_and_read_back(tmp_path):
    draws = torch.linspace(-1, 1, 2 * 3 * 2 * 4 * 5).reshape(1, 2, 3, 2, 4, 5)
    run = nw.Run({"x": draws}, nfe=1, seconds=1.0)
    for ending in ("nc", "zarr"):
        run.export(tmp_path / f"mean.{ending}", "mean")
        run.export(tmp_path / f"draws.{ending}", "draws")
        mean = read_array(tmp_path / f"mean.{ending}[mean]").values
        np.testing.assert_allclose(mean, run.mean[0].numpy(), rtol=1e-6)
        back = read_array(tmp_path / f"draws.{ending}[draws]").values
        np.testing.assert_array_equal(back, draws[0].numpy())


def test_one_array_is_read_as_it_is(tmp_path):
    import zarr

    zarr.save_array(str(tmp_path / "a.zarr"), np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(
        read_array(tmp_path / "a.zarr").values[0], np.arange(12).reshape(3, 4)
    )
    with pytest.raises(ConfigError, match="no part"):
        read_array(tmp_path / "a.zarr[b]")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_array(tmp_path / "empty.zarr")
