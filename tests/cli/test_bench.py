"""The bench command on a grid of a few network calls, and what it refuses."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import noisewalk as nw
from noisewalk.cli.bench import WHAT
from noisewalk.errors import WeightsError
from noisewalk.evaluate.metrics import extractors
from noisewalk.evaluate.paper import figure1, figure2
from noisewalk.gaussians.refresh import Refresh
from noisewalk.priors import load
from noisewalk.sampling.defaults import resolve

SMALL = [
    "--prior",
    "fashion32",
    "--num-images",
    "1",
    "--num-samples",
    "2",
    "--num-steps",
    "2",
    "--warm-start",
    "1",
    "--extractor",
    "none",
]
READ_ONCE = functools.cache(load.load_prior)


@pytest.fixture
def bench(noisewalk):
    """`noisewalk bench` in this process; returns exit status, output and errors."""
    return functools.partial(noisewalk, "bench")


def test_a_table_is_made_and_made_again_from_what_is_stored(bench, tmp_path):
    words = ["table1", *SMALL, "--tasks", "sr", "--methods", "dps-dm,cmedit,ours1-em", "--out", "t"]
    code, out, err = bench(*words)
    assert code == 0, err
    assert out.index("cells to compute") < out.index("| DPS-DM")
    first = (tmp_path / "t" / "table.md").read_text()
    assert [line.split(" | ")[0] for line in first.splitlines()[4:7]] == [
        "| DPS-DM",
        "| CMEdit",
        "| Ours-EM (1-step)",
    ]
    assert json.loads((tmp_path / "t" / "table.json").read_text())["num_samples"] == 2
    code, out, _ = bench(*words)
    assert code == 0
    assert "all 3 cells are stored" in out
    assert (tmp_path / "t" / "table.md").read_text() == first
    code, _, err = bench(*words, "--seed", "1")  # another grid in the same folder
    assert code == 2
    assert "seed" in err


def test_a_table_takes_the_samples_of_another(bench, tmp_path):
    words = [
        "--prior",
        "fashion32",
        "--num-images",
        "1",
        "--num-steps",
        "2",
        "--extractor",
        "none",
        "--tasks",
        "sr",
        "--methods",
        "dps-dm",
    ]
    assert bench("table3", *words, "--num-samples", "3", "--out", "t3")[0] == 0
    code, out, err = bench(
        "table1", *words, "--num-samples", "2", "--out", "t1", "--samples-of", "t3"
    )
    assert code == 0, err
    assert "NFE about 0;" in out
    assert (
        json.loads((tmp_path / "t1" / "table.json").read_text())["rows"]["sr"]["dps-dm"]["images"][
            0
        ]["first_of"]
        == 3
    )


@pytest.fixture
def short_schematic(monkeypatch):
    """Figure 1's chain with few steps; it has 400."""
    monkeypatch.setattr(figure1, "figure1", functools.partial(figure1.figure1, num_draws=10))


EVERY = {
    "table1": ["--tasks", "sr", "--methods", "dps-dm,ours1-em"],
    "table2": ["--tasks", "hdr", "--methods", "mpgd-cm,ours2-em"],
    "table3": ["--tasks", "phase", "--methods", "lgd-dm,ours1-em"],
    "tableA4": ["--methods", "ours1-em,ours1-ei"],
    "figure1": ["--methods", "dps-dm,ours1-em"],
    "figure2": ["--num-warmup", "2"],
    "figure3": ["--tasks", "sr,hdr", "--methods", "dps-dm,ours1-em"],
    "figure4": ["--tasks", "blur", "--methods", "dps-cm,ours1-em"],
    "figure5": ["--tasks", "inpaint", "--methods", "ours1-em"],
    "figuresA": ["--tasks", "sr", "--methods", "ours1-em"],
}


