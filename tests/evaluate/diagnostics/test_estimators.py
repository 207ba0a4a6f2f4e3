"""R-hat, ESS and the Monte Carlo error: as in arviz-stats, and right where they are known."""

import itertools
import math

import numpy as np
import pytest
import torch
from ar1_chains import ESTIMATORS, ar1

from noisewalk.evaluate.diagnostics import ess_bulk, ess_tail, mcse_mean, r_hat


def with_rejections(x, seed=1):
    keep = np.random.default_rng(seed).random(x.shape) < 0.6
    x = x.copy()
    for t in range(1, x.shape[1]):
        x[:, t] = np.where(keep[:, t], x[:, t - 1], x[:, t])
    return x


def arviz(x):
    array_stats = pytest.importorskip("arviz_stats.base").array_stats
    pixels = np.moveaxis(x, 2, 0)
    with np.errstate(all="ignore"):
        return [
            array_stats.rhat(pixels, method="rank"),
            array_stats.ess(pixels, method="bulk"),
            array_stats.ess(pixels, method="tail", prob=(0.05, 0.95)),
            array_stats.mcse(pixels, method="mean"),
        ]


FORMS = {
    "continuous": lambda x: x,
    "ties": lambda x: np.round(x, 1),
    "binary": lambda x: (x > 0.5) * 1.0,
    "rejections": with_rejections,
    "offset": lambda x: x + 100.0,
    "a NaN": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 7, np.nan, x),
}


SIZES = [(4, 100), (2, 101), (1, 51), (3, 4), (2, 5), (4, 6), (2, 7), (3, 8), (2, 3), (2, 13)]


def test_equals_arviz():
    for form, (num_chains, num_draws), rho in itertools.product(FORMS, SIZES, (-0.6, 0.8)):
        x = FORMS[form](ar1(num_chains, num_draws, 12, rho))
        for estimator, expected in zip(ESTIMATORS, arviz(x), strict=True):
            what = f"{estimator.__name__} of {form}, {num_chains} x {num_draws}, rho {rho}"
            got = estimator(x).numpy()
            # Within-chain variance 0: rounding in arviz, infinite here.
            huge = np.nan_to_num(expected, posinf=np.inf) > 1e10
            np.testing.assert_allclose(got[~huge], expected[~huge], rtol=1e-10, err_msg=what)
            assert (got[huge] > 1e10).all(), what


def test_equal_draws_and_stuck_chains_follow_arviz():
    equal = np.full((4, 20, 1), 0.3)
    stuck = np.broadcast_to(np.array([0.1, 0.1, 0.7, 0.7])[:, None, None], (4, 20, 1))
    assert r_hat(equal).isnan().all()
    assert ess_bulk(equal) == ess_tail(equal) == 80
    assert mcse_mean(equal) == 0
    assert r_hat(stuck) == math.inf
    for x in (equal, stuck):
        _, bulk, tail, _ = arviz(x)
        torch.testing.assert_close(
            torch.cat([ess_bulk(x), ess_tail(x)]),
            torch.from_numpy(np.concatenate([bulk, tail])),
            rtol=1e-10,
            atol=0,
        )


def test_bulk_and_tail_ess_see_ranks_only():
    x = torch.from_numpy(ar1(4, 50, 8, 0.5))
    for estimator in (ess_bulk, ess_tail):
        torch.testing.assert_close(estimator(x.exp()), estimator(x), rtol=1e-10, atol=0)


def test_r_hat_tells_shifted_and_wider_chains_from_mixed_ones():
    x = ar1(4, 250, 20, 0.0)
    assert r_hat(x).max() < 1.03
    shifted, wider = x.copy(), x.copy()
    shifted[0] += 3.0
    wider[0] *= 4.0
    assert r_hat(shifted).min() > 1.2
    assert r_hat(wider).min() > 1.05


def test_one_chain_has_no_r_hat_but_an_ess():
    x = ar1(1, 50, 3, 0.0)
    assert r_hat(x).isnan().all()
    assert ess_bulk(x).isfinite().all()


def test_mean_of_an_ar1_chain_misses_zero_by_its_mcse():
    num_pixels = 2000
    for rho in (0.0, 0.5, 0.8):
        x = ar1(2, 600, num_pixels, rho)
        score = torch.from_numpy(x.mean((0, 1))) / mcse_mean(x)
        # The score is normal to O(1 / ESS); its mean square has standard error sqrt(2 / pixels).
        assert abs(float(score.square().mean()) - 1.0) < 5 * math.sqrt(2 / num_pixels) + 0.05


def test_ess_of_an_ar1_chain_is_its_closed_form():
    rho, num_pixels, num_draws = 0.6, 100, 2000
    x = ar1(2, num_draws, num_pixels, rho)
    relative = ess_bulk(x) / (2 * num_draws * (1 - rho) / (1 + rho))
    error = float(relative.std()) / math.sqrt(num_pixels)
    # Centring at the sample mean biases each autocorrelation by -tau / n: relative bias about (lags
    # kept) * 2 / n, under 3 %.
    assert abs(float(relative.mean()) - 1.0) < 5 * error + 0.03
