import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk import noise
from noisewalk.cli.problem import simulated
from noisewalk.cli.restore import restore
from noisewalk.errors import StoreError
from noisewalk.files import ValueRange
from noisewalk.maps import Warp
from noisewalk.report.read import read_report_data
from noisewalk.sampling.chains import Chains
from noisewalk.storage.store import open_store

SHAPE = (1, 16, 16)
FILES = {
    "spec.json",
    "run.zarr",
    "summary.json",
    "samples.png",
    "mean.png",
    "std.png",
    "report.html",
}


def problem(count=1):
    truth = torch.tanh(noise.rows(0, count).normal(SHAPE, noise.PROBE))
    return simulated(
        SimpleNamespace(name="toy", shape=SHAPE),
        Warp(SHAPE),
        "avgpool:factor=2",
        nw.likelihoods.Gaussian(0.2),
        truth,
        ValueRange(0.0, 255.0),
        "toy image",
    )


def plan(num_draws=4, seed=0):
    return Chains(nw.Langevin(1e-3, adjust=True), num_draws, 2, 0, 1, nw.Adam(3), None, seed)


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("restored") / "run"
    return folder, restore(problem(), plan(), folder, "noisewalk sample toy.png")


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
    mse = float(
        (run.mean.clamp(-1, 1) - problem().truth).double().square().mean()
    )  # what is scored is clipped
    assert summary["psnr"] == pytest.approx(
        10 * torch.log10(torch.tensor(4 / mse)).item(), abs=1e-3
    )


def test_the_draws_are_those_of_sample(solved):
    again = nw.sample(
        problem().target(),
        plan().kernel,
        num_draws=4,
        num_chains=2,
        warm_start=nw.Adam(3),
        progress=False,
    )
    assert torch.equal(solved[1].draws[...], again.draws)


def test_an_existing_run_is_kept_unless_it_is_resumed(solved):
    folder, run = solved
    before = (folder / "spec.json").read_bytes()
    with pytest.raises(StoreError, match="--resume"):
        restore(problem(), plan(), folder, "noisewalk sample toy.png")
    with pytest.raises(StoreError, match="seed"):
        restore(problem(), plan(seed=1), folder, "noisewalk sample toy.png", resume=True)
    assert (folder / "spec.json").read_bytes() == before
    assert torch.equal(
        restore(problem(), plan(), folder, "noisewalk sample toy.png", resume=True).draws[...],
        run.draws[...],
    )


def test_more_draws_go_on_and_the_report_is_made_again(tmp_path):
    restore(problem(), plan(2), tmp_path / "run", "c")
    more = restore(problem(), plan(4), tmp_path / "run", "c --num-draws 4", resume=True)
    assert "c --num-draws 4" in (tmp_path / "run" / "report.html").read_text()
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["num_draws"] == 4
    assert torch.equal(
        more.draws[...], restore(problem(), plan(4), tmp_path / "other", "c").draws[...]
    )


def test_micro_batches_reach_the_target(tmp_path):
    run = restore(problem(2), plan(2), tmp_path / "run", "c", microbatch=3)
    assert run.spec["microbatch"] == 3
    assert run.draws.shape[0] == 2


def test_without_a_truth_nothing_is_scored(tmp_path):
    restore(replace(problem(), truth=None), plan(2), tmp_path / "run", "c")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert not {"psnr", "ssim", "lpips"} & summary.keys()


def test_a_report_needs_no_file_that_the_operator_was_read_from(tmp_path):
    mask, kernel = tmp_path / "mask.npy", tmp_path / "kernel.npy"
    np.save(mask, noise.rows(1, 1).uniform(SHAPE[1:], noise.PROBE)[0].numpy() < 0.5)
    np.save(kernel, np.array([[1.0, 2.0, 0.0]]) / 3)
    text = f"conv:{kernel}+motion:length=3,seed=1+mask:{mask}"
    given = replace(problem(2), operator_text=text)
    given = replace(given, y=given.operator(given.truth))
    restore(given, plan(), tmp_path / "run", "")
    before = [entry.residual for entry in read_report_data(tmp_path / "run")[0]]
    held = open_store(tmp_path / "run").arrays
    assert torch.equal(
        held["operator_0_kernel"][...][1], torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.float64) / 3
    )
    assert {name for name in held if name.startswith("operator_")} == {
        "operator_0_kernel",
        "operator_2_mask",
    }
    mask.unlink()
    np.save(kernel, np.ones((3, 3)))
    after = [entry.residual for entry in read_report_data(tmp_path / "run")[0]]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