@pytest.mark.parametrize("what", EVERY)
def test_every_table_and_figure_says_its_cost_shows_progress_and_goes_on(
    bench, tmp_path, monkeypatch, short_schematic, what
):
    from noisewalk import _progress as progress

    assert set(EVERY) == set(WHAT)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(figure2, "Refresh", functools.partial(Refresh, rank=2))  # few calls
    few = {"num_warmup": 1, "thin": 1, "warm_start": nw.RandomizedStarts(2), "plan": "short_chains"}
    monkeypatch.setattr(figure2, "_short", lambda t, n, seed: resolve(t, num_chains=2, **few))
    usual = ["--prior", "fashion32", "--num-samples", "2", "--num-steps", "2", "--warm-start", "1"]
    images = [] if what == "figure2" else ["--num-images", "1"]
    extractor = ["--extractor", "none"] if what.startswith("table") else []
    words = [what, *usual, *images, *extractor, *EVERY[what], "--out", "o"]
    code, out, err = bench(*words)
    assert code == 0, err
    assert out.index("NFE about ") < out.index("open o/")
    made = sorted(
        path.name
        for path in (tmp_path / "o").rglob("*.md" if what.startswith("table") else "*.png")
    )
    assert made
    assert ("figure1.png" in made) == ("figure1-draws.png" in made) == (what == "figure1")
    assert " NFE " in err
    first = {
        path: path.stat().st_mtime_ns
        for path in (tmp_path / "o").rglob("*.json")
        if path.name != "table.json"
    }
    assert first
    code, _, err = bench(*words)
    assert code == 0, err
    assert {path: path.stat().st_mtime_ns for path in first} == first  # nothing is computed again


def test_figure_1_without_a_prior_is_the_schematic_alone(bench, tmp_path, short_schematic):
    code, out, err = bench("figure1", "--out", "s")
    assert code == 0, err
    assert out.index("NFE about ") < out.index("open s/figure1.png")
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["figure1.png"]


def test_processes_share_a_table(bench, tmp_path):
    code, out, err = bench(
        "table1",
        *SMALL,
        "--tasks",
        "sr,inpaint",
        "--methods",
        "cmedit",
        "--jobs",
        "2",
        "--out",
        "j",
    )
    assert code == 0, err
    assert "in 2 processes" in out
    assert len(list((tmp_path / "j" / "cells").rglob("*.json"))) == 2


def test_the_papers_images_extractors_and_teacher(bench, monkeypatch, tmp_path):
    """What --paper asks for, with fashion32's networks in the paper's names, and pixels for
    features."""
    asked = []
    played = lambda x: x.flatten(1)[:, :9]  # noqa: E731

    def load_prior(name, *rest, **further):
        asked.append(name)
        return replace(
            READ_ONCE("fashion32-edm" if name.startswith("edm_") else "fashion32"), name=name
        )

    def broken(device):
        raise WeightsError("no weights")

    monkeypatch.setattr(load, "load_prior", load_prior)
    for name, loader in {
        "inception-v3": lambda device: played,
        "resnet50": broken,
        "clip-vit-b32": lambda device: played,
    }.items():
        monkeypatch.setitem(extractors.LOADERS, name, loader)
    extractors.load_extractor.cache_clear()
    np.savez(
        tmp_path / "mine.npz",
        images=np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8),
    )
    words = [
        "--paper",
        "--images",
        "mine.npz",
        "--num-images",
        "1",
        "--num-samples",
        "7",
        "--num-steps",
        "2",
        "--tasks",
        "sr",
        "--methods",
        "dps-dm",
    ]
    try:
        code, out, err = bench("table3", *words, "--out", "p")
    finally:
        extractors.load_extractor.cache_clear()
    assert code == 0, err
    assert asked == ["openai/diffusers-cd_bedroom256_lpips", "edm_bedroom256_ema.pt"]
    assert "note: efficientnet-lite0 instead of the paper's resnet50: no weights" in out
    head = next(line for line in out.splitlines() if line.startswith("| Method"))
    assert head.endswith("DS (efficientnet-lite0) | 4x Super-resolution: CLIP similarity |")


def test_a_figure_is_made_from_images_of_ones_own(bench, tmp_path):
    (tmp_path / "mine").mkdir()
    Image.fromarray(np.arange(40 * 40, dtype=np.uint8).reshape(40, 40)).save(
        tmp_path / "mine" / "a.png"
    )
    code, out, err = bench(
        "figure4",
        *SMALL[:-2],
        "--images",
        "mine",
        "--tasks",
        "sr",
        "--methods",
        "cmedit",
        "--out",
        "f",
    )
    assert code == 0, err
    assert (tmp_path / "f" / "figure4.png").stat().st_size > 1000
    assert "open f/figure4.png" in out


