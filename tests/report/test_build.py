"""What a report says beyond the numbers of the summary."""

import math

import pytest

from noisewalk.report.build import _conditioning


@pytest.mark.parametrize(("value", "says"), [(0.4, "well-conditioned"), (7.0, "ill-conditioned")])
def test_the_condition_number_is_judged(value: float, says: str) -> None:
    text = _conditioning(value)
    assert f", {says}" in text
    assert f"below {0.5 * math.exp(-value):.1g}" in text  # 2 kappa eps = 1


def test_a_condition_number_beyond_any_float_is_said_to_be() -> None:
    assert "too small to write" in _conditioning(2000.0)
