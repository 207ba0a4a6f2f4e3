"""PSNR and SSIM: closed forms, the definition, and independence of the batch."""

import math

import numpy as np
import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.evaluate.metrics import psnr, ssim

METRICS = [psnr, ssim]


def images(batch=3, channels=2, height=14, width=12, seed=0):
    return (
        torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(seed))
        * 2
        - 1
    )


def test_psnr_of_a_constant_shift():
    truth = torch.zeros(3, 3, 8, 8)
    shift = torch.tensor([0.02, 0.2, 1.0])
    got = psnr(truth + shift[:, None, None, None], truth)
    torch.testing.assert_close(
        got, -20 * torch.log10(shift.double() / 2), rtol=1e-7, atol=0
    )  # torchmetrics' ln 10 is float32
    assert got.dtype == torch.float64


def test_ssim_of_constant_images():
    a, b = 0.7, 0.2  # on [0, 1]
    got = ssim(
        torch.full((2, 1, 11, 11), 2 * a - 1, dtype=torch.float64),
        torch.full((2, 1, 11, 11), 2 * b - 1, dtype=torch.float64),
    )
    expected = (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4)
    torch.testing.assert_close(
        got, torch.full((2,), expected, dtype=torch.float64), rtol=1e-10, atol=0
    )


def test_ssim_is_its_definition():
    x, truth = images(1), images(1, seed=1)
    offsets = torch.arange(-5, 6)
    line = torch.exp(-(offsets.double() ** 2) / (2 * 1.5**2))
    window = torch.outer(line, line) / line.sum() ** 2

    def mirrored(i, size):
        return size - 1 - abs(size - 1 - abs(i))

    total, count = 0.0, 0
    a, b = ((t[0].double() + 1) / 2 for t in (x, truth))
    for c in range(2):
        for i in range(14):
            for j in range(12):
                index = (
                    torch.tensor([mirrored(i + int(o), 14) for o in offsets]),
                    torch.tensor([mirrored(j + int(o), 12) for o in offsets]),
                )
                p, q = (t[c][index[0]][:, index[1]] for t in (a, b))
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq, cov = (
                    (window * (p - mp) ** 2).sum(),
                    (window * (q - mq) ** 2).sum(),
                    (window * (p - mp) * (q - mq)).sum(),
                )
                total += (
                    (2 * mp * mq + 1e-4)
                    * (2 * cov + 9e-4)
                    / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4))
                )
                count += 1
    torch.testing.assert_close(ssim(x, truth), (total / count)[None], rtol=1e-10, atol=0)


def test_equal_images_are_perfect():
    x = images()
    assert (psnr(x, x) == math.inf).all()
    torch.testing.assert_close(ssim(x, x), torch.ones(3, dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize("metric", METRICS)
def test_values_outside_the_range_are_clipped_for_scoring_only(metric):
    x, truth = images() * 1.5, images(seed=1)
    before = x.clone()
    assert torch.equal(metric(x, truth), metric(x.clamp(-1, 1), truth))
    assert torch.equal(x, before)


@pytest.mark.parametrize("metric", METRICS)
def test_row_does_not_see_its_neighbours(metric):
    x, truth = images(), images(seed=1)
    alone = metric(x[1:2], truth[1:2])
    x[0] = math.nan
    torch.testing.assert_close(metric(x, truth)[1:2], alone, rtol=1e-12, atol=0)


@pytest.mark.parametrize("metric", METRICS)
def test_one_truth_serves_many_samples(metric):
    x, truth = images(), images(1, seed=1)
    expected = metric(x, truth.expand_as(x))
    assert torch.equal(metric(x, truth), expected)
    assert torch.equal(metric(x, truth[0]), expected)


@pytest.mark.parametrize("metric", METRICS)
def test_more_noise_scores_lower(metric):
    truth = images(1) * 0.5
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(2))
    scores = metric(
        torch.cat([truth + 0.02 * noise, truth + 0.1 * noise, truth + 0.3 * noise]), truth
    )
    assert scores[0] > scores[1] > scores[2]


def test_sides_below_the_window_are_refused():
    x = images(height=10)
    assert psnr(x, x).shape == (3,)
    with pytest.raises(ConfigError, match="at least 11 pixels"):
        ssim(x, x)


@pytest.mark.parametrize("metric", METRICS)
def test_shapes_and_types_that_do_not_fit_are_refused(metric):
    x = images()
    for bad in (x[:2], x[:, :1], x[..., 1:], x[0, 0]):
        with pytest.raises(ConfigError, match="truth"):
            metric(x, bad)
    with pytest.raises(ConfigError, match="floating"):
        metric(x[0], x[0])
    with pytest.raises(ConfigError, match="floating"):
        metric((x > 0).to(torch.uint8), x)


def test_images_on_another_scale_or_of_another_kind_are_refused():
    x = torch.zeros(1, 1, 16, 16)
    with pytest.raises(ConfigError, match=r"in \[-1, 1\], got 255 to 255"):
        psnr(x, x + 255)
    with pytest.raises(ConfigError, match="torch tensors, got Tensor and ndarray"):
        psnr(x, np.zeros((1, 1, 16, 16), np.float32))
