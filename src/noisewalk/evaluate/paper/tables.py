"""The paper's tables over a grid: which rows and columns, what they will cost, and the result as
Markdown, LaTeX and JSON.

Every number is a mean over images with its standard error, R-hat and seconds their median; images
without finite samples are left out, and counted in the row's label. FD has no error: it is over all
samples of all images, and given for rows of all images alone, as it depends on their number. KID
compares one sample of each image at a time, which are independent; it is the mean over the samples,
and so is its error. The paper's FID column is FD here, with its extractor named; its reference,
which the paper does not name, is the pool of images given without those that are restored. Where
less than half of it is left there is no reference, and neither distance.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..metrics import features, frechet, kid, mean_and_se
from .grid import Bench, Block, Grid, block_nfe, path_of, read_cell
from .presets import LINEAR, METHODS, NONLINEAR
from .scores import r_hat_of_independent

GUIDED = ("dps-dm", "mpgd-dm", "lgd-dm", "dps-cm", "mpgd-cm", "lgd-cm")
OURS = ("ours1-em", "ours2-em", "ours1-exact", "ours2-exact")
FIDELITY = {
    "psnr": ("PSNR", 1, 2),
    "ssim": ("SSIM", 1, 3),
    "lpips": ("LPIPS", -1, 3),
    "fd": ("FD", -1, 1),
}
"""Columns as the paper has them: head, 1 where higher is better or -1, digits."""
DIVERSITY = {"diversity_score": ("DS", 1, 2), "similarity": ("CS", -1, 3)}
BESIDE = {
    "psnr_mean": ("PSNR of the mean", 1, 2),
    "kid": ("KID x 1000", -1, 2),
    "nfe": ("NFE / sample", 0, 0),
    "seconds": ("s / sample, median", 0, 3),
    "r_hat": ("R-hat, median", 0, 2),
    "chi2": ("chi2", 0, 2),
    "coverage": ("coverage", 0, 3),
    "coverage_varied": ("coverage where images vary", 0, 3),
}
BESIDE_DIVERSITY = {
    "pairwise_lpips": ("pairwise LPIPS", 1, 3),
    "pixel_std": ("pixel std", 1, 3),
    "vendi": ("Vendi", 1, 2),
}
MEDIANS = ("r_hat", "seconds")
"""Columns that one image can carry away: of a chain that stands still, or of a time in which the
machine did something else."""
RESAMPLES = 1000
"""Of a median's standard error."""
MAX_REFERENCE = 1000


@dataclass(frozen=True)
class Layout:
    """One of the paper's tables.

    Arguments:
        title: its caption.
        tasks: groups of columns.
        methods: rows.
        columns: the paper's, in each group.
        beside: further columns.
        num_samples: per image.
        overall: the best of all methods are marked, not those of each backbone.
    """

    title: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    columns: dict[str, tuple[str, int, int]]
    beside: dict[str, tuple[str, int, int]]
    num_samples: int = 10
    overall: bool = False


TABLES = {
    "table1": Layout(
        "Linear image restoration", LINEAR, (*GUIDED, "cmedit", *OURS), FIDELITY, BESIDE
    ),
    "table2": Layout("Nonlinear image restoration", NONLINEAR, (*GUIDED, *OURS), FIDELITY, BESIDE),
    "table3": Layout(
        "Diversity of samples",
        (*LINEAR, *NONLINEAR),
        ("dps-dm", "lgd-dm", *OURS),
        DIVERSITY,
        {**BESIDE_DIVERSITY, **BESIDE},
        25,
        True,
    ),
    "tableA4": Layout(
        "Euler-Maruyama and the exponential integrator",
        ("nonlinear",),
        ("ours1-em", "ours2-em", "ours1-ei", "ours2-ei"),
        FIDELITY,
        BESIDE,
    ),
}


