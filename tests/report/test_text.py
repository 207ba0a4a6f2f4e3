import pytest

from noisewalk.report.text import duration, number, shown, with_unit


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567, "1234567"),
        (33450.26, "33450"),
        (10.0, "10"),
        (-0.25, "−0.25"),
        (1.23456, "1.235"),
        (1.5e-7, "1.5 × 10⁻⁷"),
        (-2.5e12, "−2.5 × 10¹²"),
        (True, "yes"),
    ],
)
def test_numbers_are_short_and_exact_where_whole(value, text):
    assert number(value) == text


def test_units_may_be_empty():
    assert with_unit(2.0, "") == "2"
    assert with_unit(2.0, "K") == "2 K"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "0.25 s"),
        (99.0, "99 s"),
        (1874.3, "31 min 14 s"),
        (3599.9, "1 h 0 min"),
        (7500.0, "2 h 5 min"),
    ],
)
def test_durations_have_two_units(seconds, text):
    assert duration(seconds) == text


def test_the_missing_is_a_dash():
    assert shown("nfe", None) == "–"
    assert shown("device", "cpu") == "cpu"
