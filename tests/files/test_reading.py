"""Bands, lists of numbers, and the parts of a file in its name."""

from pathlib import Path

import numpy as np
import pytest

from noisewalk.errors import ConfigError
from noisewalk.files.georeference import Georeference
from noisewalk.files.reading import Reading, numbers_in, parted


def test_bands_are_taken_in_the_order_that_is_given_with_their_names() -> None:
    values, scales = np.arange(12).reshape(3, 2, 2), ((1.0, 0.0), (2.0, 0.0), (3.0, 0.0))
    place = Georeference("tiff", bands=("B2", "B3", "B4"), scales=scales)
    whole = Reading(values, Path("a.tif"), values > 8, "", place)
    found = whole.select((3, 1))
    assert np.array_equal(found.values, values[[2, 0]])
    assert found.missing is not None
    assert np.array_equal(found.missing, values[[2, 0]] > 8)
    assert found.georeference is not None
    assert found.georeference.bands == ("B4", "B2")
    assert found.georeference.scales == (scales[2], scales[0])
    assert whole.select(None) is whole
    with pytest.raises(ConfigError, match=r"has 3 bands, got --bands 4: count from 1"):
        whole.select((4,))


def test_a_list_of_numbers_is_read_or_refused() -> None:
    assert numbers_in("--bands", "4,3, 2", 1) == (4, 3, 2)
    assert numbers_in("--bands", (4, 3), 1) == (4, 3)
    assert numbers_in("--bands", None, 1) == ()
    for wrong in ("", "0", "1,,2", "one", "1.5", "-1"):
        with pytest.raises(ConfigError, match="--bands"):
            numbers_in("--bands", wrong, 1)


def test_a_part_is_what_stands_in_brackets_at_the_end(tmp_path: Path) -> None:
    assert parted("a/obs.fits[SCI,2]") == (Path("a/obs.fits"), "SCI,2")
    assert parted("obs.fits [ 1 ]") == (Path("obs.fits"), "1")
    for name in ("obs.fits", "obs[1].fits", "obs.fits[]"):
        assert parted(name) == (Path(name), "")
    (tmp_path / "a.npy[1]").touch()
    assert parted(tmp_path / "a.npy[1]") == (tmp_path / "a.npy[1]", "")
