"""Where a grid's cells are stored: each has a JSON of its numbers and settings, and an npz of its
samples with their features, the truth and y."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError
from ...storage.atomic import write_whole
from .bench import Bench
from .methods import Method
from .runs import expected_nfe
from .tasks import Task

Numbers: TypeAlias = dict[str, Any]  # of a cell, ready for JSON


def path_of(bench: Bench, task: str, method: str, image: int) -> Path:
    """Where a cell's JSON is."""
    return bench.out / "cells" / task / method / f"{image:05d}.json"


def read_cell(bench: Bench, task: Task, method: Method, image: int) -> Numbers | None:
    """A stored cell, unless other rules scored it; ConfigError if other settings made it."""
    cell = _sampled(bench, task, method, image)
    return None if cell is None or cell["settings"]["scored"] != bench.scored else cell


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays beside a cell's JSON."""
    with np.load(path.with_suffix(".npz")) as held:
        return {name: held[name] for name in held.files}


def kept(bench: Bench, task: Task, method: Method, image: int) -> tuple[Bench, Numbers] | None:
    """The bench that has a cell's samples, perhaps among more, and what drawing them cost."""
    cell = _sampled(bench, task, method, image)
    if cell is not None:
        return bench, cell
    if bench.samples_of is None or method.family == "exact":  # its chains depend on their number
        return None
    owner = replace(bench, out=bench.samples_of)
    larger = _read(path_of(owner, task.name, method.name, image))
    if larger is None or larger["settings"]["num_samples"] < bench.num_samples:
        return None
    owner = replace(owner, num_samples=larger["settings"]["num_samples"])
    cell = _sampled(owner, task, method, image)
    if cell is None or cell["failed"]:
        return None
    nfe = expected_nfe(bench, method, task.name)
    times = {key: cell[key] * nfe / cell["nfe"] for key in ("seconds", "cpu_seconds")}
    return owner, {**cell, **times, "nfe": nfe, "first_of": owner.num_samples}


def read_samples(bench: Bench, task: Task, method: Method, image: int) -> list[Tensor]:
    """Stored samples (chain, draw, *x), their truth and their measurement."""
    held = read_arrays(path_of(bench, task.name, method.name, image))
    draws, *others = (torch.from_numpy(held[k]).to(bench.images) for k in ("draws", "truth", "y"))
    return [draws.unflatten(0, (bench.chains_of(method), -1)), *others]


def store(
    bench: Bench,
    task: Task,
    method: Method,
    image: int,
    numbers: Numbers,
    arrays: dict[str, Tensor],
) -> None:
    """Write a cell, its arrays first."""
    path = path_of(bench, task.name, method.name, image)
    path.parent.mkdir(parents=True, exist_ok=True)
    held: dict[str, Any] = {k: v.detach().float().cpu().numpy() for k, v in arrays.items()}
    write_whole(path.with_suffix(".npz"), lambda partial: np.savez_compressed(partial, **held))
    lost = {k: None for k, v in numbers.items() if isinstance(v, float) and not math.isfinite(v)}
    where = {"task": task.name, "method": method.name, "image": image}
    cell = {**where, **numbers, **lost, "settings": bench.settings(method, task, image)}
    write_whole(path, lambda partial: partial.write_text(json.dumps(cell, indent=1) + "\n"))


def _sampled(bench: Bench, task: Task, method: Method, image: int) -> Numbers | None:
    """A stored cell whose samples are those of the grid, however they were scored."""
    path = path_of(bench, task.name, method.name, image)
    cell = _read(path)
    if cell is None:
        return None
    wanted = json.loads(json.dumps(bench.settings(method, task, image)))
    del wanted["scored"]
    if other := [key for key, value in wanted.items() if cell["settings"].get(key) != value]:
        raise ConfigError(
            f"{path} has another {', '.join(other)}: give another folder, or that run's settings"
        )
    return cell if "threads" in cell else None  # older cells, without their samples, do not count


def _read(path: Path) -> Numbers | None:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
