"""Places of the truth, intervals, and which draws are looked at."""

import pytest
import torch

from noisewalk.sampling.scores import coverage_near, evenly, inside, places, scored


def test_draws_are_spread_over_the_chains_and_along_them():
    draws = torch.arange(12.0).reshape(3, 4, 1)
    assert evenly(draws, 3).flatten().tolist() == [0, 6, 11]
    assert torch.equal(evenly(draws, 100).flatten(), torch.arange(12.0))
    assert evenly(draws[:, :0], 5).shape == (0, 1)


def test_pixels_are_compared_in_grey_levels_and_other_numbers_as_they_are():
    truth = torch.full((1, 1, 1), -1.0)
    nearly = torch.full((4, 1, 1, 1), -0.9999)
    assert [int(v) for v in places(nearly, truth)] == [0, 4]
    assert [int(v) for v in places(nearly.reshape(4, 1), truth.reshape(1))] == [0, 0]


def test_equal_draws_hold_the_truth_with_the_nominal_probability():
    flat = torch.zeros(9, 1, 2, 2)
    for cut in (1, 2, 3):
        share = float(inside(flat, flat[0], cut).mean())
        assert share == pytest.approx((10 - 2 * cut) / 10)


def test_exact_draws_cover_at_the_nominal_rate():
    x = torch.randn(33, 20_000, generator=torch.Generator().manual_seed(0))
    share, nominal = coverage_near(x[1:], x[0])
    assert abs(nominal - 0.9) < 0.03
    assert abs(share - nominal) < 5 * (nominal * (1 - nominal) / 20_000) ** 0.5


def test_small_and_single_draws_have_fewer_scores():
    one = torch.zeros(1, 1, 1, 6, 6)
    assert set(scored(one, one[0, 0])) == {"psnr"}
    pair = torch.zeros(1, 2, 3)
    assert set(scored(pair, pair[0, 0])) == {"energy_score", "coverage", "coverage_nominal"}
