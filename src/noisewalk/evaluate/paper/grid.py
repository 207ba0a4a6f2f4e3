"""The grid behind the tables and figures: task x method x image, every cell stored on its own.

Images are computed in fixed blocks (numbers 0 to 19, 20 to 39, ...), so that an interrupted grid
ends with the bits of an uninterrupted one. A cell scored by other rules or networks is scored again
from its samples. Processes may share a folder: what one has stored the others skip.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import torch
from torch import Tensor

from ...errors import ConfigError, DivergedError
from ...likelihoods import Gaussian
from ...noise import Noise
from ...operators import observed_of
from ...types import Tick
from .bench import Bench
from .methods import METHODS, Method
from .runs import draw, expected_nfe
from .scores import score, turned
from .table_cells import Numbers, kept, read_cell, read_samples, store
from .tasks import Task

COST = ("nfe", "seconds", "cpu_seconds", "threads", "failed", "batch", "first_of")
"""What a cell keeps about the drawing of its samples; `first_of` is of a larger grid's."""
FAILURES = (DivergedError, ConfigError, torch.linalg.LinAlgError)
"""Errors that leave an image without samples; a preconditioner's are the last two."""
Block: TypeAlias = tuple[Task, Method, range]
"""Column, row, and the numbers of the images that are computed together."""


@dataclass(frozen=True)
class Grid:
    """Which cells: tasks, methods, and the number of images (the exact kernel's: `num_exact`)."""

    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    num_images: int
    num_exact: int

    def images_of(self, method: str) -> int:
        """Images that a method restores."""
        few = METHODS[method].family == "exact"
        return min(self.num_exact, self.num_images) if few else self.num_images

    def blocks(self, bench: Bench) -> list[Block]:
        """Every block of the grid that exists."""
        out = []
        for task, method in product(self.tasks, self.methods):
            if not bench.missing(METHODS[method], task):
                every = range(self.images_of(method))
                parts = [every[k : k + bench.block] for k in every[:: bench.block]]
                out += [(bench.tasks[task], METHODS[method], images) for images in parts]
        return out


def pending(bench: Bench, grid: Grid) -> list[Block]:
    """The blocks of which a cell is missing."""
    return [
        (task, method, images)
        for task, method, images in grid.blocks(bench)
        if any(read_cell(bench, task, method, i) is None for i in images)
    ]


def fill(bench: Bench, blocks: list[Block]) -> Iterator[Tick]:
    """Compute blocks and store their cells; the ticks count estimated network calls."""
    costs, done = [block_nfe(bench, *block) for block in blocks], 0
    total = sum(costs)
    for (task, method, images), cost in zip(blocks, costs, strict=True):
        yield Tick(f"{task.name} {method.name}", done, total, done, float("nan"))
        compute(bench, task, method, images)
        done += cost
    yield Tick("done", done, total, done, float("nan"))


def block_nfe(bench: Bench, task: Task, method: Method, images: range) -> int:
    """Network calls of a block, estimated for the exact kernel; none where samples are there."""
    if all(kept(bench, task, method, i) for i in images):
        return 0
    return expected_nfe(bench, method, task.name) * len(images)


def measure(bench: Bench, task: Task, images: range) -> Tensor:
    """(N, *y) measurements of some of the images."""
    truth, operator = bench.images[images.start : images.stop], bench.operator(task)
    numbers = torch.arange(images.start, images.stop, device=truth.device)
    noise = Noise(bench.seed, numbers, torch.zeros_like(numbers))
    with torch.no_grad():
        observed = observed_of(operator, bench.prior.shape)
        return Gaussian(task.sigma_y).sample(operator(truth), noise, observed)


def compute(bench: Bench, task: Task, method: Method, images: range) -> None:
    """Compute the cells of a block that are missing, and store them."""
    left = [i for i in images if read_cell(bench, task, method, i) is None]
    left = [i for i in left if not _scored_again(bench, task, method, i)]
    if not left:
        return
    bench = bench.of_image(images.start)
    y, count = measure(bench, task, images), len(images)
    began = time.perf_counter(), time.process_time()
    draws, calls, failed = _drawn(bench, task, method, y, images.start)
    shared = {
        "seconds": (time.perf_counter() - began[0]) / count,
        "cpu_seconds": (time.process_time() - began[1]) / count,
        "threads": torch.get_num_threads(),
    }
    for i in left:
        k = i - images.start
        cost = {"nfe": calls[k], **shared, "failed": failed[k], "batch": count}
        _score(bench, task, method, i, [draws[k], bench.images[i], y[k]], cost)


def _drawn(
    bench: Bench, task: Task, method: Method, y: Tensor, first: int
) -> tuple[Tensor, list[float], list[str]]:
    """Samples of a block with each image's calls and error; a failing block is tried in parts."""
    count = len(y)
    try:
        draws, nfe = draw(bench, task, method, y, first)
        return draws, [nfe / count] * count, [""] * count
    except FAILURES as error:
        if count == 1:
            chains = bench.chains_of(method)
            shape = (1, chains, bench.num_samples // chains, *bench.images.shape[1:])
            return y.new_full(shape, float("nan")), [0.0], [str(error)]
    parts = [_drawn(bench, task, method, y[k : k + 1], first + k) for k in range(count)]
    samples, calls, failed = zip(*parts, strict=True)
    return torch.cat(samples), [nfe for (nfe,) in calls], [text for (text,) in failed]


def _scored_again(bench: Bench, task: Task, method: Method, image: int) -> bool:
    """Score samples that are there by the present rules; whether there were any."""
    found = kept(bench, task, method, image)
    if found is None:
        return False
    owner, cell = found
    bench = bench.of_image(image)
    draws, *others = read_samples(owner, task, method, image)
    cost = {key: cell[key] for key in COST if key in cell}
    first = draws[:, : bench.num_samples // len(draws)]
    _score(bench, task, method, image, [first, *others], cost)
    return True


def _score(
    bench: Bench, task: Task, method: Method, image: int, held: list[Tensor], cost: Numbers
) -> None:
    """Score samples (chain, draw, *x) beside their truth and measurement, and store the cell."""
    draws, truth, y = held
    if task.name == "phase":
        draws = turned(draws, truth)
    chained = method.family in ("walk", "exact")
    numbers, features = score(draws, truth, bench.target(task, y[None]), chained, bench)
    arrays = {} if features is None else {"features": features}
    arrays |= {"draws": draws.flatten(0, 1), "truth": truth, "y": y}
    store(bench, task, method, image, {**numbers, **cost}, arrays)
