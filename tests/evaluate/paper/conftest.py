"""A grid over two tiny random networks, so that a whole table takes a second."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from noisewalk.evaluate.paper import tables
from noisewalk.evaluate.paper.bench import Bench
from noisewalk.evaluate.paper.grid import Grid, fill, pending
from noisewalk.evaluate.paper.table_cells import path_of, read_arrays, read_cell
from noisewalk.evaluate.paper.tables import TABLES, collect
from noisewalk.evaluate.paper.tasks import tasks_for
from noisewalk.noise import PROBE, rows
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.prior import Prior

SHAPE = (1, 16, 16)
ROOT = Path(__file__).parents[3]
"""From where another process imports this module, to unpickle a bench."""


class Tiny(nn.Module):
    """One convolution of fixed random weights, bounded."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.3 * rows(seed, 1).normal((1, 1, 3, 3), PROBE)[0])

    def forward(self, h: Tensor, t: Tensor, class_labels: Tensor | None = None) -> SimpleNamespace:
        return SimpleNamespace(sample=torch.tanh(nn.functional.conv2d(h, self.weight, padding=1)))


def prior(name: str, kind: str, seed: int) -> Prior:
    denoiser = NetworkDenoiser(Tiny(seed).requires_grad_(False), kind, SHAPE)
    return Prior(
        name, {"kind": kind, "sha256": "0" * 8, "midpoint": 0.5, "shape": list(SHAPE)}, denoiser
    )


@pytest.fixture
def make_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    """A bench with few steps of everything; what is given changes it."""
    monkeypatch.syspath_prepend(ROOT)

    def make(**changes: Any) -> Bench:
        pool = rows(7, 10).normal(SHAPE, PROBE).clamp(-1, 1)
        settings: dict[str, Any] = {
            "num_samples": 4,
            "num_steps": 3,
            "adam_steps": 2,
            "num_warmup": 4,
            "extractor": None,
            "lpips_net": None,
        }
        usual = {
            "prior": prior("tiny", "consistency", 0),
            "teacher": prior("tiny-edm", "edm", 1),
            "images": pool,
            "tasks": tasks_for(SHAPE),
            "out": tmp_path,
        }
        return Bench(**{**usual, **settings, **changes})

    return make


@pytest.fixture
def complete() -> Callable[[Bench, Grid], None]:
    """Compute what is missing of a grid."""

    def run(bench: Bench, grid: Grid) -> None:
        for _ in fill(bench, pending(bench, grid)):
            pass

    return run


@pytest.fixture
def stored() -> Callable[[Bench, Grid], dict[Any, Any]]:
    """Every stored number but the time it took."""

    def read(bench: Bench, grid: Grid) -> dict[Any, Any]:
        out = {}
        for task, method, images in grid.blocks(bench):
            for i in images:
                held = read_arrays(path_of(bench, task.name, method.name, i))
                arrays = {name: array.tobytes() for name, array in held.items()}
                cell = {**read_cell(bench, task, method, i), "seconds": 0.0, "cpu_seconds": 0.0}
                out[task.name, method.name, i] = cell, arrays
        return out

    return read


@pytest.fixture
def drawn() -> Callable[[Path], bool]:
    """Whether a picture holds more than its ground."""
    return lambda path: np.asarray(Image.open(path).convert("L")).std() > 1


@pytest.fixture
def made(make_bench: Any, monkeypatch: pytest.MonkeyPatch, complete: Any) -> Any:
    """A small table 1, its features played by pixels."""
    played = lambda x, extractor: x.flatten(1)[:, :5].float()  # noqa: E731
    monkeypatch.setattr(tables, "features", played)
    monkeypatch.setattr("noisewalk.evaluate.paper.scores.features", played)
    bench, layout = make_bench(extractor="pixels"), TABLES["table1"]
    grid = Grid(("sr", "inpaint"), layout.methods, 4, 1)
    complete(bench, grid)
    return bench, grid, layout, collect(bench, grid, layout)
