import numpy as np
import pytest
from scipy import stats

from noisewalk.report.checks import OTHER, checks, worst
from noisewalk.report.text import shown


def found(data):
    return {c.key: c for c in checks(data)}


@pytest.mark.parametrize(
    ("key", "value", "mark"),
    [
        ("r_hat_max", 1.05, "good"),
        ("r_hat_max", 1.06, "warn"),
        ("r_hat_max", 1.9, "bad"),
        ("ess_bulk_min", 400.0, "good"),
        ("ess_bulk_min", 399.0, "warn"),
        ("ess_bulk_min", 49.0, "bad"),
        ("ess_tail_min", 50.0, "warn"),
        ("acceptance_rate", 0.6, "good"),
        ("acceptance_rate", 0.3, "warn"),
        ("acceptance_rate", 0.05, "bad"),
        ("memory", 0.3, "good"),
        ("memory", 0.5, "warn"),
        ("memory", 0.7, "bad"),
        ("divergences", 0, "good"),
        ("divergences", 1, "bad"),
        ("nfe", 5, ""),
    ],
)
def test_marks_follow_the_stated_thresholds(make, key, value, mark):
    assert found(make(summary={key: value}))[key].mark == mark


@pytest.mark.parametrize(
    ("sigmas", "mark"),
    [
        (0.0, "good"),
        (1.9, "good"),
        (-1.9, "good"),
        (2.1, "warn"),
        (-3.9, "warn"),
        (4.1, "bad"),
        (-4.1, "bad"),
    ],
)
def test_chi2_is_judged_by_its_sampling_band_over_the_observed_entries(make, sigmas, mark):
    observed = np.zeros((1, 20, 20), bool)
    observed[0, :10] = True
    value = 1 + sigmas * np.sqrt(2 / 200)
    assert (
        found(make(shape=(1, 20, 20), observed=observed, summary={"chi2": value}))["chi2"].mark
        == mark
    )


@pytest.mark.parametrize(
    ("stds", "mark"), [(0.0, "good"), (1.9, "good"), (-2.1, "warn"), (4.1, "bad")]
)
def test_chi2_of_another_likelihood_is_judged_by_its_own_spread_and_has_no_p_value(
    make, stds, mark
):
    check = found(make(summary={"chi2": 1 + 0.3 * stds}, chi2_is_exact=False, chi2_std=0.3))
    assert check["chi2"].mark == mark
    assert "chi2_p_value" not in check


def test_the_spread_is_less_for_a_mean_over_images(make):
    changes = {"chi2_is_exact": False, "chi2_std": 0.3}
    assert found(make(summary={"chi2": 1.5}, **changes))["chi2"].mark == "good"
    assert found(make(summary={"chi2": 1.5, "num_images": 4}, **changes))["chi2"].mark == "warn"


def test_chi2_without_a_spread_carries_no_mark(make):
    check = found(make(summary={"chi2": 7.0}, chi2_is_exact=False, chi2_std=float("nan")))["chi2"]
    assert (check.value, check.mark) == (7.0, "")
    assert "no band" in check.text


def test_gaps_in_the_measurement_are_not_counted(make):
    y = np.zeros((1, 8, 8))
    y[0, 0] = np.nan
    assert "56 observed" in found(make(measurement=y, summary={"chi2": 1.0}))["chi2"].text


def test_a_mean_over_images_counts_the_entries_of_all(make):
    assert "192 observed" in found(make(summary={"chi2": 1.0, "num_images": 3}))["chi2"].text


@pytest.mark.parametrize("chi2", [0.5, 1.0, 1.7])
def test_the_p_value_is_that_of_chi_square(make, chi2):
    assert found(make(summary={"chi2": chi2}))["chi2_p_value"].value == pytest.approx(
        stats.chi2.sf(64 * chi2, 64), rel=1e-9
    )


@pytest.mark.parametrize(
    ("value", "mark"),
    [
        (0.5, "good"),
        (0.03, "good"),
        (0.97, "good"),
        (0.02, "warn"),
        (0.98, "warn"),
        (1e-6, "bad"),
        (1.0, "bad"),
    ],
)
def test_a_given_p_value_is_kept_and_both_tails_count(make, value, mark):
    check = found(make(summary={"chi2_p_value": value}))["chi2_p_value"]
    assert (check.value, check.mark) == (value, mark)


def test_no_entry_is_lost_and_none_appears_twice(make):
    data = make()
    keys = [c.key for c in checks(data)]
    assert len(keys) == len(set(keys))
    assert set(data.summary) <= set(keys)
    assert found(data)["anything_else"].group == OTHER


def test_a_plain_score_is_of_the_mean_where_the_draws_are_scored_too(make):
    assert found(make())["psnr"].name == "PSNR of the mean"
    assert found(make(summary={"psnr": 20.0}))["psnr"].name == "PSNR"


