import json
import shutil
import sys

import numpy as np
import pytest
import torch

from noisewalk.cli import main
from noisewalk.priors.load import load_prior

TINY = {"size": 8, "widths": "32", "attention": "", "unshuffle": 1, "num_images": 4, "batch_size": 2}


def noisewalk(*args):
    """The command line in this process; its exit status."""
    before, sys.argv = sys.argv, ["noisewalk", *map(str, args)]
    try:
        main()
    except SystemExit as ended:
        return ended.code
    finally:
        sys.argv = before
    return 0


def train(command, **options):
    given = {f"--{key.replace('_', '-')}": value for key, value in options.items()}
    return noisewalk("train", command, *(part for pair in given.items() for part in pair))


def diffusion(data, out, **change):
    return train("diffusion", data=data, out=out, **{**TINY, **change})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (6, 8, 8), np.uint8))
    return path


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
    assert {key: made["settings"][key] for key in ("num_images", "batch_size", "lr", "seed", "bfloat16")} == {
        "num_images": 4,
        "batch_size": 2,
        "lr": 2e-3,
        "seed": 5,
        "bfloat16": False,
    }
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


@pytest.mark.parametrize("recipe", ["trajectory", "ct"])
def test_a_teacher_is_distilled_into_a_consistency_model_of_its_shape(teacher, data, tmp_path, recipe):
    settings = {"num_images": 4, "batch_size": 2, "num_trajectories": 2, "recipe": recipe}
    assert train("distill", data=data, teacher=teacher, out=tmp_path / "student", **settings) == 0
    student = load_prior(tmp_path / "student")
    assert (student.denoiser.kind, student.shape) == ("consistency", (1, 8, 8))
    x = student.map()(torch.zeros(1, 1, 8, 8))
    assert torch.isfinite(x).all()
    assert card(tmp_path / "student")["sha256"] != card(teacher)["sha256"]


@pytest.mark.parametrize(
    ("command", "change", "says"),
    [
        ("diffusion", {"widths": "32,many"}, "whole numbers"),
        ("diffusion", {"data": "nowhere.npz"}, "nowhere.npz"),
        ("diffusion", {"size": 4}, "larger"),
        ("diffusion", {"channels": 3}, "channels"),
        ("distill", {"teacher": "fashion32"}, "edm"),
        ("distill", {"teacher": "nobody"}, "nobody"),
        ("distill", {"recipe": "magic"}, "magic"),
    ],
)
def test_bad_input_is_one_line_and_status_2_and_leaves_nothing(teacher, data, tmp_path, capsys, command, change, says):
    out = tmp_path / "prior"
    if command == "diffusion":
        status = diffusion(out=out, **{"data": data, **change})
    else:
        status = train("distill", **{"data": data, "teacher": teacher, "out": out, "num_images": 4, "num_trajectories": 2, "batch_size": 2, **change})
    stdout, stderr = capsys.readouterr()
    assert status == 2
    assert len(stderr.strip().splitlines()) == 1
    assert says in stderr
    assert "wrote" not in stdout
    assert not out.exists()
