"""The paper's tables: which rows and columns, and their numbers from a grid's cells.

Every number is a mean over images with its standard error; R-hat and seconds are medians. Images
without finite samples are left out, and counted in the row's label. The paper names no reference
for the distances: here it is the images that are not restored, if these are half of them or more.
FD is over all samples of all images, so it has no error and only rows of all images have one. KID
compares one sample of each image at a time, which are independent, and averages over the samples.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..metrics import features, frechet, kid, mean_and_se
from .bench import Bench
from .grid import Grid
from .methods import GUIDED, METHODS, OURS
from .scores import r_hat_of_independent
from .table_cells import path_of, read_arrays, read_cell
from .tasks import LINEAR, NONLINEAR, TASKS

Columns: TypeAlias = dict[str, tuple[str, int, int]]
"""By key: head, 1 where higher is better or -1 where lower is, digits."""
# fmt: off
FIDELITY: Columns = {
    "psnr": ("PSNR", 1, 2), "ssim": ("SSIM", 1, 3), "lpips": ("LPIPS", -1, 3), "fd": ("FD", -1, 1),
}
DIVERSITY: Columns = {"diversity_score": ("DS", 1, 2), "similarity": ("CS", -1, 3)}
BESIDE: Columns = {
    "psnr_mean": ("PSNR of the mean", 1, 2), "kid": ("KID x 1000", -1, 2),
    "nfe": ("NFE / sample", 0, 0), "seconds": ("s / sample, median", 0, 3),
    "r_hat": ("R-hat, median", 0, 2), "chi2": ("chi2", 0, 2),
    "coverage": ("coverage", 0, 3), "coverage_varied": ("coverage where images vary", 0, 3),
}
BESIDE_DIVERSITY: Columns = {
    "pairwise_lpips": ("pairwise LPIPS", 1, 3), "pixel_std": ("pixel std", 1, 3),
    "vendi": ("Vendi", 1, 2), **BESIDE,
}
# fmt: on
MEDIANS = ("r_hat", "seconds")  # a chain that stands still or a busy machine would spoil the mean
RESAMPLES = 1000  # bootstrap samples of a median's standard error
MAX_REFERENCE = 1000  # images of the distances' reference
FEWEST = 4  # images that a distance needs


@dataclass(frozen=True)
class Layout:
    """One of the paper's tables."""

    title: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    columns: Columns  # the paper's, for each task
    beside: Columns  # further ones
    num_samples: int = 10
    overall: bool = False  # whether the best of all methods are marked, not those of each backbone


_DIVERSE = ("dps-dm", "lgd-dm", *OURS)
_INTEGRATORS = ("ours1-em", "ours2-em", "ours1-ei", "ours2-ei")
_TITLE4 = "Euler-Maruyama and the exponential integrator"
# fmt: off
TABLES = {
    "table1": Layout("Linear image restoration", LINEAR, (*GUIDED, "cmedit", *OURS), FIDELITY,
                     BESIDE),
    "table2": Layout("Nonlinear image restoration", NONLINEAR, (*GUIDED, *OURS), FIDELITY, BESIDE),
    "table3": Layout("Diversity of samples", TASKS, _DIVERSE, DIVERSITY, BESIDE_DIVERSITY, 25,
                     True),
    "tableA4": Layout(_TITLE4, ("nonlinear",), _INTEGRATORS, FIDELITY, BESIDE),
}
# fmt: on


