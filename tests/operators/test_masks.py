import math

import numpy as np
import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.operators import BoxInpainting, CloudInpainting, MaskInpainting, RandomInpainting
from noisewalk.operators.masks import smooth_field


def test_random_mask_keeps_exactly_the_rounded_share():
    for keep in [0.01, 0.1, 0.2, 0.5, 0.999, 1.0]:
        for shape in [(3, 16, 9), (16, 9)]:
            observed = RandomInpainting(keep, shape).observed
            assert observed.shape == (16, 9)
            assert observed.sum() == round(keep * 144)


def test_random_mask_depends_on_the_seed_only():
    mask = RandomInpainting(0.2, (3, 16, 16), seed=5).observed
    torch.manual_seed(1)
    assert torch.equal(mask, RandomInpainting(0.2, (1, 16, 16), seed=5).observed)
    assert not torch.equal(mask, RandomInpainting(0.2, (3, 16, 16), seed=6).observed)
    assert RandomInpainting(0.2, (3, 16, 16), 5) == RandomInpainting(0.2, [3, 16, 16], 5)


def test_a_larger_share_keeps_what_a_smaller_one_keeps():
    small, large = (RandomInpainting(keep, (16, 16), seed=3).observed for keep in (0.2, 0.6))
    assert (large | ~small).all()


def test_every_pixel_is_kept_equally_often():
    seeds, keep = 400, 0.25
    share = (
        sum(RandomInpainting(keep, (4, 5), seed=s).observed.double() for s in range(seeds)) / seeds
    )
    error = math.sqrt(keep * (1 - keep) / seeds)
    assert (share - keep).abs().max() < 4.5 * error


def test_clouds_hide_exactly_their_share_and_more_of_them_hide_the_same_and_more():
    small, large = (
        CloudInpainting(share, (3, 16, 9), 3.0, seed=3).observed for share in (0.2, 0.6)
    )
    assert [int((~mask).sum()) for mask in (small, large)] == [round(0.2 * 144), round(0.6 * 144)]
    assert (small | ~large).all()
    assert torch.equal(small, CloudInpainting(0.2, (16, 9), 3.0, seed=3).observed)
    assert not torch.equal(small, CloudInpainting(0.2, (16, 9), 3.0, seed=4).observed)


def test_long_clouds_are_in_fewer_pieces():
    def edges(length):
        hidden = ~CloudInpainting(0.4, (64, 64), length).observed
        return int((hidden[1:] != hidden[:-1]).sum() + (hidden[:, 1:] != hidden[:, :-1]).sum())

    assert edges(16.0) < edges(4.0) < edges(1.0)


def test_the_smooth_field_has_the_stated_spectrum():
    fields = torch.stack([smooth_field((16, 16), 2.0, seed) for seed in range(600)])
    power = torch.fft.fft2(fields).abs().square().mean(0) / 256
    k = 2 * math.pi * torch.fft.fftfreq(16, dtype=torch.float64)
    expected = (1 + 4.0 * (k[:, None] ** 2 + k**2)) ** -2.5
    real = torch.ones(16, 16)
    real[::8, ::8] = 2**0.5  # these four coefficients are real: their square varies more
    assert (((power / expected - 1) * 600**0.5) / real).abs().max() < 4.5


def test_clouds_out_of_range_are_refused():
    for share, length in [
        (0.0, 8.0),
        (1.0, 8.0),
        (1.5, 8.0),
        (0.001, 8.0),
        (0.999, 8.0),
        (0.4, 0.0),
        (0.4, 81.0),
        (0.4, math.inf),
    ]:
        with pytest.raises(ConfigError, match="CloudInpainting"):
            CloudInpainting(share, (1, 8, 8), length)


def test_the_box_is_hidden_and_nothing_else():
    y = BoxInpainting(1, 2, 3, 4)(torch.ones(2, 3, 6, 8))
    assert (y[..., 1:4, 2:6] == 0).all()
    assert y.sum() == 2 * 3 * (6 * 8 - 3 * 4)


def test_the_box_knows_its_mask_for_any_size_and_keeps_no_state():
    box = BoxInpainting(0, 0, 2, 2)
    assert not hasattr(box, "observed")
    box(torch.zeros(1, 3, 5, 6))
    assert not hasattr(box, "observed")
    assert box.observed_for((1, 7, 4)).shape == (7, 4)
    assert box == BoxInpainting(0, 0, 2, 2)


