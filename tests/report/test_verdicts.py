"""What a number says in words goes with its mark."""

import math

from noisewalk.report import verdicts


def test_the_words_follow_the_mark() -> None:
    for judge, good, bad, advice in (
        (verdicts.r_hat, 1.01, 1.5, "Run longer chains"),
        (verdicts.acceptance(True), 0.6, 0.05, "step is too large"),
        (verdicts.memory, 0.1, 0.9, "two seeds"),
    ):
        assert judge(good)[0] == "good"
        assert advice not in judge(good)[1]
        mark, text = judge(bad)
        assert mark == "bad"
        assert advice in text


def test_limits_belong_to_the_better_side() -> None:
    assert verdicts.r_hat(verdicts.R_HAT_GOOD)[0] == "good"
    assert verdicts.r_hat(verdicts.R_HAT_BAD)[0] == "warn"
    assert verdicts.ess(verdicts.ESS_GOOD)[0] == "good"
    assert verdicts.ess_tail(verdicts.ESS_BAD)[0] == "warn"
    assert verdicts.ess(verdicts.ESS_BAD - 1)[0] == "bad"


def test_the_error_of_the_mean_is_one_over_the_root_of_the_draws() -> None:
    assert "within 5\u00a0%" in verdicts.ess(400.0)[1]
    assert "within 200\u00a0%" in verdicts.ess(0.25)[1]
    assert "known to within" not in verdicts.ess(0.0)[1]


def test_a_residual_may_be_too_large_or_too_small() -> None:
    judge = verdicts.chi2(num_observed=200, std=0.1)
    assert judge(1.15)[0] == judge(0.85)[0] == "good"
    assert judge(1.3) == ("warn", judge(1.3)[1])
    assert judge(0.5)[0] == judge(1.5)[0] == "bad"
    assert "too large" in judge(1.5)[1]
    assert "too small" in judge(0.5)[1]
    assert "0.800 to 1.200" in judge(1.0)[1]
    assert verdicts.chi2(200, None)(9.0)[0] == verdicts.chi2(200, math.inf)(9.0)[0] == ""


def test_what_has_no_step_gets_no_advice_on_it() -> None:
    for has_step in (None, False):
        mark, text = verdicts.acceptance(has_step)(0.01)
        assert mark == ""
        assert "too large" not in text


def test_r_hat_is_told_beside_that_of_perfect_chains() -> None:
    assert verdicts.r_hat_beside(1.256)(1.2) == ("", verdicts.r_hat_beside(1.256)(1.9)[1])
    assert "up to 1.26" in verdicts.r_hat_beside(1.256)(1.2)[1]
    assert "Perfect" not in verdicts.r_hat_beside(None)(1.2)[1]
    assert "stuck" in verdicts.r_hat_beside(None)(math.inf)[1]


def test_a_bound_or_a_p_value_that_is_not_known_is_not_said() -> None:
    for judge in (verdicts.drift, verdicts.chain_memory):
        assert "95" not in judge(None, None)(0.1)[1]
        assert "p =" not in judge(math.nan, math.nan)(0.1)[1]
    assert "at most 0." in verdicts.chain_memory(-0.1, 0.5)(0.0)[1]
    assert "uncertainty" not in verdicts.mcse(None)(0.1)[1]
    assert verdicts.unmarked(verdicts.ess)(1.0)[0] == ""


def test_a_pixel_that_remembers_is_told_beside_a_small_memory_of_all() -> None:
    assert verdicts.chain_memory(0.1, 0.5, 0.8, 0.2)(0.0) == verdicts.chain_memory(0.1, 0.5)(0.0)
    mark, text = verdicts.chain_memory(0.1, 0.5, 0.987, 0.001)(0.0)
    assert mark == "warn"
    assert "A single pixel or direction reaches 0.99" in text


def test_a_chi_square_of_very_many_entries_may_be_off_by_what_no_noise_level_is_known_to():
    judge = verdicts.chi2(200_000, 0.003)
    assert [judge(value)[0] for value in (0.98, 1.02, 1.04, 1.07)] == [
        "good",
        "good",
        "warn",
        "bad",
    ]
    assert "Up to 0.03 from 1 is good" in judge(1.0)[1]
    assert "Up to 0.03" not in verdicts.chi2(1000, 0.045)(1.0)[1]
    assert verdicts.p_value_beside(1.02)(1e-9)[0] == ""
    assert verdicts.p_value_beside(1.1)(1e-9)[0] == verdicts.p_value_beside(None)(1e-9)[0] == "bad"
