"""What a run exports is what its draws say, in the unit and at the place of the file."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.files import Georeference, Measurement, ValueRange
from noisewalk.files.arrays import read_array
from noisewalk.noise import PROBE, rows

TAGS = {33550: [20.0, 20.0, 0.0], 33922: [0.0, 0.0, 0.0, 600.0, 900.0, 0.0]}
TAGS[34735] = [1, 1, 0, 1, 3072, 0, 1, 32631]
UNIT = ValueRange(0.0, 4.0)
X = rows(3, 4).normal((30, 2, 4, 6), PROBE).unsqueeze(0)  # beyond [-1, 1] here and there


def run() -> nw.Run:
    facts = {"range": [0.0, 4.0], "unit": "K"}
    facts["georeference"] = Georeference("tiff", "", TAGS, ("red", "nir")).facts()
    return nw.Run(
        {"x": X}, nfe=1, seconds=1.0, spec={"problem": facts, "command": "noisewalk sample a.tif"}
    )


def exported(path: Path, what: str) -> np.ndarray:
    run().export(path, what)
    return read_array(path).values


def test_each_word_is_the_statistic_of_the_draws_and_nothing_is_clipped(tmp_path: Path) -> None:
    v = (2 + 2 * X[0].double()).flatten(0, 1).numpy()
    path = tmp_path / "a.tif"
    np.testing.assert_allclose(exported(path, "mean"), v.mean(0), rtol=1e-5)
    np.testing.assert_allclose(exported(path, "std"), v.std(0, ddof=1), rtol=1e-5)
    found = exported(path, "quantiles").reshape(3, 2, 4, 6)
    np.testing.assert_allclose(
        found, np.quantile(v, (0.05, 0.5, 0.95), axis=0), rtol=1e-5, atol=1e-6
    )
    draws = exported(path, "draws").reshape(120, 2, 4, 6)
    np.testing.assert_allclose(draws, v, rtol=1e-6, atol=1e-6)
    assert draws.min() < 0
    share = exported(path, "probability: x > 2.5")
    np.testing.assert_allclose(share, (v > 2.5).mean(0), atol=1e-7)
    with pytest.raises(ConfigError, match="choose one of mean, std, quantiles"):
        run().export(path, "median")


def test_the_place_and_the_unit_are_those_of_the_file(tmp_path: Path) -> None:
    run().export(tmp_path / "a.tif", "mean")
    found = read_array(tmp_path / "a.tif")
    assert found.unit == "K"
    assert found.georeference is not None
    assert dict(found.georeference.tags) == TAGS
    assert found.georeference.bands == ("red", "nir")
    run().export(tmp_path / "p.tif", "probability: x <= 1e0")
    assert read_array(tmp_path / "p.tif").unit == ""


def test_in_python_the_measurement_says_them(tmp_path: Path) -> None:
    place = Georeference("tiff", "", TAGS)
    m = Measurement(torch.zeros(1, 2, 2, 3), None, None, "K", place, UNIT)
    nw.Run({"x": X}, nfe=1, seconds=1.0).export(tmp_path / "a.tif", "mean", like=m)
    found = read_array(tmp_path / "a.tif")
    np.testing.assert_allclose(found.values, 2 + 2 * X.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    assert found.georeference is not None
    assert found.georeference.tags[33550] == [10.0, 10.0, 0.0]  # y has half the pixels


def test_a_place_that_is_not_known_is_never_left_out_without_a_word(tmp_path: Path) -> None:
    """y of a valid convolution is smaller than x by no whole factor."""
    place = Georeference("tiff", "", TAGS)
    m = Measurement(torch.zeros(1, 2, 2, 4), None, None, "K", place, UNIT)
    given = nw.Run({"x": X}, nfe=1, seconds=1.0)
    with pytest.raises(ConfigError, match=r"the place of x is not known: .*finer\("):
        given.export(tmp_path / "a.tif", "mean", like=m)
    own = dataclasses.replace(m, y=given.mean, georeference=place.finer(1, 1, 1))
    given.export(tmp_path / "a.tif", "mean", like=own)
    found = read_array(tmp_path / "a.tif").georeference
    assert found is not None
    assert found.axes((4, 6))["x"][1] == place.axes((2, 4))["x"][0]


def test_the_dataset_has_named_axes_coordinates_and_units(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    data = run().to_xarray()
    assert data.draws.dims == ("image", "chain", "draw", "band", "y", "x")
    np.testing.assert_allclose(data.draws.values, 2 + 2 * X, rtol=1e-6, atol=1e-6)
    assert data.draws.attrs["units"] == "K"
    assert data.band.values.tolist() == ["red", "nir"]
    assert data.x.values.tolist() == [610.0 + 20 * i for i in range(6)]
    assert data.y.values.tolist() == [890.0 - 20 * i for i in range(4)]
    run().export(tmp_path / "a.zarr", "draws")
    again = xarray.open_zarr(tmp_path / "a.zarr", consolidated=True)
    np.testing.assert_array_equal(again.draws.values, data.draws.values)
    run().export(tmp_path / "std.zarr", "std")
    std = xarray.open_zarr(tmp_path / "std.zarr", consolidated=True)
    for name in ("band", "y", "x"):
        assert std[name].values.tolist() == data[name].values.tolist()
    assert std.attrs["crs"] == data.attrs["crs"] == "EPSG:32631"


def test_the_measurement_of_the_dataset_is_in_the_files_unit_and_nan_where_it_is_missing() -> None:
    pytest.importorskip("xarray")
    y, seen = torch.zeros(1, 2, 4, 6), torch.ones(1, 1, 4, 6, dtype=torch.bool)
    y[..., 0], seen[..., 1, 2] = 0.5, False
    found = dataclasses.replace(run(), y=y, observed=seen).to_xarray().measurement
    assert found.dims == ("image", "band", "y", "x")
    assert found.attrs == {"units": "K"}
    assert found.values[0, 1, 0, :2].tolist() == [3.0, 2.0]
    assert np.isnan(found.values).sum() == 2
    small = dataclasses.replace(run(), y=y[..., ::2, ::2]).to_xarray().measurement
    assert (small.dims[1:], small.values.max()) == (tuple(f"measurement_{i}" for i in range(3)), 3)
    for name in ("Poisson", "PoissonGaussian"):
        spec = {**run().spec, "likelihood": {"name": name}}
        counts = dataclasses.replace(run(), y=10 * y, spec=spec).to_xarray().measurement
        assert (counts.attrs, counts.values.max()) == ({"units": "counts"}, 5.0)
    far = nw.Run({"x": X}, nfe=1, seconds=1.0, y=y[:, :1]).to_xarray().measurement
    assert far.attrs["scale"].startswith("that of A(x)")


def test_a_folder_that_is_there_is_never_written_over(tmp_path):
    pytest.importorskip("xarray")
    (tmp_path / "run.zarr").mkdir()
    (tmp_path / "run.zarr" / "zarr.json").write_text("{}")
    with pytest.raises(ConfigError, match="would be lost"):
        run().export(tmp_path / "run.zarr", "draws")
    assert (tmp_path / "run.zarr" / "zarr.json").read_text() == "{}"