def test_a_figure_of_one_sample_an_image_is_made_at_its_defaults(bench, tmp_path):
    words = [
        "--prior",
        "fashion32",
        "--num-images",
        "1",
        "--warm-start",
        "1",
        "--tasks",
        "sr",
        "--methods",
        "ours1-em",
        "--out",
        "f",
    ]
    code, out, err = bench("figure3", *words)
    assert code == 0, err
    assert "1 images x 1 samples" in out


WRONG = {
    "what": (["table9", "--prior", "fashion32"], "table9"),
    "prior": (["table1"], "--prior"),
    "unknown prior": (["table1", "--prior", "fashion33"], "fashion33"),
    "task": (["table1", *SMALL, "--tasks", "colouring"], "colouring"),
    "method": (["table1", *SMALL, "--methods", "magic"], "magic"),
    "task of another table": (["table1", *SMALL, "--tasks", "sr,phase"], "sr, blur, inpaint"),
    "method of another table": (["table1", *SMALL, "--methods", "cmedit,diverse"], "diverse"),
    "extractor of a figure": (["figure4", *SMALL], "does not read --extractor"),
    "tasks of figure 2": (
        ["figure2", "--prior", "fashion32", "--tasks", "sr"],
        "does not read --tasks",
    ),
    "samples of nothing": (["table1", *SMALL, "--samples-of", "nowhere"], "holds no cells"),
    "no processes": (["table1", *SMALL, "--jobs", "0"], "--jobs"),
    "processes of figure 2": (
        ["figure2", "--prior", "fashion32", "--jobs", "2"],
        "does not read --jobs",
    ),
    "samples of figure 2": (
        ["figure2", "--prior", "fashion32", "--samples-of", "t"],
        "does not read --samples-of",
    ),
    "images of figure 1": (
        ["figure1", "--images", "mine.npz"],
        "figure1 without --prior does not read --images",
    ),
    "images": (["table1", "--prior", "./absent", "--images", "nowhere"], "--images nowhere"),
    "images of the paper": (["table1", "--paper"], "give --images"),
    "too many": (["table1", "--prior", "fashion32", "--num-images", "101"], "100 images"),
    "none": (["table1", "--prior", "fashion32", "--num-images", "0"], "--num-images"),
    "diffusion": (["table1", "--prior", "fashion32-edm", "--images", "mine.npz"], "consistency"),
    "steps": (["table1", *SMALL, "--num-steps", "1"], "num_steps"),
    "dtype": (["table1", *SMALL, "--dtype", "int8"], "int8"),
    "teacher": (["table1", *SMALL, "--teacher", "nobody"], "nobody"),
}


def test_bad_input_is_one_line_and_status_2(refused):
    np.savez("mine.npz", images=np.zeros((8, 32, 32), np.uint8))
    for name, (words, says) in WRONG.items():
        assert says in refused("bench", *words, "--out", "w"), name
        assert not Path("w").exists()


def test_the_papers_priors_without_weights_are_one_line(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("NOISEWALK_CACHE", str(tmp_path / "cache"))
    code, _, err = bench("table1", "--paper", "--images", str(tmp_path), "--out", "p")
    assert "no images under" in err
    np.savez("mine.npz", images=np.zeros((8, 32, 32), np.uint8))
    code, _, err = bench("table1", "--paper", "--images", "mine.npz", "--out", "p")
    assert code == 2
    assert "diffusers-cd_bedroom256_lpips" in err
    assert len(err.strip().splitlines()) == 1


def test_an_interruption_is_status_130_and_says_how_to_go_on(bench, monkeypatch):
    from noisewalk.evaluate.paper import grid

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(grid, "draw", stop)
    code, _, err = bench("table1", *SMALL, "--tasks", "sr", "--methods", "cmedit", "--out", "i")
    assert code == 130
    assert "same command goes on" in err
