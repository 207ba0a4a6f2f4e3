"""What a grid's missing cells will cost on this machine, by timed network calls."""

import time
from collections.abc import Sequence

import torch

from ..metrics import features
from .bench import Bench
from .grid import Block, Grid, block_nfe
from .table_cells import read_cell

WITHOUT_GRADIENT = ("mpgd", "cmedit")  # families that need no gradient of the network


def estimate(bench: Bench, grid: Grid, blocks: Sequence[Block], jobs: int = 1) -> str:
    """One line on the blocks to compute in processes that have torch's present threads each."""
    wanted = sum(len(images) for _, _, images in grid.blocks(bench))
    cells = [(task, method, i) for task, method, images in blocks for i in images]
    missing = sum(read_cell(bench, *cell) is None for cell in cells)
    if not missing:
        return f"all {wanted} cells are stored"
    rows = min(bench.block, grid.num_images)
    call, graded = (seconds_a_call(bench, rows, gradient) for gradient in (False, True))
    nfe, seconds = 0, missing * bench.num_samples * _seconds_a_feature(bench)
    for block in blocks:
        calls = block_nfe(bench, *block)
        nfe += calls
        seconds += calls * (call if block[1].family in WITHOUT_GRADIENT else graded)
    shared = f" in {jobs} processes" if jobs > 1 else ""
    return (
        f"{missing} cells to compute, {wanted - missing} stored; NFE about {nfe:,}; about "
        f"{duration(seconds / jobs)}{shared} ({1e3 * call:.1f} ms a network call, "
        f"{1e3 * graded:.1f} ms with its gradient, measured)"
    )


def seconds_a_call(bench: Bench, rows: int, gradient: bool) -> float:
    """Time of one row's network call, measured on so many rows at once."""
    denoiser = bench.of_image(0).prior.denoiser
    assert denoiser is not None
    x = bench.images[:1].expand(rows, *bench.images.shape[1:])
    times = []
    for _ in range(3):
        began = time.perf_counter()
        with torch.set_grad_enabled(gradient):
            leaf = x.clone().requires_grad_(gradient)
            out = denoiser(leaf, torch.tensor(1.0, dtype=x.dtype, device=x.device))
            if gradient:
                torch.autograd.grad(out.sum(), leaf)
        float(out.detach().sum())  # waits for a device
        times.append(time.perf_counter() - began)
    return min(times) / rows


def duration(seconds: float) -> str:
    """A duration for people, such as "12 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _seconds_a_feature(bench: Bench) -> float:
    """Time of one sample's features, of all extractors together."""
    x, seconds = bench.images[:1].expand(4, *bench.images.shape[1:]), 0.0
    names = (bench.extractor, *bench.extractors.values())
    for name in dict.fromkeys(name for name in names if name is not None):
        features(x, name)  # loads it
        began = time.perf_counter()
        features(x, name)
        seconds += (time.perf_counter() - began) / len(x)
    return seconds