def estimate(bench: Bench, grid: Grid, blocks: Sequence[Block], jobs: int = 1) -> str:
    """What the missing cells will cost on this machine, by a timed network call with and without a
    gradient.

    Arguments:
        bench: the grid's.
        grid: its cells.
        blocks: those to compute.
        jobs: processes, each with as many threads as torch has now.

    Returns:
        One line.
    """
    wanted = sum(len(images) for _, _, images in grid.blocks(bench))
    missing = sum(
        read_cell(bench, task, method, i) is None for task, method, images in blocks for i in images
    )
    if not missing:
        return f"all {wanted} cells are stored"
    rows = min(bench.block, grid.num_images)
    calls = {False: seconds_a_call(bench, rows, False), True: seconds_a_call(bench, rows, True)}
    nfe = {False: 0, True: 0}
    for task, method, images in blocks:
        nfe[method.family not in ("mpgd", "cmedit")] += block_nfe(bench, task, method, images)
    scored = missing * bench.num_samples * _seconds_a_feature(bench)
    seconds = (sum(nfe[k] * calls[k] for k in nfe) + scored) / jobs
    line = f"{missing} cells to compute, {wanted - missing} stored; NFE about {sum(nfe.values()):,}"
    shared = f" in {jobs} processes" if jobs > 1 else ""
    return (
        f"{line}; about {duration(seconds)}{shared} ({1e3 * calls[False]:.1f} ms a network call, "
        f"{1e3 * calls[True]:.1f} ms with its gradient, measured)"
    )


def seconds_a_call(bench: Bench, rows: int, gradient: bool) -> float:
    """Time of one row's network call, measured.

    Arguments:
        bench: whose prior.
        rows: at once.
        gradient: with its gradient.

    Returns:
        Seconds.
    """
    denoiser = bench.prior.denoiser
    assert denoiser is not None
    x = bench.images[:1].expand(rows, *bench.images.shape[1:])
    times = []
    for _ in range(3):
        started = time.perf_counter()
        with torch.set_grad_enabled(gradient):
            leaf = x.clone().requires_grad_(gradient)
            out = denoiser(leaf, torch.tensor(1.0, dtype=x.dtype, device=x.device))
            if gradient:
                torch.autograd.grad(out.sum(), leaf)
        float(out.detach().sum())  # waits for a device
        times.append(time.perf_counter() - started)
    return min(times) / rows


def _seconds_a_feature(bench: Bench) -> float:
    x, seconds = bench.images[:1].expand(4, *bench.images.shape[1:]), 0.0
    for name in dict.fromkeys(
        name for name in (bench.extractor, *bench.extractors.values()) if name is not None
    ):
        features(x, name)  # loads it
        started = time.perf_counter()
        features(x, name)
        seconds += (time.perf_counter() - started) / len(x)
    return seconds


def duration(seconds: float) -> str:
    """A duration for people.

    Arguments:
        seconds: how long.

    Returns:
        Such as "12 min".
    """
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


