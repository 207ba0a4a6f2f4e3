import numpy as np
import pytest

from noisewalk.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", np.zeros((8, 8))),
        ("std", np.zeros((1, 8, 7))),
        ("truth", np.zeros((3, 8, 8))),
        ("samples", np.zeros((3, 1, 8, 8))),
        ("nll", np.zeros((2, 40))),
        ("acceptance_rate", np.zeros(40)),
        ("log_posterior", np.zeros((4, 40))),
        ("observed", np.zeros((5, 8, 8), bool)),
        ("residual", np.zeros((1, 4, 4))),
        ("value_range", (1.0, 1.0, "K")),
        ("value_range", (0.0, float("nan"), "K")),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(make, name, value):
    with pytest.raises(ConfigError) as error:
        make(**{name: value})
    assert "give" in str(error.value)
    assert "\n" not in str(error.value)


def test_observed_and_finite_is_measured(make):
    y = np.zeros((1, 8, 8))
    y[0, 0, 0] = np.nan
    measured = make(measurement=y, observed=np.array([True] * 7 + [False])).measured
    assert measured.sum() == 55
    assert not measured[0, 0, 0]
    assert make(measurement=y).measured.sum() == 63


def test_an_inverted_range_has_a_positive_scale(make):
    assert make(value_range=(320.0, 180.0, "K")).scale == 70.0


def test_the_representation_is_short(make):
    assert (
        repr(make())
        == "ReportData('A problem', x=(1, 8, 8), y=(1, 8, 8), chains=3, draws=40, shown=2)"
    )
