"""`noisewalk sample`: runs of every likelihood, a killed and an interrupted run, and options that a
user gets wrong: exit status 2, one line that says so, no traceback, no run left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import noisewalk as nw

MAIN = "from noisewalk.cli.main import main; main()"
SHORT = "--chains 2 --num-draws 2 --thin 1 --num-warmup 2 --warm-start 2"
TINY = ["--prior", "fashion32", *SHORT.split()]
MALA = [*TINY, "--kernel", "mala", "--step-size", "1e-4", "--out", "run"]
SMC = {"kernel": "smc", "chains": None, "num_draws": None, "warm_start": None}
EACH = {
    "gaussian": ("Gaussian(sigma_y=0.1)", ["--sigma-y", "12.75"]),
    "poisson:peak=30": ("Poisson(peak=30.0)", []),
    "laplace:scale=12.75": ("Laplace(scale=0.1)", []),
    "studentt:df=5,scale=12.75": ("StudentT(df=5.0, scale=0.1)", []),
    "unknown": ("UnknownGaussian(concentration=0.001, rate=0.001)", ["--sigma-y", "12.75"]),
}


def facts():
    return json.loads(Path("run/spec.json").read_text())["problem"]


def summary():
    return json.loads(Path("run/summary.json").read_text())


def test_a_degraded_image_becomes_a_run_folder(noisewalk, boot):
    words = ["sample", boot, "--simulate", "--operator", "inpaint:keep=0.2", "--sigma-y", 12.75]
    words += [*TINY, "--out", "run"]
    code, out, err = noisewalk(*words)
    assert (code, err) == (0, "")
    names = {path.name for path in Path("run").iterdir()}
    pictures = {"samples.png", "mean.png", "std.png"}
    assert {"spec.json", "run.zarr", "summary.json", "report.html"} | pictures <= names
    announced = re.search(r"NFE about ([\d,]+)", out)
    assert announced is not None
    assert int(announced[1].replace(",", "")) == summary()["nfe"]
    assert out.endswith("open run/report.html\n")
    assert f"psnr {summary()['psnr']:.4g}" in out
    code, _, err = noisewalk(*words)
    assert code == 2
    assert "--resume" in err
    assert noisewalk(*words, "--resume")[0] == 0


@pytest.mark.parametrize("likelihood", EACH)
def test_a_simulated_run_of_each_likelihood_says_it_and_resumes(noisewalk, boot, likelihood):
    shown, more = EACH[likelihood]
    words = ["sample", boot, "--simulate", "--operator", "inpaint:keep=0.2", *MALA]
    code, out, err = noisewalk(*words, "--likelihood", likelihood, *more)
    assert (code, err) == (0, "")
    assert shown in out
    spec, name = json.loads(Path("run/spec.json").read_text()), likelihood.split(":")[0]
    assert spec["likelihood"]["name"] == shown.split("(")[0]
    assert facts()["likelihood"].split(":")[0] == summary()["likelihood"].split(":")[0] == name
    assert facts().get("sigma_y") == (12.75 if name == "gaussian" else None)
    assert (summary()["chi2"] is None) == (name == "unknown")
    assert ("noise_level" in summary()) == (name == "unknown")
    assert facts()["likelihood"] in Path("run/report.html").read_text()
    y = nw.open_run("run").y
    assert bool((y == y.round()).all()) == (name == "poisson")
    before = nw.open_run("run").z[...].clone()
    code, _, err = noisewalk(*words, "--likelihood", likelihood, *more, "--resume")
    assert (code, err) == (0, "")
    assert torch.equal(nw.open_run("run").z[...], before)
    code, _, err = noisewalk(*words, "--likelihood", "laplace:scale=20", "--resume")
    assert code == 2
    assert "another run" in err


def test_the_report_of_a_run_is_that_of_its_likelihood(noisewalk, boot):
    words = ["sample", boot, "--simulate", "--operator", "avgpool:factor=4", *MALA]
    assert noisewalk(*words, "--likelihood", "poisson:peak=1000")[0] == 0
    page = Path("run/report.html").read_text()
    assert "counts" in page
    run = nw.open_run("run")
    rate = 500 * (nw.operators.AveragePool(4)(run.draws[0].flatten(0, 1)) + 1).clamp(min=2e-4)
    expected = float(((run.y - rate) ** 2 / rate).mean())
    assert summary()["chi2"] == pytest.approx(expected, rel=1e-4)
    assert noisewalk("report", "run")[0] == 0


def test_measured_counts_stay_counts_and_the_outputs_have_the_range(noisewalk, tmp_path):
    counts = np.random.default_rng(0).poisson(20, (8, 8)).astype(np.uint16)
    np.save("y.npy", counts)
    words = ["sample", "y.npy", "--operator", "avgpool:factor=4", *MALA]
    words += ["--likelihood", "poisson:peak=40"]
    for bounds, expected in (([], [-1.0, 1.0]), (["--range", 100, 300], [100.0, 300.0])):
        out = ["--out", f"run{len(bounds)}"]
        code, _, err = noisewalk(*words, *bounds, *out)
        assert (code, err) == (0, "")
        assert np.array_equal(nw.open_run(out[1]).y[0, 0].numpy(), counts.astype(np.float32))
        spec = json.loads(Path(out[1], "spec.json").read_text())
        assert spec["problem"]["range"] == expected


def test_a_measurement_with_outliers_in_its_own_unit(noisewalk):
    np.save("y.npy", np.full((8, 8), 200.0))
    words = ["sample", "y.npy", "--operator", "avgpool:factor=4", "--range", 100, 300, *MALA]
    code, _, err = noisewalk(*words, "--likelihood", "studentt:df=2,scale=5")
    assert (code, err) == (0, "")
    assert facts()["likelihood"] == "studentt:df=2,scale=5"
    assert summary()["chi2"] is None  # df 2 has no variance


def test_a_fits_file_is_restored_in_its_unit_and_shown_the_right_way_up(noisewalk):
    fits = pytest.importorskip("astropy.io.fits")
    values = np.linspace(0.0, 4.0, 64, dtype=np.float32).reshape(8, 8)
    level, quality = np.full((8, 8), 0.04), np.zeros((8, 8), np.int16)
    quality[0, :3], quality[1, 0] = 4, 1
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(values, name="SCI")]
    hdus += [fits.ImageHDU(level, name="VAR"), fits.ImageHDU(quality, name="DQ")]
    hdus[1].header["BUNIT"] = "MJy/sr"
    fits.HDUList(hdus).writeto("obs.fits")
    words = ["sample", "obs.fits[SCI]", "--operator", "avgpool:factor=4", "--range", 0, 4, *MALA]
    words += ["--missing", "obs.fits[DQ]", "--bits", "2", "--sigma-y", "obs.fits[VAR]"]
    code, out, err = noisewalk(*words, "--variance")
    assert (code, err) == (0, "")
    assert "missing: 3 of 64\n" in out
    run, told = nw.open_run("run"), facts()
    assert run.num_observed.tolist() == [61]
    torch.testing.assert_close(run.y[0, 0, 1:], torch.from_numpy(values[1:] / 2 - 1))
    assert (told["sigma_y"], told["unit"]) == ("obs.fits[VAR]", "MJy/sr")
    mean, shown = np.load("run/mean.npy"), np.asarray(Image.open("run/mean.png"))
    np.testing.assert_allclose(mean, 2 + 2 * run.mean[0].numpy(), rtol=1e-6)
    factor = len(shown) // 32
    rows = np.rint(np.clip(mean[0, ::-1], 0, 4) * 63.75)
    assert np.abs(shown[::factor, ::factor].astype(float) - rows).max() <= 1
    page = Path("run/report.html").read_text()
    assert page.count("MJy/sr</span>") >= 3  # ends of colour bars
    r = (run.y - nw.operators.AveragePool(4)(run.draws[0].flatten(0, 1))) / 0.1
    r[:, :, 0, :3] = 0
    assert summary()["chi2"] == pytest.approx(float((r**2).sum() / 61 / len(r)), rel=1e-4)
    assert noisewalk(*words, "--variance", "--resume")[0] == 0
    assert noisewalk("report", "run")[0] == 0


def test_the_noise_is_told_as_it_was_typed(noisewalk):
    tifffile = pytest.importorskip("tifffile")
    values = np.full((32, 32), 0.15, np.float32)
    values[:12, :12] = 0
    nodata = [(42113, "s", 0, "0", True)]
    tifffile.imwrite("a.tif", values, photometric="minisblack", extratags=nodata, metadata=None)
    words = ["sample", "a.tif", "--operator", "identity", "--range", 0, 0.3, *MALA]
    code, out, err = noisewalk(*words, "--sigma-y", "0.014")
    assert (code, err) == (0, "")
    assert "missing: 144 of 1,024\n" in out
    assert "gaussian, sigma_y 0.014\n" in out
    assert facts()["sigma_y"] == 0.014
    page = Path("run/report.html").read_text()
    assert "0.014" in page
    assert "0.0933" not in page
    run = nw.open_run("run")
    assert run.num_observed.tolist() == [880]
    r = (run.y - run.draws[0].flatten(0, 1)) / (0.014 / 0.15)
    r[:, :, :12, :12] = 0
    assert summary()["chi2"] == pytest.approx(float((r**2).sum() / 880 / len(r)), rel=1e-4)


def test_a_name_that_is_not_utf8_is_shown_escaped(noisewalk):
    name = os.fsdecode(b"caf\xe9.npy")
    np.save("y.npy", np.zeros((8, 8), np.float32))
    os.rename("y.npy", name)
    words = ["sample", name, "--operator", "avgpool:factor=4", "--sigma-y", 0.1, *MALA]
    code, out, err = noisewalk(*words)
    assert (code, err) == (0, "")
    assert facts()["source"] == "caf\\xe9.npy"
    assert "caf\\xe9.npy: avgpool" in Path("run/report.html").read_text()
    assert out.startswith("caf\\xe9.npy: avgpool")
    assert noisewalk(*words, "--resume")[0] == 0


def test_particles_become_a_run_folder_too(noisewalk):
    np.save("y.npy", np.zeros((4, 4), np.float32))
    words = ["sample", "y.npy", "--operator", "avgpool:factor=8", "--prior", "fashion32"]
    words += ["--sigma-y", 1, "--kernel", "smc", "--num-particles", 4, "--num-moves", 1]
    code, out, err = noisewalk(*words, "--num-leapfrog", 1, "--out", "run")
    assert code == 0, err
    assert "NFE about" in out
    assert nw.open_run("run").draws.shape == (1, 4, 1, 1, 32, 32)


def test_a_run_in_float64_is_in_float64(noisewalk, boot):
    words = ["sample", boot, "--simulate", "--operator", "avgpool:factor=8", "--sigma-y", 20]
    assert noisewalk(*words, *MALA, "--dtype", "float64")[0] == 0
    run = nw.open_run("run")
    assert run.y.dtype == run.draws[...].dtype == torch.float64


def test_an_interrupted_run_says_what_is_kept(tmp_path):
    np.save(tmp_path / "y.npy", np.zeros((1, 32, 32), np.float32))
    words = ["sample", tmp_path / "y.npy", "--prior", "fashion32", "--operator", "hdr:factor=2"]
    words += ["--sigma-y", "0.1", "--out", tmp_path / "run"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(  # the jobs that a shell starts in the background are deaf to it
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
        f"interrupted: what is done so far is safe in {tmp_path / 'run'}; the same command with "
        "--resume goes on"
    )


KILLED = """
import os, signal, sys
from noisewalk.cli.main import main
from noisewalk.storage.segments import SegmentWriter
written, write = 0, SegmentWriter.write
def dying(*args):
    global written
    written += 1
    if written > 8 * 3 + 2:  # eight arrays a draw: three draws and a quarter
        os.kill(os.getpid(), signal.SIGKILL)
    write(*args)
