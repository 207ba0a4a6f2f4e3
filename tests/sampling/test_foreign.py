"""Anybody's draws, judged by a target and a truth."""

import math

import numpy as np
import pytest
import torch
from picture_runs import SHAPE, SIGMA, exact

import noisewalk as nw
from noisewalk.errors import ConfigError


@pytest.fixture(scope="module")
def given():
    return exact(images=2)


def test_the_target_gives_chi_square_and_the_misfit_of_every_draw(given):
    draws, target, _ = given
    calls = target.nfe
    run = nw.Run(draws, target)
    assert target.nfe == calls  # A and the likelihood alone
    expected = ((target.y[:, None, None] - draws).double() / SIGMA).square().flatten(3).mean(3)
    assert torch.allclose(run.arrays["chi2"], expected)
    nll = target.likelihood.nll(draws[1, :, 2], target.y[1].expand(4, *SHAPE))
    assert torch.allclose(run.nll[1, :, 2], nll)
    assert torch.equal(run.y, target.y)
    assert run.summary()["chi2"] == pytest.approx(float(expected.mean()))


def test_the_truth_gives_the_scores(given):
    draws, target, truth = given
    summary = nw.Run(draws.numpy(), target, truth.numpy()).summary()
    best = nw.metrics.psnr(draws.double().mean((1, 2)), truth.double())
    assert summary["psnr"] == pytest.approx(float(best.mean()))
    assert summary["coverage_nominal"] == pytest.approx(0.879, abs=0.01)  # of 32 draws
    # 288 independent pixels: five standard errors
    error = 5 * math.sqrt(0.88 * 0.12 / 288)
    assert abs(summary["coverage"] - summary["coverage_nominal"]) < error


def test_draws_too_narrow_do_not_cover():
    draws, target, truth = exact(width=0.3)
    summary = nw.Run(draws, target, truth).summary()
    assert summary["coverage"] < summary["coverage_nominal"] - 0.2


def test_draws_that_do_not_fit_are_not_trusted(given):
    draws, target, _ = given
    summary = nw.Run(draws + 1.5, target).summary()
    assert summary["verdict"] == "do not trust"
    assert "chi-square" in summary["verdict_reason"]


def test_named_arrays_keep_what_they_hold(given):
    draws, target, _ = given
    run = nw.Run({"x": draws, "chi2": draws[..., 0, 0, 0] * 0 + 7}, target, nfe=3, seconds=2.0)
    assert run.summary()["chi2"] == 7
    assert (run.nfe, run.seconds) == (3, 2.0)
    assert "nll" in run.arrays
    bare = nw.Run({"x": draws.numpy()})
    torch.testing.assert_close(bare.mean, nw.Run(draws).mean)
    beside = nw.Run({"x": draws, "chi2": np.full(tuple(draws.shape[:3]), 7.0)})
    assert isinstance(beside.arrays["chi2"], torch.Tensor)


def test_a_truth_may_lack_the_image_axis():
    draws, _, truth = exact()
    assert nw.Run(draws, truth=truth[0]).truth.shape == truth.shape


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"arrays": torch.zeros(3, 4)}, "image, chain, draw"),
        ({"arrays": np.zeros((1, 4, 8, *SHAPE), int)}, "real numbers"),
        ({"arrays": {"z": torch.zeros(1, 1, 1, 2)}, "truth": torch.zeros(2)}, "named x"),
        ({"target": 40}, "given by name"),
        ({"arrays": torch.zeros(1, 4, 8, *SHAPE), "truth": None}, "the target has 2"),
        ({"truth": torch.zeros(3, *SHAPE)}, "truth must be"),
    ],
)
def test_what_does_not_fit_is_refused(given, change, match):
    fields = {"arrays": given[0], "target": given[1], "truth": given[2], **change}
    with pytest.raises(ConfigError, match=match):
        nw.Run(**fields)
