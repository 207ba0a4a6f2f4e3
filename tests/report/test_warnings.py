"""What a report says beyond the numbers of the summary."""

import math
from dataclasses import replace

import pytest
import torch
from page_reader import Page
from spec_edits import edit

import noisewalk as nw
from noisewalk.report import build_report
from noisewalk.report.checks import checks
from noisewalk.report.html import overall
from noisewalk.report.read import read_report_data
from noisewalk.report.warnings import MODES, RIGHT, conditioning, notes_of, remarks_of
from noisewalk.sampling.verdict import UNADJUSTED, UNFINISHED


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
    ("step", "chains", "draws", "verdict", "says"),
    [
        (1e3, 2, 6, "do not trust", "stuck"),
        (1e-4, 2, 2, "check", "cannot show a drift"),
        (1e-4, 1, 24, "check", "One chain"),
        (1e-4, 2, 24, "do not trust", "not mixed"),
    ],
    ids=["stuck", "few", "one", "slow"],
)
def test_the_verdict_is_said_once(target, sampled, step, chains, draws, verdict, says) -> None:
    folder = sampled(target, nw.Langevin(step, adjust=True), draws, chains)
    edit(folder, "likelihood", value=...)  # its fit would be the first reason
    (entry,), summary = read_report_data(folder)
    assert summary["verdict"] == verdict
    assert says in summary["verdict_reason"]
    assert not entry.notes
    assert overall(entry, checks(entry)) == ("bad" if verdict == "do not trust" else "warn")
    page = Page(build_report(folder).read_text(encoding="utf-8")).text
    assert page.index("uncertainty map") < page.index("Pictures")
    assert page.index("Pictures") < page.index(summary["verdict_reason"]) < page.index("Numbers")
    assert not any(c.mark for c in checks(entry) if c.key in ("r_hat_max", "ess_bulk_min"))


def test_the_bias_of_an_unadjusted_kernel_is_said_once(target, sampled) -> None:
    (entry,), summary = read_report_data(sampled(target, nw.Langevin(1e-2)))
    said = [*entry.notes, summary["verdict_reason"]]
    assert sum("unadjusted" in text for text in said) == 1


def summary_of(**changes):
    kept = {"verdict": "trust", "verdict_reason": "", "divergences": 0, "memory_bound": 0.05}
    return {**kept, **changes}


def test_a_trusted_run_has_no_warning_and_an_untrusted_one_keeps_its_own() -> None:
    run = nw.Run({"x": torch.zeros(1, 2, 1, 2)}, nfe=1, seconds=1.0, complete=False)
    whole = replace(run, complete=True)
    assert not list(notes_of(whole, summary_of(divergences=2), True))
    found = list(notes_of(run, summary_of(verdict="do not trust", divergences=2), False))
    expected = ("not finished", "not finite", "unadjusted")
    assert [says in note for says, note in zip(expected, found, strict=True)] == [True] * 3
    for reason in (UNFINISHED, UNADJUSTED):
        rest = list(notes_of(run, summary_of(verdict="check", verdict_reason=reason), False))
        assert len(rest) == 1
        assert rest[0] != reason


def test_the_weights_of_modes_are_said_where_starts_are_remembered() -> None:
    run = nw.Run({"x": torch.zeros(1, 2, 1, 2)}, nfe=1, seconds=1.0)
    assert not list(remarks_of(run, summary_of()))
    assert list(remarks_of(run, summary_of(memory_bound=0.4))) == [f"{RIGHT} {MODES}"]
    assert list(remarks_of(run, summary_of(verdict="check", memory_bound=0.4))) == [MODES]


def test_a_run_of_smc_is_checked_and_has_no_warning(target, tmp_path) -> None:
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
    assert overall(entry, checks(entry)) == "warn"
    assert not {"drift", "mcse_mean"} & {check.key for check in checks(entry)}


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
