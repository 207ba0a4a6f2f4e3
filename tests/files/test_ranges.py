"""Values into the scale of [-1, 1] and back."""

import numpy as np
import pytest
import torch
from file_samples import EPS, equal, noise

from noisewalk.errors import ConfigError
from noisewalk.files.ranges import ValueRange

RANGES = [
    ValueRange(-1, 1),
    ValueRange(0, 255),
    ValueRange(0, 65535),
    ValueRange(-32768, 32767),
    ValueRange(0.0, 1.0),
    ValueRange(-300.5, 1200.25),
]


def test_every_small_integer_survives_the_way_there_and_back() -> None:
    for dtype in ("uint8", "int8", "uint16", "int16"):
        info = np.iinfo(dtype)
        values = np.arange(info.min, info.max + 1).astype(dtype)
        unit = ValueRange.of(values.dtype)
        x = unit.to_unit(values)
        assert (x[0], x[-1]) == (-1, 1)
        assert torch.equal(unit.from_unit(x).round(), torch.from_numpy(values.astype(np.float64)))


def test_floats_survive_the_way_there_and_back_to_float32_precision() -> None:
    for unit in RANGES:
        values = np.random.default_rng(0).uniform(unit.low - 1, unit.high + 1, 1000)
        back = unit.from_unit(unit.to_unit(values)).numpy()
        x_max = 1 + 2 / (unit.high - unit.low)
        assert np.abs(back - values).max() <= 2 * EPS * x_max * (unit.high - unit.low) / 2


def test_the_range_minus_one_to_one_changes_nothing() -> None:
    values = np.concatenate(
        [noise(100), noise(100) * np.float32(1e6), noise(100) * np.float32(1e-30)]
    )
    unit = ValueRange(-1, 1)
    assert equal(unit.to_unit(values), values)
    assert torch.equal(unit.from_unit(unit.to_unit(values)).float(), torch.from_numpy(values))


def test_a_shift_by_sigma_in_the_files_unit_is_a_shift_by_the_scaled_sigma() -> None:
    for unit in RANGES:
        values = np.linspace(unit.low, unit.high, 50)
        sigma = (unit.high - unit.low) / 37
        shift = unit.to_unit(values + sigma).double() - unit.to_unit(values).double()
        assert unit.scale_sigma(sigma) == pytest.approx(2 / 37, rel=1e-12)
        assert (shift - unit.scale_sigma(sigma)).abs().max() <= 2 * EPS * (1 + 2 / 37)
        assert torch.equal(
            unit.scale_sigma(torch.tensor([sigma], dtype=torch.float64)),
            torch.tensor([unit.scale_sigma(sigma)], dtype=torch.float64),
        )


def test_an_impossible_range_names_the_option() -> None:
    for low, high in ((1, 1), (2, 1), (float("nan"), 1), (0, float("inf")), (-1.8e308, 1.8e308)):
        with pytest.raises(ConfigError, match="--range"):
            ValueRange(low, high)
