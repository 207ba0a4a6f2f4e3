"""docs/train-your-own.md: every block of it runs in the order of the page, with smaller numbers."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisewalk.priors.load import load_prior

ROOT = Path(__file__).parents[3]
SMALLER = {
    "--num-images": "4",
    "--num-trajectories": "2",
    "--widths": "32,32",
    "--num-draws": "2",
    "--num-samples": "20",
    "--tune": "20",
}
ADDED = {
    "train": "--batch-size 2",
    "sample": "--chains 2 --num-warmup 2 --warm-start 2",
    "benchmarks/prior_quality.py": (
        "--num-steps 2 --midpoints 1 --num-neighbours 20 --num-inverted 2 --inversion-steps 2"
    ),
}


def blocks() -> list[tuple[str, str]]:
    """Language and content of each block."""
    return re.findall(
        r"^```(\w+)\n(.*?)^```$",
        (ROOT / "docs" / "train-your-own.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )


def commands() -> list[list[str]]:
    """Every command line of the page, made small."""
    found = []
    for line in (
        line for language, content in blocks() if language == "sh" for line in content.splitlines()
    ):
        words = shlex.split(line)
        for option, value in SMALLER.items():
            if option in words:
                words[words.index(option) + 1] = value
        found.append(
            [
                *words,
                *(word for key, more in ADDED.items() if key in words for word in more.split()),
            ]
        )
    return found


def test_the_page_shows_the_whole_way() -> None:
    lines = [" ".join(words) for words in commands()]
    for part in (
        "train diffusion",
        "--start",
        "torchrun",
        "train distill",
        "card.json",
        "prior_quality.py",
        "noisewalk sample",
        "noisewalk report",
    ):
        assert any(part in line for line in lines), part
    assert [language for language, _ in blocks()].count("python") == 2


@pytest.mark.slow
def test_every_command_of_the_page_runs(tmp_path: Path) -> None:
    for package in ("accelerate", "efficientnet_lite_pytorch"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    generator = np.random.default_rng(0)
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for k in range(240):
        pixels = generator.integers(0, 256, (70 + k % 3, 90, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / ("more" if k % 2 else "") / f"{k}.jpg")
    Image.fromarray(generator.integers(0, 256, (64, 64, 3), np.uint8)).save(
        tmp_path / "measured.png"
    )
    Image.fromarray((generator.random((64, 64)) < 0.5).astype(np.uint8) * 255).save(
        tmp_path / "hole.png"
    )
    shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    for name, module in {
        "noisewalk": "noisewalk.cli.main",
        "torchrun": "torch.distributed.run",
    }.items():
        (programs / name).write_text(f"#!{sys.executable}\nfrom {module} import main\nmain()\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }

    def run(words: list[str]) -> str:
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    scripts = [content for language, content in blocks() if language == "python"]
    run([sys.executable, "-c", scripts[0]])
    assert [
        len(list((tmp_path / "images" / part).iterdir())) for part in ("train", "held-out")
    ] == [216, 24]
    for words in commands():
        run(words)
    run([sys.executable, "-c", scripts[1]])
    card = load_prior(tmp_path / "my-prior").card
    assert card["quality"].keys() >= {"rows", "neighbours", "inversion"}
    assert (
        load_prior(tmp_path / "my-second-teacher")
        .card["settings"]["start"]
        .startswith("UNet2DModel#")
    )
    assert load_prior(tmp_path / "my-shared-teacher").card["num_processes"] == 2
    for name in ("known", "measured"):
        assert (tmp_path / "runs" / name / "report.html").exists()
