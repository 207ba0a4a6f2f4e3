"""What a report says beyond the numbers of the summary."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.report.build import _conditioning, read_report_data
from noisewalk.report.checks import checks
from noisewalk.report.html import _overall
from noisewalk.sampling.defaults import resolve
from noisewalk.sampling.run import sample_stored

TARGET = nw.NoisePosterior(
    nw.maps.Warp((1, 6, 6), 0.5),
    torch.nn.Identity(),
    nw.likelihoods.Gaussian(0.1),
    torch.zeros(1, 1, 6, 6),
)


@pytest.mark.parametrize(("value", "says"), [(0.4, "well-conditioned"), (7.0, "ill-conditioned")])
def test_the_condition_number_is_judged(value: float, says: str) -> None:
    text = _conditioning(value)
    assert f", {says}" in text
    assert f"below {0.5 * math.exp(-value):.1g}" in text  # 2 kappa eps = 1


@pytest.mark.parametrize(
    ("error", "says"),
    [(0.12, "4.0 +- 0.12 (one standard error)"), (0.7, "0.5 or more"), (None, "at most 4.0, ")],
)
def test_the_error_of_a_condition_number_is_said(error: float | None, says: str) -> None:
    assert says in _conditioning(4.0, error)


def test_a_condition_number_beyond_any_float_is_said_to_be() -> None:
    assert "too small to write" in _conditioning(2000.0)


def notes_of(
    folder: Path, step: float, chains: int, draws: int
) -> tuple[list[str], dict[str, object]]:
    sample_stored(
        TARGET,
        resolve(TARGET, nw.Langevin(step, adjust=True), draws, chains, 0, 1, None, None, 0),
        folder,
        progress=False,
    )
    entries, summary = read_report_data(folder)
    return list(entries[0].notes), summary


@pytest.mark.parametrize(
    ("step", "chains", "draws", "says"),
    [
        (1e3, 2, 6, "stuck"),
        (1e-4, 2, 2, "Too few draws"),
        (1e-4, 1, 6, "One chain"),
        (1e-4, 2, 6, "not mixed"),
    ],
    ids=["stuck", "few", "one", "slow"],
)
def test_what_the_chains_cannot_tell_is_said(
    tmp_path: Path, step: float, chains: int, draws: int, says: str
) -> None:
    notes, summary = notes_of(tmp_path / "run", step, chains, draws)
    assert [note for note in notes if says in note] == notes[:1]
    assert summary["r_hat_max"] is None or summary["r_hat_max"] > 1.05  # JSON has no infinity


@pytest.mark.parametrize(
    ("likelihood", "band"),
    [
        (nw.likelihoods.Gaussian(0.1), "95"),
        (nw.likelihoods.Laplace(0.1), "not known here"),
        (nw.likelihoods.StudentT(3.0, 0.1), "not known here"),
    ],
    ids=["gaussian", "laplace", "studentt"],
)
def test_a_run_from_python_is_judged_by_its_own_likelihood(
    tmp_path: Path, likelihood: nw.types.Likelihood, band: str
) -> None:
    target = nw.NoisePosterior(
        TARGET.phi, lambda x: x.flatten(1)[:, :5], likelihood, torch.zeros(1, 5)
    )
    nw.sample(
        target,
        nw.Langevin(1e-2, adjust=True),
        6,
        2,
        warm_start=None,
        store=tmp_path / "run",
        progress=False,
    )
    entry = read_report_data(tmp_path / "run")[0][0]
    found = {check.key: check for check in checks(entry)}
    assert band in found["chi2"].text
    assert (found["chi2_p_value"].value is None) == (band != "95")
    assert entry.measurement_unit == ""  # an operator of one's own: y is on a scale of its own


def test_the_page_of_a_run_takes_a_title_and_a_unit(tmp_path: Path) -> None:
    run = nw.sample(
        TARGET,
        nw.Langevin(1e-2, adjust=True),
        6,
        2,
        warm_start=None,
        store=tmp_path / "run",
        progress=False,
    )
    page = nw.report.build_report(tmp_path / "run", "Flux of a field", (0.0, 10.0)).read_text(
        encoding="utf-8"
    )
    assert "Flux of a field" in page
    mean, std = (np.load(tmp_path / "run" / f"{name}.npy") for name in ("mean", "std"))
    np.testing.assert_allclose(mean, 5.0 + 5.0 * run.mean[0].numpy(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(std, 5.0 * run.std[0].numpy(), rtol=1e-6, atol=1e-7)
    assert mean.dtype == np.float32
    with pytest.raises(ConfigError, match="value range"):
        nw.report.build_report(tmp_path / "run", value_range=(1.0, 1.0))


def test_a_run_of_smc_is_not_marked_down_for_being_one(tmp_path: Path) -> None:
    nw.tempered_smc(
        TARGET,
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
    assert (
        _overall(entry, [check for check in checks(entry) if check.key == "divergences"]) == "good"
    )


def test_particles_that_stay_where_they_were_resampled_are_said_to(tmp_path: Path) -> None:
    nw.tempered_smc(
        TARGET,
        20,
        kernel=nw.Langevin(1e-6, "ei", adjust=True),
        num_moves=1,
        store=tmp_path / "run",
        progress=False,
    )
    entries, summary = read_report_data(tmp_path / "run")
    assert summary["memory"] > 0.9
    assert ["hardly moved" in note for note in entries[0].notes] == [True]