def collect(bench: Bench, grid: Grid, layout: Layout) -> dict[str, Any]:
    """What the stored cells say, for JSON: settings, columns by task and method, each image."""
    pool = reference = None
    if bench.extractor is not None:
        pool = features(bench.images[:MAX_REFERENCE], bench.extractor)
        reference = None if 2 * grid.num_images > len(pool) else pool[grid.num_images :]
    columns, n = (*layout.columns, *layout.beside), bench.num_samples
    rows: dict[str, dict[str, Any]] = {task: {} for task in grid.tasks}
    for task, held in rows.items():
        for name in grid.methods:
            why = bench.missing(METHODS[name], task)
            row = {"missing": why} if why else _row(bench, grid, task, name, columns, reference)
            held[name] = row
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
        "reference": _about(reference, None if pool is None else pool[: grid.num_images], n),
        "r_hat_of_independent": _number(r_hat_of_independent(bench.chains, n // bench.chains)),
        "rows": rows,
    }


def _row(
    bench: Bench, grid: Grid, task: str, name: str, columns: Iterable[str], reference: Tensor | None
) -> dict[str, Any]:
    """A method's numbers on a task."""
    count, method = grid.images_of(name), METHODS[name]
    read = [read_cell(bench, bench.tasks[task], method, i) for i in range(count)]
    cells: list[dict[str, Any]] = [cell for cell in read if cell is not None]
    for cell in cells:
        for key in ("nfe", "seconds", "cpu_seconds"):
            cell[key] /= bench.num_samples
    shared = {key: value for key, value in cells[0]["settings"].items() if key != "image"}
    for cell in cells:  # what is the same in all of them is said once
        cell["truth"] = cell.pop("settings")["image"]
    failed = sum(bool(cell["failed"]) or not cell["finite"] for cell in cells)
    out: dict[str, Any] = {"num_images": count, "preset": shared["preset"], "settings": shared}
    out |= {"images": cells, "failed": failed}
    for key in columns:
        if key not in ("fd", "kid"):
            values = [float(cell[key]) for cell in cells if cell[key] is not None]
            out[key] = _over_images(key, torch.tensor(values, dtype=torch.float64))
    out["seconds"][1] = None  # images of a block share their time
    out |= _distances([path_of(bench, task, name, i) for i in range(count)], reference)
    if count < grid.num_images:
        out["fd"] = [None, None]
    return out


def _over_images(key: str, values: Tensor) -> list[float | None]:
    """A column's mean or median over the images that have a value, with its standard error."""
    if not len(values):
        return [None, None]
    found = median_and_se(values) if key in MEDIANS else mean_and_se(values)
    return [_number(value) for value in found]


def median_and_se(values: Tensor) -> tuple[float, float]:
    """The median over images, and its standard error by the bootstrap."""
    generator = torch.Generator().manual_seed(0)
    again = torch.randint(len(values), (RESAMPLES, len(values)), generator=generator)
    error = values[again].quantile(0.5, dim=1).std() if len(values) > 1 else float("nan")
    return float(values.quantile(0.5)), float(error)


def _distances(paths: list[Path], reference: Tensor | None) -> dict[str, Any]:
    """FD and KID of the cells' samples."""
    held = [read_arrays(path) for path in paths]
    found = [torch.from_numpy(arrays["features"]) for arrays in held if "features" in arrays]
    few = reference is None or min(len(found), len(reference)) < FEWEST
    if reference is None or few or len({len(x) for x in found}) > 1:
        return {"fd": [None, None], "kid": [None, None]}
    near, x = reference.cpu(), torch.stack(found)
    blocks = min(10, len(x) // 2, len(near) // 2)
    each = [kid(x[:, k], near, num_subsets=blocks) for k in range(x.shape[1])]
    values = 1000.0 * torch.tensor(each, dtype=torch.float64).mean(0)
    return {"fd": [frechet(x.flatten(0, 1), near), None], "kid": values.tolist()}


def _about(reference: Tensor | None, restored: Tensor | None, num_samples: int) -> dict[str, Any]:
    """The distances' reference, with two values of FD to hold others against."""
    halves = truths = None
    if reference is not None and restored is not None and len(reference) >= FEWEST:
        halves = frechet(reference[::2], reference[1::2])
        truths = frechet(restored.repeat_interleave(num_samples, 0), reference)
    return {
        "images": 0 if reference is None else len(reference),
        "source": "assumed: the pool of given images but those restored",
        "fd_of_halves": halves,
        "fd_of_truths": truths,
    }


def _number(value: float) -> float | None:
    return None if value != value else value
