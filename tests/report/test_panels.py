"""The pictures of a report: measurement, mean and uncertainty, each with its scale."""

import numpy as np
import pytest
from page_reader import Page

from noisewalk.report import render
from noisewalk.report.contrast import stretch
from noisewalk.report.panels import STILL


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
    alpha = np.asarray(picture(page, "Measurement"))[..., 3]
    np.testing.assert_array_equal(alpha == 255, observed[0])
    assert "24 of 64 observed" in page.text
    assert "Hatched" in page.text


def test_colour_bars_are_in_the_users_unit(make):
    data = make(std=np.full((1, 8, 8), 0.25), value_range=(180.0, 320.0, "K"))
    alts = list(Page(render(data)).pictures())
    # 0.25 * 70 K = 17.5 K, rounded up to two digits
    assert "Uncertainty: scale from 0 to 18 K" in alts
    mean = next(alt for alt in alts if alt.startswith("Mean"))
    assert mean.endswith("K")


def test_truth_mean_and_draws_share_one_stretch(make):
    x = np.linspace(-1, 1, 3 * 8 * 6).reshape(3, 8, 6)
    data = make(shape=(3, 8, 6), truth=x, measurement=np.zeros((3, 4, 3)))
    page, (low, high) = Page(render(data)), stretch(data)
    for name, values in (("Truth", x), ("Mean", data.mean), ("Draw 1", data.samples[0, 0])):
        wanted = np.rint(255 * np.clip((values - low) / (high - low), 0, 1))
        np.testing.assert_array_equal(np.asarray(picture(page, name)), np.moveaxis(wanted, 0, -1))
    assert picture(page, "Measurement").size == (3, 4)


def test_pixels_that_are_not_finite_become_transparent(make):
    data = make()
    data.mean[0, 2, 3] = np.nan
    alpha = np.asarray(picture(Page(render(data)), "Mean"))[..., 3]
    assert alpha[2, 3] == 0
    assert (alpha == 0).sum() == 1


def test_pictures_for_readers_without_a_script_are_small(make):
    data = make((1, 2 * STILL, STILL))
    assert picture(Page(render(data)), "Mean").size == (STILL // 2, STILL)


def picture(page, name):
    return next(image for alt, image in page.pictures().items() if alt.startswith(name))
