"""What a report says beyond the numbers of the summary."""

import math

import pytest

import noisewalk as nw
from noisewalk.report.checks import checks
from noisewalk.report.html import overall
from noisewalk.report.read import read_report_data
from noisewalk.report.warnings import conditioning


@pytest.mark.parametrize(("value", "says"), [(0.4, "well-conditioned"), (7.0, "ill-conditioned")])
def test_the_condition_number_is_judged(value: float, says: str) -> None:
    text = conditioning(value)
    assert f"is {says}" in text
    assert f"below {0.5 * math.exp(-value):.1g}" in text  # 2 kappa eps = 1


@pytest.mark.parametrize(
    ("error", "says"),
    [(0.12, "4.0 ± 0.12 (one standard error)"), (0.7, "0.5 or more"), (None, "at most 4.0. ")],
)
def test_the_error_of_a_condition_number_is_said(error: float | None, says: str) -> None:
    assert says in conditioning(4.0, error)


def test_a_condition_number_beyond_any_float_is_said_to_be() -> None:
    assert "too small to write" in conditioning(2000.0)


@pytest.mark.parametrize(
    ("step", "chains", "draws", "says"),
    [
        (1e3, 2, 6, "stuck"),
        (1e-4, 2, 2, "too few draws"),
        (1e-4, 1, 6, "One chain"),
        (1e-4, 2, 6, "not mixed"),
    ],
    ids=["stuck", "few", "one", "slow"],
)
def test_what_the_chains_cannot_tell_is_said(target, sampled, step, chains, draws, says) -> None:
    folder = sampled(target, nw.Langevin(step, adjust=True), draws, chains)
    entries, summary = read_report_data(folder)
    notes = list(entries[0].notes)
    assert [note for note in notes if says in note] == notes[:1]
    assert not any("unadjusted" in note for note in notes)
    assert summary["r_hat_max"] is None or summary["r_hat_max"] > 1.05  # JSON has no infinity


def test_the_bias_of_an_unadjusted_kernel_is_said(target, sampled) -> None:
    (entry,), _ = read_report_data(sampled(target, nw.Langevin(1e-2)))
    assert any("unadjusted" in note for note in entry.notes)


def test_a_run_of_smc_is_not_marked_down_for_being_one(target, tmp_path) -> None:
    nw.tempered_smc(
        target,
        40,
        kernel=nw.HMC(0.1, 4),
        num_moves=(1, 40),
        rank=36,
        store=tmp_path / "run",
        progress=False,
    )
    entry = read_report_data(tmp_path / "run")[0][0]
    assert any("Log evidence" in remark for remark in entry.remarks)
    assert not entry.notes
    found = [check for check in checks(entry) if check.key == "divergences"]
    assert overall(entry, found) == "good"


def test_particles_that_stay_where_they_were_resampled_are_said_to(target, tmp_path) -> None:
    nw.tempered_smc(
        target,
        20,
        kernel=nw.Langevin(1e-6, "ei", adjust=True),
        num_moves=1,
        store=tmp_path / "run",
        progress=False,
    )
    entries, summary = read_report_data(tmp_path / "run")
    assert summary["memory"] > 0.9
    assert sum("hardly changed" in note for note in entries[0].notes) == 1
