import re

import numpy as np
import pytest

from noisewalk.report import plots


def lines(html):
    found = re.findall(r'class="line c\d" d="([^"]*)"', html)
    return [
        [(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.e+]+) ([-\d.e+]+)", d)]
        for d in found
    ]


def test_points_lie_where_the_values_are():
    (points,) = lines(plots.trace(np.array([[0.0, 2.0, 1.0]]), "v", limits=(0.0, 4.0)))
    assert points == [(0.0, 1000.0), (500.0, 500.0), (1000.0, 750.0)]


def test_a_value_that_is_not_finite_breaks_the_line():
    html = plots.trace(np.array([[0.0, np.nan, 1.0, 2.0, np.inf]]), "v")
    assert re.findall(r'class="line c0" d="([^"]*)"', html)[0].count("M") == 2


def test_long_traces_are_thinned_without_losing_an_excursion():
    values = np.zeros((1, 20_000))
    values[0, 12_345], values[0, 777] = 5.0, -3.0
    (points,) = lines(plots.trace(values, "v", limits=(-3.0, 5.0)))
    assert len(points) <= plots.MAX_POINTS
    assert {y for _, y in points} == {0.0, 625.0, 1000.0}


@pytest.mark.parametrize("level", [0.0, -1e6, 3e-9, 12345.678])
def test_a_constant_trace_is_a_level_line(level):
    (points,) = lines(plots.trace(np.full((1, 5), level), "v"))
    assert {y for _, y in points} == {500.0}


def test_nothing_finite_is_said():
    assert "no finite value" in plots.trace(np.full((2, 3), np.nan), "v")


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-3.0, 17.0), (1e-7, 3e-7), (12345.6, 12345.9), (-2e8, 5e8)]
)
def test_ticks_are_round_few_and_inside(low, high):
    ticks = plots.ticks(low, high)
    assert 2 <= len(ticks) <= 5
    step = ticks[1] - ticks[0]
    eps = 1e-9 * (high - low)
    assert low - eps <= ticks[0] <= ticks[-1] <= high + eps
    mantissa = step / 10.0 ** np.floor(np.log10(step * 1.0001))
    assert (
        min(abs(mantissa - m) for m in (1.0, 2.0, 5.0)) < 1e-3
    )  # differences of float64 multiples near 12345
    labels = re.findall(
        r"<span style=\"bottom[^>]*>([^<]*)<",
        plots.trace(np.array([[low, high]]), "v", limits=(low, high)),
    )
    assert len(set(labels)) == len(labels) == len(ticks)


def test_the_running_mean_is_a_mean_over_what_is_there():
    values = np.array([[1.0, 2.0, np.nan, 4.0, 9.0]])
    np.testing.assert_allclose(plots.running_mean(values, 3), [[1.5, 1.5, 3.0, 6.5, 6.5]])
    np.testing.assert_array_equal(plots.running_mean(values[:, :2], 1), values[:, :2])
