"""Noise levels: numbers and maps, in the unit of the file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from file_samples import npy, tifffile

from noisewalk.errors import ConfigError
from noisewalk.files.levels import is_file, noise_level
from noisewalk.files.ranges import ValueRange

SHAPE, UNIT = (2, 3, 4), ValueRange(0.0, 4.0)
SEEN = torch.ones(SHAPE, dtype=torch.bool)


def test_a_number_is_scaled_by_half_the_range() -> None:
    for level in (0.5, "0.5", np.float32(0.5), torch.tensor(0.5)):
        assert noise_level(level, False, SHAPE, UNIT, SEEN) == 0.25
        assert not is_file(level)
    assert noise_level(0.25, True, SHAPE, UNIT, SEEN) == 0.25
    for level in (0, -1.0, "nan", "inf"):
        with pytest.raises(ConfigError, match="--sigma-y"):
            noise_level(level, False, SHAPE, UNIT, SEEN)


def test_a_map_is_read_scaled_and_broadcast(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).uniform(0.1, 1.0, SHAPE)
    path = npy(tmp_path / "s.npy", levels)
    assert is_file(path)
    for level in (path, str(path), levels, torch.from_numpy(levels)):
        found = noise_level(level, False, SHAPE, UNIT, SEEN)
        assert torch.equal(found, torch.from_numpy(levels / 2).float())
    squared = noise_level(levels**2, True, SHAPE, UNIT, SEEN)
    torch.testing.assert_close(squared, torch.from_numpy(levels / 2).float())
    plane = noise_level(npy(path, levels[0]), False, SHAPE, UNIT, SEEN)
    assert torch.equal(plane, torch.from_numpy(levels[:1] / 2).float().expand(SHAPE))
    by_band = ValueRange((0.0, 0.0), (4.0, 8.0))
    assert noise_level(0.5, False, SHAPE, by_band, SEEN).flatten().tolist() == [0.25, 0.125]


def test_levels_that_are_none_are_refused_where_they_are_read(tmp_path: Path) -> None:
    levels, seen = np.ones(SHAPE), SEEN.clone()
    levels[0, 0] = 0.0, np.nan, -1.0, np.inf
    with pytest.raises(ConfigError, match=r"s.npy: 4 of 24 observed entries.*--missing"):
        noise_level(npy(tmp_path / "s.npy", levels), False, SHAPE, UNIT, seen)
    seen[0, 0] = False
    found = noise_level(tmp_path / "s.npy", False, SHAPE, UNIT, seen)
    assert torch.equal(found, torch.where(seen, 0.5, 1.0))
    levels[0, 0] = -9999.0, 1.0, 1.0, 1.0
    gap = {"extratags": [(42113, "s", 0, "-9999", True)], "metadata": None}
    gap["photometric"] = "minisblack"
    tifffile.imwrite(tmp_path / "s.tif", levels.astype(np.float32), **gap)
    with pytest.raises(ConfigError, match=r"s.tif: 1 of 24 observed entries"):
        noise_level(tmp_path / "s.tif", False, SHAPE, UNIT, SEEN)
    with pytest.raises(ConfigError, match=r"shape \(1, 4, 3\), but the measurement has"):
        noise_level(npy(tmp_path / "t.npy", np.ones((4, 3))), False, SHAPE, UNIT, seen)
