"""Means over images with their standard errors, and the check of samples."""

import math

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.evaluate.metrics import mean_and_se
from noisewalk.evaluate.metrics.samples import checked_samples


def test_mean_and_error_of_independent_images():
    values = torch.tensor([1.0, 2.0, 4.0])
    mean, error = mean_and_se(values)
    assert mean == pytest.approx(7 / 3)
    assert error == pytest.approx(
        math.sqrt(((1 - 7 / 3) ** 2 + (2 - 7 / 3) ** 2 + (4 - 7 / 3) ** 2) / 2 / 3)
    )


def test_an_images_own_samples_do_not_make_the_error_smaller():
    values = torch.rand(6, generator=torch.Generator().manual_seed(0))
    expected = mean_and_se(values)
    assert mean_and_se(values[:, None].repeat(1, 50)) == pytest.approx(expected)
    assert mean_and_se(values[:, None, None].repeat(1, 5, 2)) == pytest.approx(expected)


def test_the_error_covers():
    """Over many repetitions the mean lies within 1.96 errors (t: 2.093 for 20 images) in 95 %."""
    repetitions, images = 2000, 20
    values = torch.randn(
        repetitions, images, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    inside = torch.tensor(
        [abs(mean) < 2.093 * error for mean, error in (mean_and_se(row) for row in values)]
    )
    assert abs(float(inside.double().mean()) - 0.95) < 5 * math.sqrt(0.95 * 0.05 / repetitions)


def test_one_image_has_no_error_and_nan_is_kept():
    mean, error = mean_and_se(torch.tensor([3.0]))
    assert mean == 3
    assert math.isnan(error)
    assert all(math.isnan(v) for v in mean_and_se(torch.tensor([1.0, math.nan])))
    for bad in (torch.tensor(1.0), torch.zeros(0), torch.zeros(3, 0)):
        with pytest.raises(ConfigError, match="at least one value"):
            mean_and_se(bad)


def test_other_shapes_types_and_numbers_of_samples_are_refused():
    good = torch.zeros(2, 3, 1, 4, 4, requires_grad=True)
    assert not checked_samples(good).requires_grad
    for bad in (good[0], good.to(torch.int64), good[:0], good[:, :0]):
        with pytest.raises(ConfigError, match=r"\(image, sample, C, H, W\)"):
            checked_samples(bad)
    with pytest.raises(ConfigError, match="at least 4 samples per image, got 3"):
        checked_samples(good, 4)