SegmentWriter.write = dying
main()
"""


def test_a_killed_run_resumes_to_the_draws_of_one_that_was_not(noisewalk, boot):
    words = ["sample", boot, "--simulate", "--prior", "fashion32", "--operator", "inpaint:keep=0.2"]
    short = (
        "--kernel mala --chains 2 --num-draws 6 --thin 1 --num-warmup 6 --start adam --warm-start 3"
    )
    words += ["--sigma-y", "60", *short.split()]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # a run's specification holds them
    died = subprocess.run(
        [sys.executable, "-c", KILLED, *words, "--out", "killed"],
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    stopped = nw.open_run("killed")
    assert stopped.draws.shape == (1, 2, 3, 1, 32, 32)
    assert not stopped.complete
    kept = stopped.draws[...].clone()
    assert noisewalk(*words, "--out", "killed", "--resume")[0] == 0
    assert noisewalk(*words, "--out", "whole")[0] == 0
    killed, whole = nw.open_run("killed"), nw.open_run("whole")
    assert killed.complete
    assert torch.equal(killed.draws[:, :, :3], kept)
    for name in ("x", "z", "nll", "acceptance_rate", "step_size"):
        assert torch.equal(killed.arrays[name][...], whole.arrays[name][...])
    assert len(whole.z[0].flatten(0, 1).flatten(1).unique(dim=0)) > 4  # the chains move
    assert killed.nfe == whole.nfe == 2 * (1 + 3 + 6 + 6)
    specs = [json.loads(Path(name, "spec.json").read_text()) for name in ("killed", "whole")]
    for spec in specs:
        del spec["command"], spec["checksum"]
    assert specs[0] == specs[1]


def test_options_of_an_image_and_of_a_measurement_do_not_mix(sample):
    assert "--fit belongs to a clean image" in sample(fit="crop")
    for name in ("missing", "observed", "bits", "band_range"):
        option = name.replace("_", "-")
        says = sample("y.npy", "--simulate", **{name: "1"})
        assert f"a clean image (--simulate) does not read --{option} (got 1)" in says
    assert "does not read --variance" in sample("y.npy", "--simulate", "--variance")
    assert "crop, resize, pad" in sample("y.npy", "--simulate", fit="stretch")


def test_an_option_that_the_kernel_does_not_read_is_refused(sample):
    unread = {
        "smc": ("num_draws", "chains", "thin", "num_warmup", "warm_start", "lr"),
        "em": ("num_leapfrog", "rank", "num_particles"),
        "mala": ("num_leapfrog", "rank"),
        "slice": ("num_leapfrog", "step_size"),
        "hmc": ("num_particles", "num_moves"),
        None: ("num_particles", "num_moves"),
    }
    usual = {"chains": None, "num_draws": None, "warm_start": None}
    for kernel, names in unread.items():
        for name in names:
            says = sample(**{**usual, "kernel": kernel, name: "7"})
            assert f"does not read --{name.replace('_', '-')}" in says
            assert (kernel or "the default kernel") in says
    for change in ({"kernel": "em", "step_size": "1e-4"}, {"kernel": "mala"}, SMC):
        assert "does not read --spectral" in sample("y.npy", "--spectral", **change)
    assert "--spectral does not read --rank" in sample("y.npy", "--spectral", rank=7)
    assert "--start randomized does not read --lr" in sample(lr=0.1)
    assert "--start prior does not read --lr" in sample("y.npy", "--start", "prior", lr=0.1)
    assert "--start prior does not read --warm-start" in sample("y.npy", "--start", "prior")
    assert "choose one of randomized, adam, prior" in sample("y.npy", "--start", "middle")
    assert "choose one of short_chains, long_chains" in sample("y.npy", "--plan", "long")


def test_an_unknown_kernel_lists_the_known_ones(sample):
    says = sample(kernel="walk")
    assert all(name in says for name in ("em", "ei", "mala", "pcnl", "hmc", "slice", "smc"))


def test_an_unknown_prior_is_named(sample):
    os.mkdir("empty")
    for prior in ("fashion33", "./absent", "empty"):
        says = sample(prior=prior)
        assert prior.removeprefix("./") in says
        assert prior == "empty" or "fashion32" in says


def test_a_count_out_of_range_is_refused(sample):
    for change, says in (
        ({"num_draws": 0}, "num_draws"),
        ({"num_draws": -3}, "num_draws"),
        ({"num_draws": "1.5"}, "--num-draws"),
        ({"chains": 0}, "num_chains"),
        ({"thin": 0}, "thin"),
        ({"num_warmup": -1}, "num_warmup"),
        ({"num_warmup": 0, "rank": 7}, "num_warmup"),
        ({"warm_start": -1}, "num_steps"),
        ({"warm_start": 5, "lr": 0}, "lr"),
        ({"warm_start": 5, "lr": "nan"}, "lr"),
        ({"microbatch": 0}, "microbatch"),
        ({"num_steps": 0}, "num_steps"),
        ({"num_steps": 3}, "num_steps"),
        ({"num_steps": -1}, "num_steps"),
        ({"step_size": "nan"}, "step_size"),
        ({**SMC, "num_moves": "many"}, "--num-moves"),
        ({"device": "abacus"}, "abacus"),
        ({"dtype": "int8"}, "int8"),
        ({"sigma_y": "much"}, "--sigma-y"),
        ({"sigma_y": "0,1"}, "--sigma-y"),
        ({"sigma_y": ""}, "--sigma-y"),
    ):
        assert says in sample(**change), change


def test_an_option_that_is_unknown_or_missing_is_named(sample):
    assert "--stepsize" in sample("y.npy", "--stepsize", "1")
    assert "--prior" in sample(prior=None)
    assert "--operator" in sample(operator=None)


def test_a_folder_that_cannot_be_made_is_named(sample):
    before = Path("y.npy").read_bytes()
    for out in ("y.npy", "y.npy/run", "y.npy/deep/run"):
        assert out in sample(out=out)
    assert Path("y.npy").read_bytes() == before


def test_somebody_elses_folder_is_left_alone(sample):
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("2019")
    assert "thesis.txt" in sample(out="mine")
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]


def test_a_run_is_neither_overwritten_nor_mixed_with_another(sample):
    phi, likelihood = nw.maps.Warp((2,)), nw.likelihoods.Gaussian(0.1)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), likelihood, torch.zeros(1, 2))
    nw.sample(target, nw.Langevin(0.1), 2, 1, warm_start=None, progress=False, store="used")

    def content():
        return {path: path.read_bytes() for path in Path("used").rglob("*") if path.is_file()}

    before = content()
    assert "--resume" in sample(out="used")
    assert "--resume" in sample(out="used", prior="./absent")  # before a prior is looked for
    assert "another run" in sample("y.npy", "--resume", out="used")
    assert content() == before


def test_code_of_ones_own_is_a_prior_and_the_run_records_its_hash(noisewalk, tmp_path):
    import hashlib

    code = (
        "import torch, noisewalk as nw\n"
        "def make():\n"
        "    return nw.maps.Generator(lambda z: torch.tanh(z), (1, 8, 8), (1, 8, 8))\n"
    )
    (tmp_path / "model.py").write_text(code)
    np.save(tmp_path / "y.npy", np.zeros((1, 4, 4), np.float32))
    command = (
        tmp_path / "y.npy", "--prior", f"{tmp_path}/model.py:make",
        "--operator", "avgpool:factor=2", "--sigma-y", "0.3",
        "--kernel", "ei", "--step-size", "0.1", "--num-draws", "2",
        "--start", "prior",
    )  # fmt: skip
    assert noisewalk("sample", *command, "--out", tmp_path / "run")[0] == 0
    spec = json.loads((tmp_path / "run" / "spec.json").read_text())
    sha256 = hashlib.sha256(code.encode()).hexdigest()
    assert f"model.py:make#{sha256[:8]}" in json.dumps(spec)
    status, _, err = noisewalk("sample", *command, "--label", "3", "--out", tmp_path / "other")
    assert status == 2
    assert "is code of yours: leave --label out" in err
