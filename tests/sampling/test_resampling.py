"""The arithmetic of tempered SMC."""

import math

import pytest
import torch
from linear_targets import normal

from noisewalk.sampling.resampling import correlation, evidence_error, next_step, systematic
from noisewalk.sampling.smc import FORGOTTEN


def test_an_evidence_without_resampling_noise_has_no_error_and_one_ancestor_the_largest() -> None:
    assert evidence_error(torch.arange(50).repeat(2, 1)).tolist() == [0, 0]
    assert float(evidence_error(torch.zeros(1, 50, dtype=torch.long))) == pytest.approx(
        math.sqrt(0.98)
    )


def test_the_next_temperature_keeps_the_share_of_the_sample_size() -> None:
    nll = 50 * normal(2, 200, seed=4).square()
    step = next_step(nll, torch.tensor([1.0, 1e-6], dtype=torch.float64), 0.5)
    weights = torch.softmax(-step[:1, None] * nll[:1], 1)
    assert float(1 / weights.square().sum()) / 200 == pytest.approx(0.5, abs=1e-6)
    assert float(step[1]) == 1e-6


def test_systematic_resampling_copies_each_particle_its_share_rounded_down_or_up() -> None:
    log_weights = normal(3, 40, seed=5)
    share = 40 * torch.softmax(log_weights, 1)
    for k in range(5):
        index = systematic(log_weights, torch.full((3,), (k + 0.5) / 5, dtype=torch.float64))
        counts = torch.stack([torch.bincount(row, minlength=40) for row in index])
        assert ((counts >= share.floor()) & (counts <= share.ceil())).all()
        assert (counts.sum(1) == 40).all()


def test_resampling_is_unbiased_over_its_offset() -> None:
    log_weights, offsets = (
        normal(1, 7, seed=6),
        (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000,
    )
    counts = (
        torch.stack(
            [torch.bincount(systematic(log_weights, u[None])[0], minlength=7) for u in offsets]
        )
        .double()
        .mean(0)
    )
    torch.testing.assert_close(counts, 7 * torch.softmax(log_weights, 1)[0], rtol=0, atol=2e-3)


def test_correlation_is_one_for_the_same_zero_for_fresh_and_per_image() -> None:
    before, fresh = normal(2, 4000, 5, seed=8), normal(2, 4000, 5, seed=9)
    half = math.sqrt(0.5)
    kept = correlation(before, torch.stack([before[0], half * before[1] + half * fresh[1]]))
    torch.testing.assert_close(
        kept, torch.tensor([1.0, half], dtype=torch.float64), rtol=0, atol=5 / math.sqrt(4000)
    )
    assert float(correlation(before, fresh).abs().max()) < min(FORGOTTEN, 5 / math.sqrt(4000))
    still = torch.ones(1, 10, 3, dtype=torch.float64)
    assert float(correlation(still, still)) == 0.0  # what does not vary has nothing to forget