def test_missing_numbers_carry_no_mark(make):
    for value in (None, float("nan"), np.float32("nan"), float("inf")):
        check = found(make(summary={"ess_bulk_min": value}))["ess_bulk_min"]
        assert (check.value, check.mark) == (None, "")
        assert check.text


def test_stuck_chains_are_bad_and_not_too_few(make):
    check = found(make(summary={"r_hat_max": float("inf")}))["r_hat_max"]
    assert check.mark == "bad"
    assert "stuck" in check.text
    assert shown("r_hat_max", check.value) == "\u221e"


def test_the_acceptance_of_a_kernel_without_a_step_carries_no_mark(make):
    summary = {"acceptance_rate": 0.05}
    assert found(make(summary=summary))["acceptance_rate"].mark == "bad"
    check = found(make(summary=summary, has_step=False))["acceptance_rate"]
    assert check.mark == ""
    assert "too large" not in check.text


def test_nothing_is_said_of_a_step_that_is_not_known(make):
    check = found(make(summary={"acceptance_rate": 0.05}, has_step=None))["acceptance_rate"]
    assert check.mark == ""
    assert "step" not in check.text


def test_numpy_numbers_are_numbers(make):
    check = found(make(summary={"nfe": np.int64(7), "r_hat_max": np.float32(1.5)}))
    assert check["nfe"].value == 7
    assert check["r_hat_max"].mark == "bad"


def test_the_worst_mark_wins(make):
    assert worst(checks(make(summary={"r_hat_max": 1.0, "acceptance_rate": 0.01}))) == "bad"
    assert worst(checks(make(summary={"r_hat_max": 1.0, "acceptance_rate": 0.2}))) == "warn"
    assert worst(checks(make(summary={"r_hat_max": 1.0}))) == "good"
    assert worst(checks(make(summary={}))) == ""


JUDGED = {
    "verdict": "trust",
    "verdict_reason": "The chains have forgotten.",
    "r_hat_max": 1.26,
    "r_hat_max_perfect": 1.3,
    "ess_bulk_min": 30.0,
    "drift": 0.1,
    "drift_bound": 0.2,
    "drift_p": 0.4,
    "memory": 0.02,
    "memory_bound": 0.06,
    "memory_p": 0.3,
    "mcse_mean": 0.25,
    "mcse_std": 0.18,
    "acceptance_rate": 0.2,
    "chi2_p_value": 0.01,
    "log_evidence": None,
}


@pytest.mark.parametrize(
    ("verdict", "mark", "other"),
    [("trust", "good", ""), ("check", "warn", "warn"), ("do not trust", "bad", "warn")],
)
def test_the_verdict_leads_and_nothing_contradicts_it(make, verdict, mark, other):
    listed = checks(make(summary=JUDGED | {"verdict": verdict}))
    assert (listed[0].key, listed[0].value, listed[0].mark) == ("verdict", verdict, mark)
    assert listed[0].text == "The chains have forgotten."
    named = {check.key: check for check in listed}
    assert named["r_hat_max"].mark == named["ess_bulk_min"].mark == ""
    assert named["acceptance_rate"].mark == named["chi2_p_value"].mark == other


def test_bounds_and_p_values_stand_beside_their_numbers(make):
    named = found(make(summary=JUDGED))
    assert "show up to 1.30" in named["r_hat_max"].text
    assert "at most 0.2" in named["drift"].text
    assert "without drift show as much or more in 40\u00a0% of all runs" in named["drift"].text
    assert "without memory show as much" in named["memory"].text
    assert "at most 0.06" in named["memory"].text
    assert "known to within 18\u00a0%" in named["mcse_mean"].text
    assert not {"drift_p", "memory_bound", "mcse_std", "verdict_reason"} & named.keys()
    assert named["memory"].name == "Memory of the chains"


@pytest.mark.parametrize(
    ("changes", "key", "mark"),
    [
        ({}, "drift", "good"),
        ({"drift_p": 0.001}, "drift", "bad"),
        ({"drift_p": None}, "drift", ""),
        ({}, "memory", "good"),
        ({"memory_bound": 0.5}, "memory", "warn"),
        ({"memory_bound": None}, "memory", ""),
    ],
)
def test_drift_and_memory_are_marked_by_what_the_verdict_weighs(make, changes, key, mark):
    judged = JUDGED | {"verdict": "do not trust"} | changes
    assert found(make(summary=judged))[key].mark == mark


def test_particles_keep_the_memory_of_particles(make):
    named = found(make(summary=JUDGED | {"memory": 0.7, "log_evidence": -3.0, "verdict": "check"}))
    assert (named["memory"].name, named["memory"].mark) == ("Memory of the particles", "bad")
