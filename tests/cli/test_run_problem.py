"""From a problem and a plan to a run folder with its report."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk import noise
from noisewalk.cli.problem import Problem
from noisewalk.cli.run_problem import announcement, rows_of, solve
from noisewalk.errors import StoreError
from noisewalk.files import ValueRange
from noisewalk.report.build import read_report_data
from noisewalk.sampling.chains import Chains
from noisewalk.storage.store import open_store

SHAPE = (1, 16, 16)
PICTURES = {"samples.png", "mean.png", "std.png"}
FILES = {"spec.json", "run.zarr", "summary.json", "report.html"} | PICTURES


def problem(count=1, text="avgpool:factor=2"):
    truth = torch.tanh(noise.rows(0, count).normal(SHAPE, noise.PROBE))
    operator, likelihood = nw.operators.parse(text, SHAPE), nw.likelihoods.Gaussian(0.2)
    y, bounds = nw.simulate(operator, likelihood, truth), ValueRange(0.0, 255.0)
    phi = nw.maps.Warp(SHAPE)
    return Problem("toy image", "toy", phi, text, operator, likelihood, y, bounds, truth=truth)


def plan(num_draws=4, seed=0):
    return Chains(nw.Langevin(1e-3, adjust=True), num_draws, 2, 0, 1, nw.Adam(3), None, seed)


def test_a_run_at_an_address_has_its_report_there(noisewalk, refused, capsys):
    import fsspec

    solved_in("memory://cli/run", problem(), plan())
    assert "  into memory://cli/run\n" in capsys.readouterr().out
    fs = fsspec.filesystem("memory")
    assert FILES - {"run.zarr"} <= {key.rpartition("/")[2] for key in fs.find("/cli/run")}
    fs.rm("/cli/run/report.html")
    code, out, _ = noisewalk("report", "memory://cli/run")
    assert (code, out.splitlines()[-1]) == (0, "memory://cli/run/report.html")
    assert fs.exists("/cli/run/report.html")
    assert noisewalk("doctor", "memory://cli/run")[1] == "memory://cli/run is clean: 4 draws\n"
    state = next(key for key in fs.find("/cli/run") if "state-" in key)
    fs.pipe_file(state, b"damaged")
    code, out, _ = noisewalk("doctor", "memory://cli/run")
    assert (code, out.startswith(f"memory:/{state} is missing or damaged")) == (3, True)
    assert noisewalk("doctor", "memory://cli/run", "--repair")[0] == 0
    assert noisewalk("doctor", "memory://cli/run")[0] == 0
    assert noisewalk("export", "memory://cli/run", "--to", "mean.npy")[0] == 0
    told = refused("report", "memory://cli/none")
    assert told.startswith("error: memory://cli/none holds no run")
    words = ["calibrate", "--prior", "fashion32", "--operator", "hdr:factor=2", "--sigma-y", "1"]
    assert "must be a local folder" in refused(*words, "--out", "memory://cli/other")
    fs.rm("/cli", recursive=True)


def solved_in(folder, given, chosen, resume=False, microbatch=None):
    return solve(given, given.target(microbatch), chosen, folder, "all is kept", resume)


@pytest.fixture
def command(monkeypatch):
    """Says what was typed."""
    return lambda text: monkeypatch.setattr("sys.argv", text.split())


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("solved") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["noisewalk", "sample", "toy.png"])
        return folder, solved_in(folder, problem(), plan())


def test_a_problem_becomes_a_run_folder_with_its_report(solved):
    folder, run = solved
    assert {path.name for path in folder.iterdir()} >= FILES
    assert run.complete
    assert run.draws.shape == (1, 2, 4, *SHAPE)
    assert "noisewalk sample toy.png" in (folder / "report.html").read_text()


def test_the_folder_says_what_was_solved_and_holds_the_truth(solved):
    folder, run = solved
    spec = json.loads((folder / "spec.json").read_text())
    assert spec["problem"] == problem().facts()
    assert spec["command"] == "noisewalk sample toy.png"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["nfe"] == run.nfe == 2 * (1 + 3 + 4)
    shown = run.mean.clamp(-1, 1)  # what is scored is clipped
    mse = float((shown - problem().truth).double().square().mean())
    assert summary["psnr"] == pytest.approx(10 * math.log10(4 / mse), abs=1e-3)


def test_the_draws_are_those_of_sample(solved):
    again = nw.sample(
        problem().target(),
        plan().kernel,
        num_draws=4,
        num_chains=2,
        num_warmup=0,
        warm_start=nw.Adam(3),
        adapt=None,
        progress=False,
    )
    assert torch.equal(solved[1].draws[...], again.draws)


def test_an_existing_run_is_kept_unless_it_is_resumed(solved, command):
    folder, run = solved
    command("noisewalk sample toy.png --resume")
    before = (folder / "spec.json").read_bytes()
    with pytest.raises(StoreError, match="--resume"):
        solved_in(folder, problem(), plan())
    with pytest.raises(StoreError, match="seed"):
        solved_in(folder, problem(), plan(seed=1), resume=True)
    assert (folder / "spec.json").read_bytes() == before
    again = solved_in(folder, problem(), plan(), resume=True)
    assert torch.equal(again.draws[...], run.draws[...])


def test_more_draws_go_on_and_the_report_is_made_again(tmp_path, command):
    solved_in(tmp_path / "run", problem(), plan(2))
    command("noisewalk c --num-draws 4")
    more = solved_in(tmp_path / "run", problem(), plan(4), resume=True)
    assert "c --num-draws 4" in (tmp_path / "run" / "report.html").read_text()
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["num_draws"] == 4
    whole = solved_in(tmp_path / "other", problem(), plan(4))
    assert torch.equal(more.draws[...], whole.draws[...])


def test_micro_batches_reach_the_target(tmp_path):
    run = solved_in(tmp_path / "run", problem(2), plan(2), microbatch=3)
    assert run.spec["microbatch"] == 3
    assert run.draws.shape[0] == 2


def test_without_a_truth_nothing_is_scored(tmp_path):
    solved_in(tmp_path / "run", replace(problem(), truth=None), plan(2))
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert not {"psnr", "ssim", "lpips"} & summary.keys()


def test_the_problem_the_settings_and_the_cost_are_announced():
    given = problem(2)
    target = given.target()
    said = announcement(given, target, plan())
    assert said.startswith("toy image: avgpool:factor=2\n")
    assert "noise gaussian, sigma_y 0.2\n  on the scale of [-1, 1]: Gaussian(sigma_y=0.2)" in said
    assert "value range 0 to 255" in said
    assert str(plan().kernel) in said
    assert "2 chains from" in said
    assert "transitions: 1 to the first of 4 draws, 1 between draws" in said
    assert f"NFE about {2 * 2 * (1 + 3 + 4)}" in said
    assert "note: " not in said
    floats = replace(given, truth=given.truth.abs(), value_range=ValueRange(-1.0, 1.0))
    assert "note: floats are taken as -1" in announcement(floats, target, plan())


def test_chains_that_stand_still_have_an_infinite_r_hat(tmp_path, capsys):
    stuck = Chains(nw.Langevin(1e9, adjust=True), 8, 2, 0, 1, None, None, 0)
    solved_in(tmp_path / "run", problem(), stuck)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["r_hat_max"] is None  # JSON has no infinity
    out = capsys.readouterr().out
    assert "r_hat_max inf" in out
    assert out.index("do not trust: ") < out.index("r_hat_max inf")
    assert summary["verdict_reason"] in out


def test_a_report_needs_no_file_that_the_operator_was_read_from(tmp_path):
    mask, kernel = tmp_path / "mask.npy", tmp_path / "kernel.npy"
    np.save(mask, noise.rows(1, 1).uniform(SHAPE[1:], noise.PROBE)[0].numpy() < 0.5)
    np.save(kernel, np.array([[1.0, 2.0, 0.0]]) / 3)
    given = problem(2, f"conv:{kernel}+motion:length=3,seed=1+mask:{mask}")
    solved_in(tmp_path / "run", given, plan())
    before = [entry.residual for entry in read_report_data(tmp_path / "run")[0]]
    held = open_store(tmp_path / "run").arrays
    expected = torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.float64) / 3
    assert torch.equal(held["operator_0_kernel"][...][1], expected)
    kept = {name for name in held if name.startswith("operator_")}
    assert kept == {"operator_0_kernel", "operator_2_mask"}
    mask.unlink()
    np.save(kernel, np.ones((3, 3)))
    after = [entry.residual for entry in read_report_data(tmp_path / "run")[0]]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("shape", "kernel", "rows"),
    [
        ((100,), "smc", 32),  # z says nothing of the image's size
        ((100,), None, None),
        ((3, 64, 64), "smc", 32),
        ((3, 64, 64), None, None),
        ((3, 192, 256), None, 2),
    ],
)
def test_the_rows_of_a_call_go_by_the_size_of_the_image(shape, kernel, rows):
    options, prior = (
        SimpleNamespace(microbatch=None, kernel=kernel),
        SimpleNamespace(shape=(3, 64, 64)),
    )
    assert rows_of(options, SimpleNamespace(phi=SimpleNamespace(shape=shape)), prior) == rows
