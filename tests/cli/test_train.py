import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from trainings import TINY, diffusion, noisewalk, train

from noisewalk.errors import WeightsError
from noisewalk.priors import hub
from noisewalk.priors.load import load_prior
from noisewalk.priors.train import run as module

FROM = {"size": None, "widths": None, "attention": None, "unshuffle": None}
"""What --start says."""


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher") / "edm"
    assert diffusion(data, out, lr=2e-3, seed=5) == 0
    return out


def card(folder):
    return json.loads((folder / "card.json").read_text())


def test_a_trained_teacher_is_a_prior_whose_card_holds_the_options(teacher, data):
    prior, made = load_prior(teacher), card(teacher)
    assert (prior.denoiser.kind, prior.shape) == ("edm", (1, 8, 8))
    assert {
        key: made["settings"][key] for key in ("num_images", "batch_size", "lr", "seed", "bfloat16")
    } == {"num_images": 4, "batch_size": 2, "lr": 2e-3, "seed": 5, "bfloat16": False}
    assert (made["data"], made["images_seen"]) == ("squares.npz", 4)
    assert made["command"].startswith(f"noisewalk train diffusion --data {data}")
    assert (teacher / "samples.png").exists()


def test_a_longer_training_goes_on_and_another_one_is_refused(teacher, data, tmp_path, capsys):
    out = shutil.copytree(teacher, tmp_path / "edm")
    assert diffusion(data, out, lr=2e-3, seed=5, num_images=6) == 0
    assert card(out)["images_seen"] == 6
    assert card(out)["sha256"] != card(teacher)["sha256"]
    capsys.readouterr()
    assert diffusion(data, out, lr=0.5, seed=5, num_images=8) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert "lr" in error
    assert card(out)["images_seen"] == 6


@pytest.mark.parametrize("recipe", ["trajectory", "ct", "cd", "scd"])
def test_a_teacher_is_distilled_into_a_consistency_model_of_its_shape(
    teacher, data, tmp_path, recipe
):
    settings = {"num_images": 4, "batch_size": 2, "num_trajectories": 2, "recipe": recipe}
    assert train("distill", data=data, teacher=teacher, out=tmp_path / "student", **settings) == 0
    student = load_prior(tmp_path / "student")
    assert (student.denoiser.kind, student.shape) == ("consistency", (1, 8, 8))
    x = student.map()(torch.zeros(1, 1, 8, 8))
    assert torch.isfinite(x).all()
    assert card(tmp_path / "student")["sha256"] != card(teacher)["sha256"]


