"""Scores against the truth, of the mean and of single draws."""

import pytest
import torch

from noisewalk.report import scores


def test_draws_are_taken_evenly_from_the_first_to_the_last() -> None:
    draws = torch.arange(100.0).reshape(1, 1, 100, 1)
    assert scores.evenly(draws, 4).flatten().tolist() == [0.0, 33.0, 66.0, 99.0]
    assert scores.evenly(draws[:, :, :3], 25).flatten().tolist() == [0.0, 1.0, 2.0]


def test_the_mean_is_scored_by_itself_and_the_draws_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scores, "_has_lpips", lambda mean: False)
    truth = torch.zeros(1, 1, 16, 16)
    draws = torch.full((1, 2, 2, 1, 16, 16), 0.2)
    draws[:, 1] = -0.2  # the mean is the truth, no draw is
    found = scores.scores_of(draws, draws.mean((1, 2)) + 0.02, truth)
    assert set(found) == {"psnr", "psnr_draws", "ssim", "ssim_draws"}
    assert found["psnr"] == pytest.approx(40.0, abs=1e-3)  # 20 log10(2 / 0.02)
    assert found["psnr_draws"] == pytest.approx(20.0, abs=1e-3)


def test_what_cannot_be_scored_has_no_scores() -> None:
    draws = torch.zeros(1, 2, 2, 1, 16, 16)
    assert scores.scores_of(draws, draws.mean((1, 2)), None) == {}
    small = draws[..., :10]
    assert scores.scores_of(small, small.mean((1, 2)), small[:, 0, 0]) == {}
    flat = torch.zeros(1, 2, 2, 5)
    assert scores.scores_of(flat, flat.mean((1, 2)), flat[:, 0, 0]) == {}
