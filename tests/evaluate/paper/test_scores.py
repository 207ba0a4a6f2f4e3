"""Law: a cell's numbers are those of the metrics on its samples."""

import math
from types import SimpleNamespace

import pytest
import torch

import noisewalk as nw
from noisewalk.evaluate.diagnostics.chains import image_diagnostics
from noisewalk.evaluate.metrics import covered
from noisewalk.evaluate.paper.scores import NAMES, r_hat_of_independent, score, turned
from noisewalk.noise import PROBE, rows

SHAPE, SIGMA = (1, 16, 16), 0.3
TRUTH = rows(1, 1).normal(SHAPE, PROBE, torch.float64)[0].clamp(-1, 1)
NOTHING = SimpleNamespace(
    extractor=None,
    extractors={},
    lpips_net=None,
    diversity=False,
    varied=torch.ones(SHAPE, dtype=torch.bool),
)


def target():
    likelihood = nw.likelihoods.Gaussian(SIGMA)
    return nw.NoisePosterior(
        nw.maps.Warp(SHAPE, 0.5),
        torch.nn.Identity(),
        likelihood,
        likelihood.sample(TRUTH[None], rows(2, 1)),
    )


def test_scores_are_the_metrics_means():
    draws = TRUTH + 0.2 * rows(3, 8).normal(SHAPE, PROBE, torch.float64).unflatten(0, (1, 8))
    out, features = score(draws, TRUTH, target(), True, NOTHING)
    assert features is None
    assert set(NAMES) <= set(out)
    assert out["psnr"] == pytest.approx(float(nw.metrics.psnr(draws[0], TRUTH).mean()), rel=1e-12)
    assert out["psnr_mean"] > out["psnr"]
    assert (
        out["r_hat"] == image_diagnostics(draws[0].unflatten(0, (2, 4)))["r_hat_median"]
    )  # one chain: its halves
    assert out["chi2"] == pytest.approx(
        1 + (0.2 / SIGMA) ** 2, abs=5 * (2 / 256) ** 0.5 * (1 + (0.2 / SIGMA) ** 2)
    )
    assert math.isnan(out["lpips"])
    assert math.isnan(out["vendi"])


def test_coverage_of_exchangeable_draws_is_nominal():
    n, count = 9, 4000
    x = rows(4, n + 1).normal((1, 40, 100), PROBE)
    fake = SimpleNamespace(chi2=lambda x: torch.zeros(len(x)))
    varied = torch.zeros(1, 40, 100, dtype=torch.bool)
    varied[:, :20] = True
    out, _ = score(
        x[None, 1:], x[0], fake, False, SimpleNamespace(**{**vars(NOTHING), "varied": varied})
    )
    nominal = (n - 1) / (n + 1)
    assert abs(out["coverage"] - nominal) < 5 * (nominal * (1 - nominal) / count) ** 0.5
    assert (
        abs(out["coverage_varied"] - nominal) < 5 * (nominal * (1 - nominal) / (count / 2)) ** 0.5
    )
    assert math.isnan(out["r_hat"])


def test_coverage_of_few_grey_levels_is_nominal_too():
    for scale in (1e-4, 0.01, 0.3):
        n, count = 9, 20_000
        x = -1.0 + scale * rows(6, n + 1).normal((count,), PROBE).abs()
        nominal = (n - 1) / (n + 1)
        assert (
            abs(float(covered(x[1:], x[0]).mean()) - nominal)
            < 5 * (nominal * (1 - nominal) / count) ** 0.5
        )


def test_a_pixel_is_covered_between_the_samples_and_not_beyond_them():
    x = torch.tensor([-0.5, 0.0, 0.5])[:, None].expand(3, 4)
    assert covered(x, torch.tensor([-0.6, -0.2, 0.3, 0.6])).tolist() == [0, 1, 1, 0]
    assert covered(x, torch.tensor([-0.5, 0.0, 0.5, 0.5])).tolist() == [0.5, 1, 0.5, 0.5]
    assert covered(x[:1].expand(3, 4), torch.tensor([-0.5, -0.501, 0.0, 0.0])).tolist() == [
        0.5,
        0.5,
        0,
        0,
    ]


def test_one_value_that_is_not_finite_leaves_no_number():
    draws = TRUTH.expand(1, 2, *SHAPE).clone()
    draws[0, 1, 0, 0, 0] = torch.nan
    out, features = score(draws, TRUTH, target(), True, NOTHING)
    assert features is None
    assert out["finite"] is False
    assert all(math.isnan(out[name]) for name in NAMES)


def test_diversity_of_equal_samples_is_none(monkeypatch):
    from noisewalk.evaluate.paper import scores

    monkeypatch.setattr(scores, "features", lambda x, extractor: x.flatten(1)[:, :8])
    bench = SimpleNamespace(**{**vars(NOTHING), "extractor": "pixels", "diversity": True})
    out, features = score(TRUTH.expand(1, 8, *SHAPE), TRUTH, target(), False, bench)
    assert features.shape == (8, 8)
    assert out["pixel_std"] == 0
    assert out["similarity"] == pytest.approx(1, abs=1e-12)
    assert out["vendi"] == pytest.approx(1, abs=1e-6)


def test_one_draw_has_no_r_hat_and_few_independent_ones_are_above_one():
    assert math.isnan(score(TRUTH[None, None], TRUTH, target(), True, NOTHING)[0]["r_hat"])
    assert r_hat_of_independent(2, 5) > 1.1
    assert r_hat_of_independent(4, 500) == pytest.approx(1.0, abs=0.01)


def test_a_sample_turned_by_180_degrees_is_turned_back_and_no_other():
    near = TRUTH + 0.1 * rows(5, 3).normal(SHAPE, PROBE, torch.float64)
    mixed = torch.stack([near[0], near[1].flip(-2, -1), near[2]])
    assert torch.equal(turned(mixed, TRUTH), near)
    assert torch.equal(turned(mixed[None], TRUTH), near[None])
