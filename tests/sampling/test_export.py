"""What a run exports is what its draws say, in the unit and at the place of the file."""

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
