import json
import re
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import noisewalk as nw
from noisewalk.cli.demo.images import held_out_images as images
from noisewalk.cli.main import _plan
from noisewalk.sampling.defaults import FRICTION

MAIN = "from noisewalk.cli.main import main; main()"


def run(*args, cwd=None):
    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=200,
    )


def test_a_degraded_image_becomes_a_run_folder(tmp_path):
    Image.fromarray(images(1)[0, ..., 0]).save(tmp_path / "boot.png")
    common = [
        "sample",
        tmp_path / "boot.png",
        "--simulate",
        "--prior",
        "fashion32",
        "--operator",
        "inpaint:keep=0.2",
        "--sigma-y",
        "12.75",
    ]
    sizes = [
        "--num-draws",
        "4",
        "--chains",
        "2",
        "--thin",
        "1",
        "--num-warmup",
        "3",
        "--warm-start",
        "5",
        "--out",
        tmp_path / "run",
    ]
    done = run(*common, *sizes)
    assert done.returncode == 0, done.stderr
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert {
        "spec.json",
        "run.zarr",
        "summary.json",
        "samples.png",
        "mean.png",
        "std.png",
        "report.html",
    } <= names
    announced = re.search(r"NFE about ([\d,]+)", done.stdout)
    assert announced is not None
    assert (
        int(announced[1].replace(",", ""))
        == json.loads((tmp_path / "run" / "summary.json").read_text())["nfe"]
    )
    again = run(*common, *sizes)
    assert again.returncode == 2
    assert "--resume" in again.stderr
    assert run(*common, *sizes, "--resume").returncode == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"--operator": "blurr"}, "blur"),
        ({"--operator": "avgpool:factor=5"}, "5"),
        ({"--sigma-y": "0"}, "positive"),
        ({"--sigma-y": "nan"}, "positive"),
        ({"--prior": "nothing"}, "fashion32"),
        ({"--kernel": "walk"}, "mala"),
        ({"--num-draws": "0"}, "num_draws"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, change, says):
    np.save(tmp_path / "y.npy", np.zeros((1, 32, 32), np.float32))
    options = {
        "--prior": "fashion32",
        "--operator": "inpaint:keep=0.2",
        "--sigma-y": "0.1",
        "--out": tmp_path / "run",
        **change,
    }
    failed = run("sample", tmp_path / "y.npy", *(part for pair in options.items() for part in pair))
    assert failed.returncode == 2
    assert len(failed.stderr.strip().splitlines()) == 1
    assert says in failed.stderr


def test_an_interrupted_run_says_what_is_kept(tmp_path):
    np.save(tmp_path / "y.npy", np.zeros((1, 32, 32), np.float32))
    words = [
        "sample",
        tmp_path / "y.npy",
        "--prior",
        "fashion32",
        "--operator",
        "hdr:factor=2",
        "--sigma-y",
        "0.1",
        "--out",
        tmp_path / "run",
    ]
    heard = partial(
        signal.signal, signal.SIGINT, signal.SIG_DFL
    )  # a shell's background jobs, and what they start, are born deaf to it
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heard,
    )
    for _ in range(600):
        if (tmp_path / "run" / "spec.json").exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1].strip()
    assert process.returncode == 130
    assert said == (
        f"interrupted: what is done so far is safe in {tmp_path / 'run'}; the same command "
        "with --resume goes on"
    )


@pytest.mark.parametrize("command", ["calibrate", "train"])
def test_a_folder_that_cannot_be_made_is_refused_before_the_work(tmp_path, command):
    (tmp_path / "file").write_text("in the way")
    np.savez(
        tmp_path / "d.npz",
        images=np.random.default_rng(0).integers(0, 255, (70, 32, 32), dtype=np.uint8),
    )
    words = ["train", "diffusion", "--data", tmp_path / "d.npz"]
    if command == "calibrate":
        words = [
            "calibrate",
            "--prior",
            "fashion32",
            "--operator",
            "avgpool:factor=8",
            "--sigma-y",
            "0.2",
        ]
    failed = run(*words, "--out", tmp_path / "file" / "below")
    assert failed.returncode == 2
    assert "cannot make the folder" in failed.stderr


def test_a_student_does_not_write_into_its_teachers_folder(tmp_path):
    failed = run("train", "distill", "--data", tmp_path, "--teacher", tmp_path, "--out", tmp_path)
    assert failed.returncode == 2
    assert "--teacher and --out are both" in failed.stderr


@pytest.mark.parametrize(("step_size", "num_leapfrog"), [(None, 4), (0.05, None), (0.05, 4)])
def test_options_of_hmc_without_a_kernel_are_those_of_the_default_one(step_size, num_leapfrog):
    target = nw.NoisePosterior(
        nw.maps.Affine(torch.eye(3), torch.zeros(3)),
        lambda x: x,
        nw.likelihoods.Gaussian(1.0),
        torch.zeros(1, 3),
    )
    plan = _plan(
        SimpleNamespace(target=lambda: target),
        None,
        step_size,
        None,
        2,
        None,
        2,
        None,
        0,
        num_leapfrog,
    )
    assert repr(plan.kernel) == repr(nw.HMC(step_size or 0.1, num_leapfrog or 8, friction=FRICTION))
    assert (plan.adapt is None) == (step_size is not None)
    assert (repr(plan.refresh), plan.num_warmup) == (
        repr(nw.Refresh()),
        120,
    )  # a given step takes away the adaptation alone


@pytest.mark.parametrize("kernel", [None, "hmc", "pcnl", "slice"])
def test_a_rank_builds_a_kernel_on_a_gauss_newton_gaussian(kernel):
    target = nw.NoisePosterior(
        nw.maps.Affine(torch.eye(3), torch.zeros(3)),
        lambda x: x,
        nw.likelihoods.Gaussian(1.0),
        torch.zeros(1, 3),
    )
    plan = _plan(
        SimpleNamespace(target=lambda: target), kernel, None, None, 2, None, 2, None, 0, None, 7
    )
    assert plan.refresh.rank == 7
    assert plan.num_warmup == 120
    by_frequency = _plan(
        SimpleNamespace(target=lambda: target),
        kernel,
        None,
        None,
        2,
        None,
        2,
        None,
        0,
        None,
        None,
        True,
    )
    assert (by_frequency.refresh, by_frequency.num_warmup) == (nw.SpectralRefresh(), 120)
