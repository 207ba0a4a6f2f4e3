"""The constructors' checks: what lies at and beyond each bound."""

import math
from typing import Any

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.priors.train.checks import check_above, check_kind, check_network, check_whole


@pytest.mark.parametrize("value", [1, 2, 2**32 - 1])
def test_whole_numbers_up_to_32_bits_are_allowed(value: int) -> None:
    check_whole("count", value, 1)


@pytest.mark.parametrize("value", [0, 2**32, 1.0, True, "3", None])
def test_anything_else_than_a_whole_number_in_range_is_named(value: Any) -> None:
    with pytest.raises(ConfigError) as error:
        check_whole("count", value, 1)
    assert str(error.value) == f"count must be a whole number from 1 to 4294967295, got {value!r}"


@pytest.mark.parametrize("value", [1e-300, 3, 1e300])
def test_finite_numbers_above_the_bound_are_allowed(value: float) -> None:
    check_above("huber", value, 0.0)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, True, "3", None])
def test_anything_else_than_a_finite_number_above_the_bound_is_named(value: Any) -> None:
    with pytest.raises(ConfigError) as error:
        check_above("huber", value, 0.0)
    assert str(error.value) == f"huber must be a finite number above 0, got {value!r}"


@pytest.mark.parametrize(
    "network",
    [
        (32, (64, 96, 128), (2,), 2),
        (8, (32,), (), 1),
        (12, (32, 32), (0, 1), 3),
        (64, (96, 160), (1,), 4),
    ],
    ids=lambda network: str(network),
)
def test_networks_that_can_be_built_are_allowed(network: Any) -> None:
    check_network(*network)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ((32, (33,), (), 1), "widths must be multiples of 32, such as 64,96,128, got 33"),
        ((32, (64, 80), (), 1), "multiples of 32.*got 64,80"),
        ((32, (0,), (), 1), "multiples of 32.*got 0"),
        ((32, (-32,), (), 1), "multiples of 32.*got -32"),
        ((32, (), (), 1), "at least one level"),
        ((32, (32, 64), (2,), 1), "attention must name levels from 0 to 1.*got 2"),
        ((32, (32,), (-1,), 1), "attention.*got -1"),
        ((32, (32,), (), 0), "unshuffle must be a whole number from 1"),
        ((0, (32,), (), 1), "size must be a whole number from 1"),
        (
            (30, (32, 64), (), 2),
            "size must be a multiple of 4 .unshuffle 2, halved 1 times.*got 30",
        ),
        ((9, (32,), (), 2), "size must be a multiple of 2.*got 9"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_networks_that_cannot_be_built_are_told(network: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_network(*network)


def test_a_denoiser_of_another_kind_is_named(play) -> None:
    check_kind("teacher", play("edm", torch.mul), "edm")
    with pytest.raises(
        ConfigError, match="teacher must be a denoiser of kind 'edm', got one of kind 'consistency'"
    ):
        check_kind("teacher", play("consistency", torch.mul), "edm")