def test_ones_of_a_mask_are_observed():
    for shape in [(4, 5), (1, 4, 5), (3, 4, 5)]:
        for kind in [torch.bool, torch.float32, torch.uint8]:
            mask = (torch.arange(math.prod(shape)) % 3 == 0).reshape(shape)
            x = torch.full((2, 3, 4, 5), 2.0)
            for given in (mask.to(kind), mask.to(kind).numpy()):
                operator = MaskInpainting(given)
                assert torch.equal(operator(x), 2.0 * mask.expand(3, 4, 5).expand(2, -1, -1, -1))
                assert torch.equal(operator.observed, mask)


def test_mask_keeps_its_own_copy():
    mask = np.ones((2, 2), bool)
    operator = MaskInpainting(mask)
    mask[:] = False
    assert operator.observed.all()


def test_hidden_entries_may_be_nan_without_reaching_values_or_gradients():
    for operator in [
        RandomInpainting(0.5, (1, 4, 4)),
        BoxInpainting(0, 0, 2, 2),
        MaskInpainting(np.eye(4)),
    ]:
        hidden = ~operator.observed_for((1, 4, 4))
        x = torch.where(hidden, torch.nan, torch.ones(1, 1, 4, 4)).requires_grad_()
        y = operator(x)
        (gradient,) = torch.autograd.grad((y**2).sum(), x)
        assert torch.equal(y.detach(), (~hidden).float()[None, None])
        assert torch.equal(gradient, 2 * (~hidden).float()[None, None])


def test_bad_values_are_refused_by_name():
    for make, message in [
        (
            lambda: RandomInpainting(0.0, (1, 4, 4)),
            r"keep \(20 % is 0.2\) must be a finite number above 0 and of at most 1, got 0.0",
        ),
        (lambda: RandomInpainting(20, (1, 4, 4)), "got 20"),
        (lambda: RandomInpainting(float("nan"), (1, 4, 4)), "got nan"),
        (lambda: RandomInpainting(0.01, (1, 4, 4)), "keeps none of 16 pixels"),
        (lambda: RandomInpainting(0.5, (4,)), r"\(C, H, W\) or \(H, W\), got \(4,\)"),
        (lambda: RandomInpainting(0.5, 4), "got 4"),
        (
            lambda: RandomInpainting(0.5, (1, 4, 0)),
            "shape must be a whole number of at least 1, got 0",
        ),
        (lambda: RandomInpainting(0.5, (1, 4, 4), seed=-1), "seed.*got -1"),
        (lambda: RandomInpainting(0.5, (1, 4, 4), seed=0.5), "seed.*got 0.5"),
        (
            lambda: RandomInpainting(0.5, (1, 4, 4), seed=2**56),
            "seed must be a whole number from 0 to 72057594037927935",
        ),
        (
            lambda: RandomInpainting(0.5, (1, 4, 4))(torch.zeros(1, 3, 4, 4)),
            r"made for images of shape \(1, 4, 4\), got \(3, 4, 4\)",
        ),
        (lambda: BoxInpainting(-1, 0, 2, 2), "top must be a whole number of at least 0, got -1"),
        (lambda: BoxInpainting(0, 0, 0, 2), "height must be a whole number of at least 1, got 0"),
        (
            lambda: BoxInpainting(3, 0, 2, 2)(torch.zeros(1, 1, 4, 4)),
            r"rows 3 to 5, columns 0 to 2\) must lie inside the image, got 4 x 4",
        ),
        (
            lambda: BoxInpainting(0, 0, 4, 4)(torch.zeros(1, 1, 4, 4)),
            "hides the whole image of 4 x 4",
        ),
        (lambda: BoxInpainting(0, 0, 4, 4)(torch.zeros(4)), "needs images"),
        (lambda: MaskInpainting(np.ones(4)), r"2-D or 3-D array.*\(4,\)"),
        (lambda: MaskInpainting(np.full((4, 4), 255)), "only 1 .observed. and 0"),
        (lambda: MaskInpainting(torch.full((4, 4), torch.nan)), "only 1 .observed. and 0"),
        (lambda: MaskInpainting(np.zeros((4, 4))), "hides every pixel"),
        (
            lambda: MaskInpainting(np.ones((1, 4)))(torch.zeros(1, 1, 4, 4)),
            r"\(1, 4\) does not fit images of shape \(1, 4, 4\)",
        ),
        (
            lambda: MaskInpainting(np.ones((3, 4, 4)))(torch.zeros(1, 1, 4, 4)),
            r"\(3, 4, 4\) does not fit images of shape \(1, 4, 4\)",
        ),
        (
            lambda: MaskInpainting(np.ones((1, 4, 4)))(torch.zeros(1, 4, 4)),
            r"\(1, 4, 4\) does not fit images of shape \(4, 4\)",
        ),
    ]:
        with pytest.raises(ConfigError, match=message):
            make()
