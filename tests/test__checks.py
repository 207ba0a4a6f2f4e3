"""One set of argument checks."""

import math

import numpy as np
import pytest
import torch

from noisewalk._checks import one_of, real, seed_of, whole
from noisewalk.errors import ConfigError


def test_whole_numbers_of_every_kind_become_int() -> None:
    for value in (3, np.int64(3), np.uint8(3), torch.tensor(3), np.array(3)):
        found = whole("n", value)
        assert found == 3
        assert type(found) is int
    for value in (3.0, True, np.bool_(True), torch.tensor(True), "3", None, torch.tensor([3]), 0):
        with pytest.raises(ConfigError, match="n must be a whole number of at least 1, got"):
            whole("n", value)
    with pytest.raises(ConfigError, match="n must be a whole number from 2 to 4, got 5"):
        whole("n", 5, 2, 4)
    assert seed_of((1 << 56) - 1) == (1 << 56) - 1
    for value in (-1, 1 << 56):
        with pytest.raises(ConfigError, match="seed must be a whole number from 0 to"):
            seed_of(value)


def test_real_numbers_of_every_kind_become_float() -> None:
    for value in (1, 1.0, np.float32(1), np.int8(1), torch.tensor(1.0), torch.tensor(1)):
        found = real("s", value, above=0, most=1)
        assert found == 1.0
        assert type(found) is float
    for value in (0, 1.5, math.nan, math.inf, True, "1", None, torch.ones(1), 1j):
        with pytest.raises(ConfigError, match="s must be a finite number above 0 and of at most 1"):
            real("s", value, above=0, most=1)


def test_a_word_is_one_of_a_few() -> None:
    assert one_of("kind", "a", ("a", "b")) == "a"
    with pytest.raises(ConfigError, match="unknown kind 'c': choose one of a, b"):
        one_of("kind", "c", ("a", "b"))
