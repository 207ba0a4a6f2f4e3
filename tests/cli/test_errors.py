"""What a user can get wrong on the command line: exit status 2, one line that says so, no
traceback, and no run left behind."""

import functools
import json
import os
import signal
import subprocess
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

SHAPE = (1, 32, 32)
READ_ONCE = functools.cache(load.load_prior)


def measurement(shape=SHAPE, **changes):
    """A plausible y; `changes` says which flat entries hold what."""
    y = np.zeros(shape, np.float32)
    for place, value in changes.items():
        y.flat[int(place[1:])] = value
    return y


@pytest.fixture
def sample(tmp_path, monkeypatch, capsys):
    """`noisewalk sample` in this process, with options that are right unless changed; returns the
    one line it prints and its run folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "load_prior", READ_ONCE)
    np.save("y.npy", measurement())

    def fails(input="y.npy", *flags, **change):
        options = {
            "prior": "fashion32",
            "operator": "hdr:factor=2",
            "sigma_y": "0.1",
            "chains": "1",
            "num_draws": "1",
            "warm_start": "0",
            "out": "run",
            **change,
        }
        words = [
            word
            for key, value in options.items()
            if value is not None
            for word in (f"--{key.replace('_', '-')}", str(value))
        ]
        monkeypatch.setattr(sys, "argv", ["noisewalk", "sample", str(input), *words, *flags])
        with pytest.raises(SystemExit) as ended:  # anything else would be a traceback
            main()
        err = capsys.readouterr().err
        assert ended.value.code == 2, err
        lines = err.splitlines()
        assert len(lines) == 1, err
        assert lines[0].startswith("error: ")
        assert len(lines[0]) > len("error: ") + 20
        return lines[0]

    yield fails
    assert not (tmp_path / "run" / "run.zarr").exists()


def picture(path, mode="L", size=(32, 32)):
    Image.new(mode, size).save(path)
    return path


@pytest.mark.parametrize(
    ("mode", "size"), [("L", (28, 28)), ("L", (64, 32)), ("RGB", (32, 32)), ("RGB", (40, 30))]
)
def test_a_picture_of_another_size_or_channel_count_names_fit(sample, mode, size):
    says = sample(picture("p.png", mode, size), "--simulate", sigma_y="10")
    assert "--fit" in says
    assert str((3 if mode == "RGB" else 1, size[1], size[0])) in says
    assert str(SHAPE) in says


@pytest.mark.parametrize(
    ("size", "fit", "says"),
    [
        ((20, 20), "crop", "pad or resize"),
        ((40, 40), "pad", "crop or resize"),
        ((40, 40), "stretch", "crop, resize or pad"),
    ],
)
def test_a_fit_that_cannot_be_is_refused_with_the_ones_that_can(sample, size, fit, says):
    assert says in sample(picture("p.png", size=size), "--simulate", sigma_y="10", fit=fit)


def test_options_of_an_image_and_of_a_measurement_do_not_mix(sample):
    assert "--fit belongs to a clean image" in sample(fit="crop")
    assert "--missing belongs to a measurement" in sample("y.npy", "--simulate", missing="nan")


@pytest.mark.parametrize(
    ("operator", "says"),
    [
        ("blurr", "'blur'"),
        (":", "known: "),
        ("avgpool", "factor"),
        ("avgpool:4", "key=value"),
        ("avgpool:factor=", "whole number"),
        ("avgpool:factor=2.5", "whole number"),
        ("avgpool:factor=0", "at least 1"),
        ("avgpool:factor=5", "32"),
        ("avgpool:factor=4+avgpool:factor=3", "8"),
        ("blur:kernel_size=4", "kernel_size"),
        ("blur:std=-1", "std"),
        ("inpaint:keep=1.5", "keep"),
        ("box:top=30,left=0,height=8,width=8", "32"),
        ("box:top=0,left=0,height=32,width=32", "32"),
        ("mask:absent.npy", "absent.npy"),
        ("conv:absent.npy", "absent.npy"),
        ("hdr:factor=2+", "'2+'"),
    ],
)
def test_an_operator_that_cannot_be_says_what_is_wrong_with_it(sample, operator, says):
    assert says in sample(operator=operator)


@pytest.mark.parametrize("sigma", ["0", "-0.1", "nan", "inf", None])
def test_a_noise_level_that_is_none_is_refused(sample, sigma):
    assert "--sigma-y" in sample(sigma_y=sigma)
    assert "--sigma-y" in sample(picture("p.png"), "--simulate", sigma_y=sigma)


@pytest.mark.parametrize("sigma", ["much", "0,1", ""])
def test_a_number_that_is_none_names_its_option(sample, sigma):
    assert "--sigma-y" in sample(sigma_y=sigma)


def test_nan_in_an_observed_entry_names_missing(sample):
    np.save("y.npy", measurement(e0=np.nan, e5=np.nan, e9=np.inf))
    says = sample()
    assert "--missing" in says
    assert "2 NaN and 1 infinite" in says


def test_a_gap_does_not_excuse_another_entry(sample):
    np.save("y.npy", measurement(e0=np.nan, e9=np.inf))
    assert "infinite" in sample(missing="nan")
    np.save("mask.npy", measurement(e3=1) == 0)  # hides entry 3, not entry 0
    assert "1 NaN" in sample(missing="mask.npy")


def test_a_measurement_without_an_observed_entry_is_refused(sample):
    np.save("y.npy", np.full(SHAPE, np.nan, np.float32))
    assert "no observed entry" in sample(missing="nan")


@pytest.mark.parametrize("mask", ["absent.npy", "mask.txt", "small.npy"])
def test_a_mask_that_cannot_be_used_is_named(sample, mask):
    np.save("small.npy", np.ones((8, 8), bool))
    assert mask in sample(missing=mask)


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (8, 8), (3, 32, 32), (2, 1, 32, 32), (32, 32, 1, 1), (1024,)]
)
def test_a_measurement_of_another_shape_says_both_shapes(sample, shape):
    np.save("y.npy", measurement(shape))
    says = sample(operator="avgpool:factor=2")
    assert str((1, 16, 16)) in says
    assert str(shape if len(shape) != 2 else (1, *shape)) in says


@pytest.mark.parametrize("flags", [(), ("--simulate",)])
@pytest.mark.parametrize(("low", "high"), [("1", "-1"), ("2", "2"), ("nan", "1")])
def test_a_range_that_is_none_is_refused(sample, flags, low, high):
    assert "--range LO HI" in sample("y.npy", *flags, "--range", low, high)


def test_floats_beyond_their_scale_name_the_range(sample):
    np.save("y.npy", measurement(e0=255.0))
    assert "--range" in sample()


def corrupt(kind):
    if kind == "truncated.png":
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)).save(
            "whole.png"
        )
        content = Path("whole.png").read_bytes()
        return content[: len(content) // 2]
    if kind == "truncated.npy":
        return Path("y.npy").read_bytes()[:300]
    return b"" if kind == "empty.png" else b"not an image at all"


@pytest.mark.parametrize(
    "kind",
    ["truncated.png", "truncated.npy", "empty.png", "text.png", "text.jpg", "text.npy", "text.npz"],
)
@pytest.mark.parametrize("flags", [(), ("--simulate",)])
def test_a_damaged_file_is_named(sample, kind, flags):
    Path(kind).write_bytes(corrupt(kind))
    assert kind in sample(kind, *flags)


@pytest.mark.parametrize(
    "name", ["absent.png", "absent/y.npy", "folder", "notes.txt", "y.npy/y.npy", "noextension"]
)
@pytest.mark.parametrize("flags", [(), ("--simulate",)])
def test_a_file_that_is_not_there_or_no_image_is_named(sample, name, flags):
    os.mkdir("folder")
    for known in ("notes.txt", "noextension"):
        Path(known).touch()
    assert name in sample(name, *flags)


@pytest.mark.parametrize("prior", ["fashion33", "./absent", "empty"])
def test_an_unknown_prior_is_named(sample, prior):
    os.mkdir("empty")
    says = sample(prior=prior)
    assert prior.removeprefix("./") in says
    assert prior == "empty" or "fashion32" in says


@pytest.mark.parametrize("steps", ["0", "3", "-1"])
def test_a_map_of_another_number_of_steps_is_refused(sample, steps):
    assert "num_steps" in sample(num_steps=steps)


def test_an_unknown_kernel_lists_the_known_ones(sample):
    says = sample(kernel="walk")
    assert all(name in says for name in ("em", "ei", "mala", "pcnl"))


@pytest.mark.parametrize("step", ["0", "nan", "-1e-3", "inf"])
@pytest.mark.parametrize("kernel", [None, "em"])
def test_a_step_size_that_is_none_is_refused(sample, step, kernel):
    assert "step_size must be positive and finite" in sample(step_size=step, kernel=kernel)


@pytest.mark.parametrize("kernel", ["em", "ei"])
def test_an_unadjusted_kernel_needs_its_step(sample, kernel):
    assert "--step-size" in sample(kernel=kernel)


@pytest.mark.parametrize(
    ("kernel", "option"),
    [
        *(
            ("smc", option)
            for option in ("num_draws", "chains", "thin", "num_warmup", "warm_start", "lr")
        ),
        *((kernel, "num_leapfrog") for kernel in ("em", "mala", "slice")),
        *(
            (kernel, option)
            for kernel in (None, "hmc")
            for option in ("num_particles", "num_moves")
        ),
        *((kernel, "rank") for kernel in ("em", "mala")),
    ],
)
def test_an_option_that_the_kernel_does_not_read_is_refused(sample, kernel, option):
    says = sample(
        **{"chains": None, "num_draws": None, "warm_start": None, "kernel": kernel, option: "7"}
    )
    assert f"does not read --{option.replace('_', '-')}" in says


SMC = {"kernel": "smc", "chains": None, "num_draws": None, "warm_start": None}


@pytest.mark.parametrize(
    "change",
    [{"kernel": "em", "step_size": "1e-4"}, {"kernel": "mala"}, SMC],
    ids=["em", "mala", "smc"],
)
def test_the_spectral_preconditioner_is_refused_where_nothing_reads_it(sample, change):
    assert "does not read --spectral" in sample("y.npy", "--spectral", **change)


def test_one_preconditioner_is_chosen(sample):
    assert "--spectral does not read --rank" in sample("y.npy", "--spectral", rank=7)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_draws": 0}, "num_draws"),
        ({"num_draws": -3}, "num_draws"),
        ({"num_draws": "1.5"}, "--num-draws"),
        ({"chains": 0}, "num_chains"),
        ({"thin": 0}, "thin"),
        ({"num_warmup": -1}, "num_warmup"),
        ({"num_warmup": 0}, "num_warmup"),
        ({"warm_start": -1}, "num_steps"),
        ({"warm_start": 5, "lr": 0}, "lr"),
        ({"warm_start": 5, "lr": "nan"}, "lr"),
        ({"microbatch": 0}, "microbatch"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_a_count_out_of_range_is_refused(sample, change, says):
    assert says in sample(**change)


@pytest.mark.parametrize(
    ("moves", "says"),
    [
        ("many", "--num-moves"),
        ("0", "num_moves"),
        ("4,2", "num_moves"),
        ("1,2,3", "num_moves"),
        ("", "--num-moves"),
    ],
)
def test_moves_that_are_none_are_refused(sample, moves, says):
    assert says in sample(
        **{
            "chains": None,
            "num_draws": None,
            "warm_start": None,
            "kernel": "smc",
            "num_moves": moves,
        }
    )


def test_an_unknown_option_is_named(sample):
    assert "--stepsize" in sample("y.npy", "--stepsize", "1")


@pytest.mark.parametrize("missing", ["prior", "operator"])
def test_a_required_option_is_named(sample, missing):
    assert f"--{missing}" in sample(**{missing: None})


@pytest.mark.parametrize("out", ["y.npy", "y.npy/run", "y.npy/deep/run"])
def test_a_folder_that_cannot_be_made_is_named(sample, out):
    before = Path("y.npy").read_bytes()
    assert out in sample(out=out)
    assert Path("y.npy").read_bytes() == before


def test_somebody_elses_folder_is_left_alone(sample, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("2019")
    assert "thesis.txt" in sample(out="mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_run_is_neither_overwritten_nor_mixed_with_another(sample):
    target = nw.NoisePosterior(
        nw.maps.Warp((2,)), torch.nn.Identity(), nw.likelihoods.Gaussian(0.1), torch.zeros(1, 2)
    )
    nw.sample(
        target,
        nw.Langevin(0.1),
        num_draws=2,
        num_chains=1,
        warm_start=None,
        progress=False,
        store="used",
    )

    def content():
        return {path: path.read_bytes() for path in Path("used").rglob("*") if path.is_file()}

    before = content()
    assert "--resume" in sample(out="used")
    assert "another run" in sample("y.npy", "--resume", out="used")
    assert content() == before


@pytest.mark.parametrize(
    "command", [["report", "nowhere"], ["priors", "show", "nobody"], ["frobnicate"], ["sample"]]
)
def test_the_other_commands_fail_in_one_line_too(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["noisewalk", *command])
    with pytest.raises(SystemExit) as ended:
        main()
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")


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


def test_a_killed_run_resumes_to_the_draws_of_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(held_out_images(1)[0, ..., 0]).save("boot.png")
    words = (
        "sample boot.png --simulate --prior fashion32 --operator inpaint:keep=0.2 --sigma-y 60 "
        "--kernel mala --chains 2 --num-draws 6 --thin 1"
    )
    words = [*words.split(), "--num-warmup", "6", "--warm-start", "3"]

    def run(*extra):
        monkeypatch.setattr(sys, "argv", ["noisewalk", *words, *extra])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code

    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # a run's specification holds them
    command = [sys.executable, "-c", KILLED, *words, "--out", "killed"]
    died = subprocess.run(
        command, env={**os.environ, **threads}, capture_output=True, text=True, timeout=200
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    stopped = nw.open_run("killed")
    assert stopped.draws.shape == (1, 2, 3, *SHAPE)
    assert not stopped.complete
    kept = stopped.draws[...].clone()
    run("--out", "killed", "--resume")
    run("--out", "whole")
    killed, whole = nw.open_run("killed"), nw.open_run("whole")
    assert killed.complete
    assert torch.equal(killed.draws[:, :, :3], kept)
    for name in ("x", "z", "nll", "acceptance_rate", "step_size"):
        assert torch.equal(killed.arrays[name][...], whole.arrays[name][...])
    assert len(whole.z[0].flatten(0, 1).flatten(1).unique(dim=0)) > 4  # the chains move
    assert killed.nfe == whole.nfe == 2 * (1 + 3 + 6 + 6)
    specs = [json.loads(Path(name, "spec.json").read_text()) for name in ("killed", "whole")]
    for spec in specs:
        spec.pop("command")
    assert specs[0] == specs[1]
