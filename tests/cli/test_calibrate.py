"""The calibrate command on a small problem, and the page it writes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk.evaluate.calibrate import around, blocks
from noisewalk.sampling.defaults import resolve

PROBLEM = ["calibrate", "--prior", "fashion32", "--operator", "avgpool:factor=16"]
LEVEL = ["--sigma-y", "0.2"]
SMALL = ["--num-problems", "20", "--num-draws", "2"]
MALA = ["--kernel", "mala", "--step-size", "1e-3"]


def test_it_writes_a_page_with_its_plot_and_refuses_a_used_folder(noisewalk, refused):
    code, out, err = noisewalk(*PROBLEM, *LEVEL, *SMALL, *MALA, "--out", "c")
    assert code == 0, err
    numbers = json.loads(Path("c/calibration.json").read_text())
    assert len(numbers["ranks"]) == 20
    assert numbers["test"] == "exactness"
    page = Path("c/calibration.html").read_text()
    assert "data:image/png;base64," in page
    assert "avgpool:factor=16" in page
    assert "open c/calibration.html" in out
    assert "not an empty folder" in refused(*PROBLEM, *LEVEL, "--out", "c")


def test_it_takes_a_likelihood_that_it_can_simulate(noisewalk, refused):
    common = [*PROBLEM, *SMALL, *MALA]
    code, _, err = noisewalk(*common, "--likelihood", "poisson:peak=30", "--out", "calibration")
    assert (code, err) == (0, "")
    assert "Poisson(peak=30.0)" in Path("calibration/calibration.html").read_text()
    for words, says in (
        ([], "--sigma-y"),
        (["--likelihood", "unknown"], "concentration of at least 1"),
        (["--likelihood", "poisson"], "peak"),
    ):
        assert says in refused(*common, *words, "--out", "other")


def test_an_unadjusted_kernel_is_no_candidate_for_exactness(refused):
    unadjusted = ["--kernel", "em", "--step-size", "1e-5"]
    assert "unadjusted" in refused(*PROBLEM, *LEVEL, *unadjusted, "--out", "c")


def test_an_option_that_nothing_reads_is_refused(refused):
    for words in (
        "--step-size 0.1",
        "--num-leapfrog 4",
        "--kernel mala --num-leapfrog 4",
        "--kernel slice --step-size 0.1",
        "--num-carried 30",
        "--num-warmup 9",
        "--kernel hmc --warm-start 9",
        "--kernel hmc --warm-start 0",
        "--kernel mala --spectral",
        "--test converged --kernel smc --thin 2",
        "--test converged --kernel smc --num-warmup 9",
        "--test converged --kernel smc --step-size 0.1",
    ):
        option = [word for word in words.split() if word.startswith("--")][-1]
        says = refused(*PROBLEM, *LEVEL, "--out", "c", *words.split())
        assert f"does not read {option}" in says


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(refused):
    Path("file").write_text("in the way")
    says = refused(*PROBLEM, *LEVEL, "--out", "file/below")
    assert "cannot make the folder" in says


@pytest.fixture
def run(noisewalk, boot, monkeypatch):
    """A small run, and chains of a few calls around its measurement."""

    def quick(run, joint, num_chains, seed):
        settings = {"warm_start": None, "num_warmup": 0, "seed": seed}
        return resolve(joint, nw.EllipticalSlice(), 1, num_chains, **settings)

    monkeypatch.setattr(around, "_plan", quick)
    problem = ["--prior", "fashion32", "--operator", "avgpool:factor=8", "--sigma-y", "20"]
    quiet = ["--kernel", "slice", "--num-warmup", "0", "--warm-start", "0", "--chains", "2"]
    words = ["sample", boot, "--simulate", *problem, *quiet, "--out", "run"]
    code, _, err = noisewalk(*words, "--num-draws", "6")
    assert code == 0, err
    return words


def test_around_a_run_it_writes_into_the_runs_folder_and_leaves_its_draws(run, noisewalk, refused):
    before, draws = Path("run/spec.json").read_bytes(), nw.open_run("run").draws[...]
    code, out, err = noisewalk("calibrate", "run", "--num-problems", "20", "--chains", "2")
    assert code == 0, err
    first, *_ = out.splitlines()
    assert first.startswith("20 problems of 2 chains: about ")
    assert "12 are the truths, each of up to 2 problems" in first
    assert "coverage of the intervals of 33 %" in out
    assert "open run/calibration.html" in out
    numbers = json.loads(Path("run/calibration.json").read_text())
    assert (numbers["num_problems"], numbers["num_chains"], numbers["num_truths"]) == (20, 2, 12)
    assert numbers["passed"] == (numbers["p_value"] >= 0.01)
    assert numbers["p_value"] == min(numbers["p_values"].values())
    assert torch.tensor(numbers["ranks"]).shape == (20, 9)
    assert torch.tensor(numbers["coverage"]["empirical"]).shape == (1, 9)
    page = Path("run/calibration.html").read_text()
    for text in ("boot.png: avgpool:factor=8", "different truths", "distance of x"):
        assert text in page
    assert Path("run/spec.json").read_bytes() == before
    assert torch.equal(nw.open_run("run").draws[...], draws)
    code, _, err = noisewalk(*run, "--num-draws", "7", "--resume")
    assert code == 0, err
    assert torch.equal(nw.open_run("run").draws[:, :, :6], draws)
    assert json.loads(Path("run/calibration.json").read_text()) == numbers


def test_an_engine_gives_the_same_calibration_and_goes_on(run, noisewalk, monkeypatch):
    words = ["calibrate", "run", "--num-problems", "20", "--chains", "2"]
    assert noisewalk(*words)[0] == 0
    alone = json.loads(Path("run/calibration.json").read_text())
    done = []

    def stop(shared, span):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(span)
        return block(shared, span)

    block = blocks._block
    monkeypatch.setattr(blocks, "_block", stop)
    code, _, err = noisewalk(*words, "--engine", "serial")
    assert (code, "the same command goes on" in err) == (130, True)
    (folder,) = Path("run").glob(".calibration-*")
    assert nw.open_run(folder / "0").complete
    monkeypatch.setattr(blocks, "_block", block)
    code, _, err = noisewalk(*words, "--engine", "serial")
    assert (code, err) == (0, "")
    assert not folder.exists()
    found = json.loads(Path("run/calibration.json").read_text())
    assert found["ranks"] == alone["ranks"]
    assert found["p_values"] == alone["p_values"]


def test_a_stop_leaves_the_run_as_it_was(run, noisewalk, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(around, "draw", stop)
    before = sorted(path.name for path in Path("run").iterdir())
    code, _, err = noisewalk("calibrate", "run")
    assert (code, "run is as it was" in err) == (130, True)
    assert sorted(path.name for path in Path("run").iterdir()) == before


def test_what_is_for_the_other_form_is_refused(refused):
    for words in ("--num-draws 3", "--test converged", "--out c", "--spectral"):
        says = refused("calibrate", "run", *words.split())
        assert f"calibrate RUN does not read {words.split()[0]}" in says
    assert "does not read --chains" in refused(*PROBLEM, *LEVEL, "--chains", "3")
    assert "does not read --engine" in refused(*PROBLEM, *LEVEL, "--engine", "serial")
    assert "--workers is for --engine process" in refused("calibrate", "run", "--workers", "2")
    assert "leave --prior fashion32 out" in refused("calibrate", "run", "--prior", "fashion32")
    assert "--prior and --operator" in refused("calibrate", "--prior", "fashion32")
    assert "no-such-run" in refused("calibrate", "no-such-run")


def test_a_run_of_ones_own_code_is_calibrated_with_the_code_named(noisewalk, refused):
    own = Path("own.py")
    own.write_text(
        "import torch, noisewalk as nw\n\n\ndef make():\n"
        "    return nw.maps.Generator(torch.nn.Tanh(), (1, 3, 3), (1, 3, 3))\n"
    )
    np.save("y.npy", np.linspace(-0.5, 0.5, 9, dtype=np.float32).reshape(3, 3))
    made = "sample y.npy --prior own.py:make --operator identity --sigma-y 0.5 --out made"
    code, _, err = noisewalk(*made.split(), "--chains", "8", "--num-warmup", "4", "--thin", "2")
    assert code == 0, err
    around_it = ("calibrate", "made", "--num-problems", "20", "--chains", "2")
    assert "add --prior own.py:make" in refused(*around_it)
    code, out, err = noisewalk(*around_it, "--prior", "own.py:make")
    assert (code, "shift of x" in out) == (0, True), err
    assert "leave --prior fashion32 out" in refused(*around_it, "--prior", "fashion32")
    own.write_text(own.read_text().replace("(1, 3, 3)", "(1, 3, 3,)"))
    assert "unchanged" in refused(*around_it, "--prior", "own.py:make")
