"""The pictures of a report: measurement, mean and uncertainty, each with its scale."""

import numpy as np
import pytest
from page_reader import Page

from noisewalk.report import render


@pytest.mark.parametrize(
    "shape", [(), (50,), (5, 7), (2, 3, 4, 5), (1, 6, 6), (2, 6, 6), (3, 6, 6), (5, 6, 6)]
)
def test_a_measurement_of_any_shape_is_shown(make, shape):
    y = np.random.default_rng(1).poisson(20, shape).astype(float)
    page = Page(render(make(measurement=y, measurement_unit="counts", residual=np.zeros(shape))))
    assert "Measurement" in page.text
    assert "counts" in page.text
    pictures = [alt for alt in page.pictures() if alt.startswith("Measurement")]
    assert len(pictures) == (len(shape) >= 2)


def test_unobserved_entries_are_transparent_whatever_they_hold(make):
    observed = np.zeros((1, 8, 8), bool)
    observed[0, :, :3] = True
    y = np.where(observed, 0.0, np.nan)
    page = Page(render(make(measurement=y, observed=observed)))
    alpha = np.asarray(page.pictures()["Measurement: 8 × 8 pixels, scale from −1 to 1"])[..., 3]
    np.testing.assert_array_equal(alpha == 255, observed[0])
    assert "24 of 64 observed" in page.text
    assert "Hatched" in page.text


def test_colour_bars_are_in_the_users_unit(make):
    data = make(std=np.full((1, 8, 8), 0.25), value_range=(180.0, 320.0, "K"))
    pictures = Page(render(data)).pictures()
    assert (
        "Uncertainty: 8 × 8 pixels, scale from 0 to 18 K" in pictures
    )  # 0.25 * 70 K = 17.5 K, rounded up to two digits
    assert "Mean: 8 × 8 pixels, scale from 180 to 320 K" in pictures