WRONG = [
    ("diffusion", {"widths": "32,many"}, "whole numbers"),
    ("diffusion", {"data": "nowhere.npz"}, "nowhere.npz"),
    ("diffusion", {"size": 4}, "larger"),
    ("diffusion", {"channels": 3}, "channels"),
    ("distill", {"teacher": "fashion32"}, "edm"),
    ("distill", {"teacher": "nobody"}, "nobody"),
    ("distill", {"recipe": "magic"}, "magic"),
    ("distill", {"distance": "l2"}, "choose one of huber, lpips-alex, lpips-vgg"),
    ("distill", {"recipe": "scd", "distance": "lpips-alex"}, "leave --distance out"),
    ("diffusion", {"widths": 33}, "widths must be multiples of 32, such as 64,96,128, got 33"),
    ("diffusion", {"attention": 1}, "attention must name levels from 0 to 0"),
    ("diffusion", {"size": 9, "unshuffle": 2}, "size must be a multiple of 2"),
    ("diffusion", {"size": 0}, "size"),
    ("diffusion", {"augment": "mirror"}, "none, flip, dihedral"),
    (
        "diffusion",
        {"dtype": "float16"},
        "must be float32 or bfloat16, got 'float16': float16 is for sampling alone",
    ),
    ("diffusion", {"dtype": "int8"}, "must be float32 or bfloat16"),
    ("diffusion", {"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
    ("diffusion", {"push_to_hub": "mine"}, "--push-to-hub takes OWNER/NAME, got 'mine'"),
    (
        "diffusion",
        {"start": "fashion32-edm"},
        "--size, --widths, --attention, --unshuffle come from --start",
    ),
    ("diffusion", {**FROM, "start": "fashion32"}, "--start takes a prior of kind edm"),
    ("diffusion", {**FROM, "start": "nobody"}, "nobody"),
    ("distill", {"start": "fashion32-edm"}, "--start takes a prior of kind consistency"),
    ("distill", {"start": "fashion32"}, "makes no images of shape (1, 8, 8)"),
    ("distill", {"augment": "turn"}, "none, flip, dihedral"),
    ("distill", {"dtype": "float64"}, "must be float32 or bfloat16"),
    ("distill", {"push_to_hub": "a/b/c"}, "OWNER/NAME"),
]


def test_bad_input_is_one_line_and_status_2_and_leaves_nothing(teacher, data, tmp_path, capsys):
    out, few = tmp_path / "prior", {"num_images": 4, "num_trajectories": 2, "batch_size": 2}
    for command, change, says in WRONG:
        if command == "diffusion":
            status = diffusion(out=out, **{"data": data, **change})
        else:
            given = {"data": data, "teacher": teacher, "out": out, **few, **change}
            status = train("distill", **given)
        stdout, stderr = capsys.readouterr()
        assert status == 2, says
        assert len(stderr.strip().splitlines()) == 1
        assert says in stderr
        assert "wrote" not in stdout
        assert not out.exists()


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(data, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert diffusion(data, tmp_path / "file" / "below") == 2
    assert "cannot make the folder" in capsys.readouterr().err


def test_a_student_does_not_write_into_its_teachers_folder(tmp_path, capsys):
    assert train("distill", data=tmp_path, teacher=tmp_path, out=tmp_path) == 2
    assert "--teacher and --out are both" in capsys.readouterr().err


def test_a_training_starts_from_weights_alone(teacher, data, tmp_path, monkeypatch):
    """Without its checkpoint, in the network of the prior that it starts from; the average begins
    anew."""
    steps = []
    original = module.train
    monkeypatch.setattr(
        module,
        "train",
        lambda *a: (steps.append((p.step, p.ema.weights)) or p for p in original(*a)),
    )
    settings = {"start": teacher, "lr": 1e-9, "seed": 9}
    assert diffusion(data, tmp_path / "again", **FROM, **settings) == 0
    old, new = load_prior(teacher), load_prior(tmp_path / "again")
    assert new.shape == old.shape
    for key, value in old.denoiser.network.state_dict().items():
        assert torch.allclose(new.denoiser.network.state_dict()[key], value, atol=1e-4), (
            key
        )  # four steps of 1e-9, and float16
    assert [step for step, _ in steps] == [1, 2]
    made = card(tmp_path / "again")
    assert made["settings"]["start"].startswith("UNet2DModel#")
    assert made["images_seen"] == 4
    assert f"--start {teacher}" in made["command"]
    assert diffusion(data, tmp_path / "again", **FROM, **settings, num_images=6) == 0
    assert (
        diffusion(data, tmp_path / "again", lr=1e-9, seed=9, num_images=8) == 2
    )  # not what this training started from


def test_the_folder_that_a_training_starts_from_is_kept(teacher, data, capsys):
    assert diffusion(data, teacher, **FROM, start=teacher) == 2
    assert "--start and --out are both" in capsys.readouterr().err


@pytest.mark.parametrize("how", [["--bfloat16"], ["--dtype", "bfloat16"]])
def test_bfloat16_is_an_option_or_a_dtype(data, tmp_path, how):
    words = [
        word
        for key, value in {**TINY, "data": data, "out": tmp_path / "prior"}.items()
        for word in (f"--{key.replace('_', '-')}", value)
    ]
    assert noisewalk("train", "diffusion", *words, *how) == 0
    assert card(tmp_path / "prior")["settings"]["bfloat16"] is True


def test_the_symmetry_is_in_the_card(data, tmp_path):
    assert diffusion(data, tmp_path / "prior", augment="dihedral") == 0
    assert card(tmp_path / "prior")["settings"]["augment"] == "dihedral"


def test_a_training_says_what_it_does_and_what_it_finds_in_the_data(tmp_path, capsys):
    images = np.random.default_rng(1).integers(0, 256, (6, 8, 8), np.uint8)
    images[5] = images[0]
    np.savez(tmp_path / "a.npz", images=images)
    np.savez(tmp_path / "b.npz", images=images[:2] ^ 1)
    assert diffusion(tmp_path / "a.npz", tmp_path / "prior", held_out=tmp_path / "b.npz") == 0
    stdout, stderr = capsys.readouterr()
    flat = " ".join(stdout.split())
    assert (
        f"6 images 1x8x8 of {tmp_path / 'a.npz'}, none of them among the 2 of {tmp_path / 'b.npz'}"
        in flat
    )
    assert "DiffusionLoss of UNet2DModel" in flat
    assert "float32" in flat
    assert "2 steps of 2 images, lr 0.001, augment none, seed 0 NFE 4" in flat
    assert (
        "warning: 1 of 6 images are copies of another one, which then weighs more: a.npz[5] of "
        "a.npz[0]"
    ) in flat
    assert "warning: 5 different images are few" in flat
    assert "4 of 4 images  loss " in stderr


@pytest.mark.parametrize("private", [False, True])
def test_a_finished_prior_is_pushed(data, tmp_path, monkeypatch, capsys, private):
    pushed = []
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr(
        hub,
        "push_prior",
        lambda folder, *rest: (
            pushed.append((load_prior(folder).shape, folder, *rest)) or "https://hub/me/mine"
        ),
    )
    words = [
        word
        for key, value in {**TINY, "data": data, "out": tmp_path / "p"}.items()
        for word in (f"--{key.replace('_', '-')}", value)
    ]
    assert (
        noisewalk(
            "train", "diffusion", *words, "--push-to-hub", "me/mine", *["--private"] * private
        )
        == 0
    )
    assert pushed == [((1, 8, 8), tmp_path / "p", "me/mine", private)]
    assert (
        "https://hub/me/mine: load it with noisewalk.load_prior('me/mine')"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("private", [False, True])
def test_a_push_that_failed_can_be_tried_again_without_training(
    data, tmp_path, monkeypatch, capsys, private
):
    def down(*_):
        raise WeightsError("no connection")

    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr(hub, "push_prior", down)
    words = [
        word
        for key, value in {**TINY, "data": data, "out": tmp_path / "p"}.items()
        for word in (f"--{key.replace('_', '-')}", value)
    ]
    assert (
        noisewalk(
            "train", "diffusion", *words, "--push-to-hub", "me/mine", *["--private"] * private
        )
        == 2
    )
    again = (
        f"no connection; `noisewalk priors push {tmp_path / 'p'} me/mine{' --private' * private}` "
        "tries again"
    )
    assert again in capsys.readouterr().err
    assert load_prior(tmp_path / "p").shape == (1, 8, 8)


def test_a_stopped_training_says_how_to_go_on(data, tmp_path, monkeypatch, capsys):
    def stopped(*arguments):
        raise KeyboardInterrupt

    for says in (
        "starts anew: there is no checkpoint yet",
        f"goes on from the last checkpoint in {tmp_path / 'prior'}",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, "run_training", stopped)
            assert diffusion(data, tmp_path / "prior") == 130
        assert f"interrupted: the same command {says}\n" in capsys.readouterr().err
        assert diffusion(data, tmp_path / "prior") == 0
        capsys.readouterr()


def test_two_processes_train_one_prior(data, tmp_path):
    if find_spec("accelerate") is None:
        pytest.skip("accelerate is not installed")
    program = tmp_path / "noisewalk"
    program.write_text(f"#!{sys.executable}\nfrom noisewalk.cli.main import main\nmain()\n")
    program.chmod(0o755)
    given = {**TINY, "data": data, "out": tmp_path / "prior"}
    words = [
        str(word) for key, value in given.items() for word in (f"--{key.replace('_', '-')}", value)
    ]
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "--no-python",
        str(program),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, "train", "diffusion", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    made = card(tmp_path / "prior")
    assert (made["num_processes"], made["images_seen"]) == (2, 4)
    assert load_prior(tmp_path / "prior").shape == (1, 8, 8)
    assert done.stdout.count("wrote") == done.stderr.count("4 of 4 images") == 1
    assert "float32 by 2 processes" in done.stdout
