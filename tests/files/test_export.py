"""Results into files: what each format takes, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from file_samples import example

from noisewalk.errors import ConfigError
from noisewalk.files.arrays import read_array
from noisewalk.files.export import Result, write_result
from noisewalk.files.georeference import Georeference


def result(what: str = "mean", count: int = 1, place: Georeference | None = None) -> Result:
    names = ("Q05", "Q50") if what == "quantiles" else (what,)
    parts = {name: 3 + example("float32", (count, 2, 5, 7)) for name in names}
    return Result(what, parts, place, "K", ["h"], example("float32", (count, 1, 5, 7)))


def test_arrays_come_back_from_every_format(tmp_path: Path) -> None:
    made = result()
    for ending in ("npy", "npz", "fits", "tif"):
        write_result(tmp_path / f"a.{ending}", made)
        found = read_array(tmp_path / f"a.{ending}").values
        assert np.array_equal(
            found, made.parts["mean"][0] if ending in ("fits", "tif") else made.parts["mean"]
        )
    write_result(tmp_path / "q.tif", result("quantiles"))
    assert read_array(tmp_path / "q.tif").values.shape == (4, 5, 7)


def test_a_std_is_scaled_without_the_offset_and_0_of_it_is_no_gap(tmp_path: Path) -> None:
    place = Georeference("tiff", "", {}, ("a", "b"), 0.0, ((0.5, 2.0), (0.25, 1.0)))
    made = result("std", place=place)
    made.parts["std"][0, 0, 0] = 0.0
    write_result(tmp_path / "a.tif", made)
    found = read_array(tmp_path / "a.tif")
    assert np.array_equal(found.values, made.parts["std"][0])
    assert found.missing is None
    assert found.georeference is not None
    assert found.georeference.bands == ("a std", "b std")


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    for name, made, message in (
        ("a.gif", result(), "ending '.gif'; allowed are .fits"),
        ("a.tif", result(count=2), "holds one image, and the run has 2"),
        ("a.png", result("std"), "a PNG shows the mean"),
        ("no/a.tif", result(), "is not a folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            write_result(tmp_path / name, made)
