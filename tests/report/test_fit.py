"""How the draws of a run fit its measurement."""

import pytest
import torch
from spec_edits import say_model

import noisewalk as nw
from noisewalk.report.read import read_report_data


def test_the_texts_of_a_command_line_give_the_residual(target, sampled) -> None:
    folder = sampled(target)
    assert read_report_data(folder)[0][0].residual is None
    say_model(folder)
    (entry,), summary = read_report_data(folder)
    run = nw.open_run(folder)
    torch.testing.assert_close(
        torch.as_tensor(entry.residual), -run.draws[0].double().mean((0, 1)) / 0.1
    )
    assert summary["likelihood"] == "gaussian"
    assert 0 <= summary["chi2_p_value"] <= 1


def test_an_inferred_noise_level_is_told(target, sampled) -> None:
    unknown = nw.NoisePosterior(
        target.phi, torch.nn.Identity(), nw.likelihoods.UnknownGaussian(), target.y
    )
    folder = sampled(unknown)
    say_model(folder, "unknown", None)
    _, summary = read_report_data(folder)
    run = nw.open_run(folder)
    size = run.draws[...].double().square().mean().sqrt()  # y = 0: the residual is the draw
    assert summary["noise_level"] == pytest.approx(float(size), rel=0.1)
    assert not {"chi2_p_value", "log_kappa"} & summary.keys()


def test_the_condition_number_of_a_run_of_smc_is_told(target, tmp_path) -> None:
    folder = tmp_path / "run"
    kernel = nw.HMC(0.1, 4)
    run = nw.tempered_smc(target, 20, kernel=kernel, num_moves=1, store=folder, progress=False)
    assert "log_kappa" not in read_report_data(folder)[1]
    say_model(folder)
    (entry,), summary = read_report_data(folder)
    best = -target.likelihood.nll(target.y, target.y)
    assert summary["log_kappa"] == pytest.approx(float(best - run.log_evidence), rel=1e-9)
    assert any("conditioned" in remark for remark in entry.remarks)