def collect(bench: Bench, grid: Grid, layout: Layout) -> dict[str, Any]:
    """Everything that the grid's cells say.

    Arguments:
        bench: the grid's.
        grid: its cells, all stored.
        layout: the table.

    Returns:
        JSON-ready: settings, per task and method the mean and standard error of every column and
        each image's numbers.
    """
    pool = (
        None if bench.extractor is None else features(bench.images[:MAX_REFERENCE], bench.extractor)
    )
    reference = None if pool is None or 2 * grid.num_images > len(pool) else pool[grid.num_images :]
    rows: dict[str, dict[str, Any]] = {}
    for task in grid.tasks:
        rows[task] = {}
        for name in grid.methods:
            why = bench.missing(METHODS[name], task)
            rows[task][name] = (
                {"missing": why}
                if why
                else _row(bench, grid, task, name, {**layout.columns, **layout.beside}, reference)
            )
    n = bench.num_samples
    return {
        "title": layout.title,
        "overall": layout.overall,
        "prior": bench.prior.name,
        "teacher": None if bench.teacher is None else bench.teacher.name,
        "tasks": {name: vars(bench.tasks[name]) for name in grid.tasks},
        "num_images": grid.num_images,
        "num_samples": n,
        "seed": bench.seed,
        "device": str(bench.images.device),
        "extractor": bench.extractor,
        "extractors": bench.extractors,
        "lpips_net": bench.lpips_net,
        "nominal_coverage": (n - 1) / (n + 1),
        "reference": {
            "images": 0 if reference is None else len(reference),
            "source": "assumed: the pool of given images but those restored",
            "fd_of_halves": _floor(reference),
            "fd_of_truths": None
            if pool is None or reference is None or len(reference) < 4
            else frechet(pool[: grid.num_images].repeat_interleave(n, 0), reference),
        },
        "r_hat_of_independent": _number(r_hat_of_independent(bench.chains, n // bench.chains)),
        "rows": rows,
    }


def _row(
    bench: Bench, grid: Grid, task: str, name: str, columns: Iterable[str], reference: Tensor | None
) -> dict[str, Any]:
    count = grid.images_of(name)
    read = [read_cell(bench, bench.tasks[task], METHODS[name], i) for i in range(count)]
    cells: list[dict[str, Any]] = [cell for cell in read if cell is not None]
    for cell in cells:
        for key in ("nfe", "seconds", "cpu_seconds"):
            cell[key] /= bench.num_samples
    shared = {key: value for key, value in cells[0]["settings"].items() if key != "image"}
    for cell in cells:  # what is the same in all of them is said once
        cell["truth"] = cell.pop("settings")["image"]
    out: dict[str, Any] = {
        "num_images": count,
        "preset": shared["preset"],
        "settings": shared,
        "images": cells,
    }
    out["failed"] = sum(bool(cell["failed"]) or not cell["finite"] for cell in cells)
    for key in columns:
        if key not in ("fd", "kid"):
            values = torch.tensor(
                [float(cell[key]) for cell in cells if cell[key] is not None], dtype=torch.float64
            )
            if not len(values):
                out[key] = [None, None]
            else:
                out[key] = [
                    _number(v)
                    for v in (_median_and_se(values) if key in MEDIANS else mean_and_se(values))
                ]
    out["seconds"][1] = None  # images of a block share their time
    out |= _distances(
        [path_of(bench, task, name, i).with_suffix(".npz") for i in range(count)], reference
    )
    if count < grid.num_images:
        out["fd"] = [None, None]
    return out


def _median_and_se(values: Tensor) -> tuple[float, float]:
    """The median over images, and its standard error by the bootstrap."""
    again = torch.randint(
        len(values), (RESAMPLES, len(values)), generator=torch.Generator().manual_seed(0)
    )
    return float(values.quantile(0.5)), float(values[again].quantile(0.5, dim=1).std()) if len(
        values
    ) > 1 else float("nan")


def _distances(paths: list[Path], reference: Tensor | None) -> dict[str, Any]:
    found = []
    for path in paths:
        with np.load(path) as arrays:
            found += [torch.from_numpy(arrays["features"])] if "features" in arrays else []
    if reference is None or min(len(found), len(reference)) < 4 or len({len(x) for x in found}) > 1:
        return {"fd": [None, None], "kid": [None, None]}
    held, x = reference.cpu(), torch.stack(found)
    blocks = min(10, len(x) // 2, len(held) // 2)
    values = 1000.0 * torch.tensor(
        [kid(x[:, k], held, num_subsets=blocks) for k in range(x.shape[1])], dtype=torch.float64
    ).mean(0)
    return {"fd": [frechet(x.flatten(0, 1), held), None], "kid": values.tolist()}


def _floor(reference: Tensor | None) -> float | None:
    return (
        None
        if reference is None or len(reference) < 4
        else frechet(reference[::2], reference[1::2])
    )


def _number(value: float) -> float | None:
    return None if value != value else value
