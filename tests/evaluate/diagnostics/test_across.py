"""The tests over chains keep their level on exchangeable chains, and find what is planted."""

import math

import pytest
import torch

from noisewalk.evaluate.diagnostics.across import (
    drift,
    largest_memory,
    memory,
    monte_carlo_error,
    p_value,
)

TRIALS = 200
MOST = 0.05 + 3 * math.sqrt(0.05 * 0.95 / TRIALS)  # rejections at 5 %: binomial, three errors


def states(seed, chains=12, rho=0.0, shift=0.0, pixels=48):
    """Early and last states of chains whose law moves by `shift` and which remember `rho`."""
    noise = torch.randn(3, chains, pixels, generator=torch.Generator().manual_seed(seed))
    mixing = torch.randn(pixels, pixels, generator=torch.Generator().manual_seed(-1 % 2**31))
    early = noise[0] @ mixing
    fresh = noise[1] @ mixing
    last = rho * early + math.sqrt(1 - rho**2) * fresh + shift * mixing.norm(dim=0)
    density = -0.5 * noise[0].square().sum(1), -0.5 * noise[2].square().sum(1)
    return early.reshape(chains, 1, 6, 8), last.reshape(chains, 1, 6, 8), density


@pytest.mark.parametrize(("chains", "rho"), [(7, 0.0), (12, 0.0), (12, 0.8)])
def test_the_drift_test_keeps_its_level(chains, rho):
    found = [states(seed, chains, rho) for seed in range(TRIALS)]
    p = [p_value([drift(e, x, lp, rho, image=i)]) for i, (e, x, lp) in enumerate(found)]
    assert 0 < sum(one <= 0.05 for one in p) / TRIALS <= MOST
    assert min(p) > 0  # the data are an element of the group


@pytest.mark.parametrize("test", [memory, largest_memory])
def test_the_memory_tests_keep_their_level(test):
    found = [states(seed) for seed in range(TRIALS)]
    p = [p_value([test(e, x, i)]) for i, (e, x, _) in enumerate(found)]
    assert 0 < sum(one <= 0.05 for one in p) / TRIALS <= MOST


def test_a_level_holds_for_several_images_together():
    found = [states(seed) for seed in range(3 * TRIALS)]
    tests = [drift(e, x, lp, image=i) for i, (e, x, lp) in enumerate(found)]
    p = [p_value(tests[3 * i : 3 * i + 3]) for i in range(TRIALS)]
    assert 0 < sum(one <= 0.05 for one in p) / TRIALS <= MOST


def test_a_planted_drift_is_found_and_measured():
    results = [drift(*states(seed, 16, shift=0.8)) for seed in range(40)]
    assert sum(p_value([one]) <= 0.01 for one in results) >= 38
    sizes = torch.tensor([one.size for one in results])
    assert abs(float(sizes.mean()) - 0.8) < 0.1
    assert sum(one.bound > 0.8 for one in results) >= 34  # of 95 %, less three errors
    early, last, _ = states(0, 16, shift=0.8)
    alone = drift(early, last, rho=0.5), drift(early, last)
    assert alone[0].size == pytest.approx(2 * alone[1].size)


def test_a_drift_of_the_log_posterior_or_of_the_spread_alone_is_found():
    early, last, (before, after) = states(0, 16)
    assert p_value([drift(early, last, (before, after + 100))]) <= 0.01
    assert p_value([drift(early, last, (before, after))]) > 0.05
    assert p_value([drift(early, 4 * last)]) <= 0.01


def test_a_planted_memory_is_found_and_measured():
    results = [memory(*states(seed, 16, rho=0.5)[:2]) for seed in range(40)]
    assert sum(p_value([one]) <= 0.01 for one in results) >= 38
    sizes = torch.tensor([one.size for one in results])
    assert abs(float(sizes.mean()) - 0.5) < 0.05
    assert sum(one.bound > 0.5 for one in results) >= 34


def test_one_pixel_that_keeps_its_mode_is_found_where_the_mean_over_pixels_hides_it():
    modes = torch.where(torch.arange(16) % 3 == 0, 3.0, -3.0)
    for seed in range(20):
        early, last, _ = states(seed, 16)
        spread = early[:, 0, 2, 3].std()
        early[:, 0, 2, 3] += spread * modes
        last[:, 0, 2, 3] += spread * modes
        whole, single = memory(early, last), largest_memory(early, last)
        assert whole.size < 0.3
        assert single.size > 0.8
        assert p_value([single]) <= 0.01


def test_the_largest_correlation_is_that_of_the_pixels_and_the_projections():
    early, last, _ = states(3, 16)
    pairs = torch.stack([early.flatten(1), last.flatten(1)]).double()
    a, b = (pairs - pairs.mean(1, keepdim=True)).unbind()
    of_pixels = (a * b).sum(0) / (a.square().sum(0) * b.square().sum(0)).sqrt()
    assert largest_memory(early, last).size >= float(of_pixels.max()) - 1e-9
    still = largest_memory(early, early)
    assert still.size == pytest.approx(1.0)


def test_chains_that_stand_still_remember_all_and_show_no_drift():
    early, *_ = states(0)
    kept, moved = memory(early, early), drift(early, early, rho=1.0)
    assert kept.size == pytest.approx(1.0)
    assert p_value([kept]) == pytest.approx(1 / 1000)
    assert (moved.size, p_value([moved])) == (0.0, 1.0)


def test_pixels_that_are_known_do_not_count():
    early, last, density = states(0, rho=0.5)
    wider = [torch.cat([x, torch.full((12, 1, 6, 8), 3.0)], 2) for x in (early, last)]
    assert drift(*wider, density).size == pytest.approx(drift(early, last, density).size)
    pixels = [memory(*pair).size for pair in (wider, (early, last))]
    assert pixels[0] == pytest.approx(pixels[1], abs=0.1)  # its projections are others


def test_results_do_not_depend_on_blocks_and_repeat(monkeypatch):
    early, last, density = states(0, rho=0.3)
    one = drift(early, last, density), memory(early, last)
    monkeypatch.setattr("noisewalk.evaluate.diagnostics.across.BLOCK", 24 * 7)
    two = drift(early, last, density), memory(early, last)
    for a, b in zip(one, two, strict=True):
        assert a[:2] == pytest.approx(b[:2])
        torch.testing.assert_close(a.statistics, b.statistics)


def test_no_image_has_no_p_value():
    assert math.isnan(p_value([]))


def test_monte_carlo_errors_are_those_of_independent_draws():
    draws = torch.randn(64, 4, 400, generator=torch.Generator().manual_seed(0))
    mean, std = monte_carlo_error(draws)
    assert mean == pytest.approx(1 / 16, rel=0.05)
    assert std == pytest.approx(1 / math.sqrt(2 * 256), rel=0.1)
    stuck = draws[:, :1].expand(64, 4, 400)
    assert monte_carlo_error(stuck)[0] == pytest.approx(1 / 8, rel=0.05)
    assert monte_carlo_error(draws[:, :1])[0] == pytest.approx(1 / 8, rel=1e-6)
    assert all(math.isnan(one) for one in monte_carlo_error(draws[:1]))
    assert all(math.isnan(one) for one in monte_carlo_error(torch.zeros(4, 2, 3)))
