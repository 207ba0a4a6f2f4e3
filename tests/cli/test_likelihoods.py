"""`noisewalk sample --likelihood`: a run of each, simulated and measured, and what is refused in
one line."""

import functools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import noisewalk as nw
from noisewalk.cli.demo.images import held_out_images
from noisewalk.cli.main import main
from noisewalk.priors import load

READ_ONCE = functools.cache(load.load_prior)
TINY = (
    "--prior fashion32 --kernel mala --step-size 1e-4 --chains 2 --num-draws 2 --thin 1 "
    "--num-warmup 2 --warm-start 2"
)
EACH = {
    "gaussian": ("Gaussian(sigma_y=0.1)", ["--sigma-y", "12.75"]),
    "poisson:peak=30": ("Poisson(peak=30.0)", []),
    "laplace:scale=12.75": ("Laplace(scale=0.1)", []),
    "studentt:df=5,scale=12.75": ("StudentT(df=5.0, scale=0.1)", []),
    "unknown": ("UnknownGaussian(concentration=0.001, rate=0.001)", ["--sigma-y", "12.75"]),
}


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """`noisewalk` in this process, in its own folder; returns the exit status, the output and the
    errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "load_prior", READ_ONCE)
    Image.fromarray(held_out_images(1)[0, ..., 0]).save("boot.png")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["noisewalk", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


def sample(*words):
    return ["sample", *words, *TINY.split(), "--out", "run"]


def problem():
    return json.loads(Path("run/spec.json").read_text())["problem"]


def summary():
    return json.loads(Path("run/summary.json").read_text())


@pytest.mark.parametrize("likelihood", EACH)
def test_a_simulated_run_of_each_says_its_likelihood_and_resumes(command, likelihood):
    shown, more = EACH[likelihood]
    words = sample(
        "boot.png",
        "--simulate",
        "--operator",
        "inpaint:keep=0.2",
        "--likelihood",
        likelihood,
        *more,
    )
    code, out, err = command(*words)
    assert (code, err) == (0, "")
    assert shown in out
    spec = json.loads(Path("run/spec.json").read_text())
    assert shown in spec["target"]
    name = likelihood.split(":")[0]
    assert (
        spec["problem"]["likelihood"].split(":")[0] == summary()["likelihood"].split(":")[0] == name
    )
    assert spec["problem"].get("sigma_y") == (0.1 if name == "gaussian" else None)
    assert (summary()["chi2"] is None) == (name == "unknown")
    assert ("noise_level" in summary()) == (name == "unknown")
    assert spec["problem"]["likelihood"] in Path("run/report.html").read_text()
    y = nw.open_run("run").y
    assert bool((y == y.round()).all()) == (name == "poisson")
    before = nw.open_run("run").z.clone()
    code, _, err = command(*words, "--resume")
    assert (code, err) == (0, "")
    assert torch.equal(nw.open_run("run").z, before)
    other = [w if w != likelihood else "laplace:scale=20" for w in words]
    code, _, err = command(*(w for w in other if w not in ("--sigma-y", "12.75")), "--resume")
    assert code == 2
    assert "another run" in err


def test_the_report_of_a_run_is_that_of_its_likelihood(command):
    words = [
        "boot.png",
        "--simulate",
        "--operator",
        "avgpool:factor=4",
        "--likelihood",
        "poisson:peak=1000",
    ]
    assert command(*sample(*words))[0] == 0
    page = Path("run/report.html").read_text()
    assert "counts" in page
    assert "a Gaussian likelihood" in page  # why there is no p-value
    found = summary()["chi2"]
    run = nw.open_run("run")
    rate = 500 * (nw.operators.AveragePool(4)(run.draws[0].flatten(0, 1)) + 1).clamp(min=2e-4)
    assert found == pytest.approx(float(((run.y - rate) ** 2 / rate).mean()), rel=1e-4)
    assert command("report", "run")[0] == 0


@pytest.mark.parametrize("bounds", [[], ["--range", "100", "300"]])
def test_measured_counts_stay_counts_and_the_outputs_have_the_range(command, bounds):
    counts = np.random.default_rng(0).poisson(20, (8, 8)).astype(np.uint16)
    np.save("y.npy", counts)
    code, _, err = command(
        *sample(
            "y.npy", "--operator", "avgpool:factor=4", "--likelihood", "poisson:peak=40", *bounds
        )
    )
    assert (code, err) == (0, "")
    assert np.array_equal(nw.open_run("run").y[0, 0].numpy(), counts.astype(np.float32))
    assert problem()["value_range"] == ([100.0, 300.0] if bounds else [-1.0, 1.0])


def test_a_measurement_with_outliers_in_its_own_unit(command):
    np.save("y.npy", np.full((8, 8), 200.0))
    code, _, err = command(
        *sample(
            "y.npy",
            "--operator",
            "avgpool:factor=4",
            "--likelihood",
            "studentt:df=2,scale=5",
            "--range",
            "100",
            "300",
        )
    )
    assert (code, err) == (0, "")
    assert problem()["likelihood"] == "studentt:df=2.0,scale=0.05"
    assert summary()["chi2"] is None  # df 2 has no variance


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--likelihood", "cauchy"], "studentt:df=D,scale=S"),
        (["--likelihood", "poisson"], "peak"),
        (["--likelihood", "poisson:30"], "keys of poisson: peak"),
        (["--likelihood", "laplace:scale=0"], "scale must be a finite number above 0"),
        (["--likelihood", "gaussian"], "--sigma-y"),
        (["--likelihood", "poisson:peak=30", "--sigma-y", "0.1"], "leave it out"),
        (["--likelihood", "studentt:df=3,scale=1", "--sigma-y", "0.1"], "leave it out"),
        (["--likelihood", "unknown", "--sigma-y", "0.1"], "leave it out"),
        (["--likelihood", "poisson:peak=30"], "Poisson wants counts"),
        (["--likelihood", "poisson:peak=30", "--simulate", "--sigma-y", "0.1"], "leave it out"),
        (["--likelihood", "unknown", "--simulate"], "give --sigma-y"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(command, words, says):
    np.save("y.npy", np.full((1, 32, 32), -0.5, np.float32))
    code, _, err = command(*sample("y.npy", "--operator", "hdr:factor=2", *words))
    assert code == 2
    assert says in err
    assert len(err.splitlines()) == 1
    assert not Path("run").exists()


def test_calibrate_takes_a_likelihood_that_it_can_simulate(command):
    common = [
        "calibrate",
        "--prior",
        "fashion32",
        "--operator",
        "avgpool:factor=16",
        "--num-problems",
        "20",
        "--num-draws",
        "2",
    ]
    common += ["--kernel", "mala", "--step-size", "1e-3"]
    code, _, err = command(*common, "--likelihood", "poisson:peak=30", "--out", "calibration")
    assert (code, err) == (0, "")
    assert "Poisson(peak=30.0)" in Path("calibration/calibration.html").read_text()
    for words, says in (
        ([], "--sigma-y"),
        (["--likelihood", "unknown"], "concentration of at least 1"),
        (["--likelihood", "poisson"], "peak"),
    ):
        code, _, err = command(*common, *words, "--out", "other")
        assert code == 2
        assert says in err
        assert len(err.splitlines()) == 1
