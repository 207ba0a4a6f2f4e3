"""The grid behind the tables and figures: task x method x image, every cell stored on its own and
skipped when it is there.

A cell is one JSON of numbers and settings; beside it an npz holds the samples, the truth, y and the
samples' features. Images are computed in fixed blocks (numbers 0 to 19, 20 to 39, ...), so that an
interrupted grid ends with the bits of an uninterrupted one. A cell that was scored by other rules,
or by other networks, is scored again from its samples. Processes may share a folder: what one has
stored the others skip. A table of fewer samples may take the first ones of another table's folder:
all but the exact kernel, whose chains depend on their number, draw them in the same order.
"""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ... import noise as keyed
from ..._repr import describe
from ...errors import ConfigError, DivergedError
from ...gaussians.refresh import Refresh
from ...kernels.langevin import Langevin
from ...likelihoods import Gaussian
from ...operators import observed_of, parse
from ...posterior import NoisePosterior
from ...priors.prior import Prior
from ...sampling.defaults import FRICTION, NUM_WARMUP, leapfrogs
from ...sampling.sample import sample
from ...sampling.starts import Adam
from ...storage.atomic import write_whole
from ...types import Tick
from .presets import METHODS, TUNED_FOR, Guided, Method, Preset, Task, Walk, dataset_of, preset
from .scores import RULES, score, turned

ADAM = 200
"""Steps of the exact kernel's warm start: for estimates alone."""
THIN = 5
"""Transitions of the exact kernel between two samples."""
BLOCK = 20
"""Images computed at a time, where they are small."""
BLOCK_NUMEL = 3 * 128 * 128
"""Images of up to as many numbers are small; larger ones are computed alone."""
COST = ("nfe", "seconds", "cpu_seconds", "threads", "failed", "batch", "first_of")
"""What a cell keeps of how its samples were drawn; the last where they are the first of so many."""


Block: TypeAlias = tuple[Task, Method, range]
"""Column, row, and the numbers of the images that are computed together."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What every cell of a grid shares.

    Arguments:
        prior: consistency model.
        teacher: diffusion model for the DM rows; None where there is none.
        images: (pool, *x) in [-1, 1]; the first ones are restored, all are the Frechet distance's
            reference.
        tasks: by name.
        out: folder.
        num_samples: per image.
        seed: of all noise.
        label: of the prior, for the record.
        num_steps: of the guided methods; None takes the preset's.
        adam_steps: of ours; None takes the preset's.
        num_warmup: of the exact kernel; None takes its own.
        extractor: of features.
        extractors: of the Diversity Score's ("diversity_score") and the similarity's ("similarity")
            features, where they are others.
        lpips_net: None where LPIPS's weights are not here.
        diversity: score the diversity of an image's samples.
        microbatch: rows per network call.
        samples_of: folder of another grid whose samples are taken where there are enough of them;
            None where there is none.
    """

    prior: Prior
    teacher: Prior | None
    images: Tensor
    tasks: dict[str, Task]
    out: Path
    num_samples: int = 10
    seed: int = 0
    label: float | None = None
    num_steps: int | None = None
    adam_steps: int | None = None
    num_warmup: int | None = None
    extractor: str | None = "efficientnet-lite0"
    lpips_net: str | None = "alex"
    diversity: bool = False
    microbatch: int | None = None
    samples_of: Path | None = None
    extractors: dict[str, str] = field(default_factory=dict)
    _maps: dict[int, Any] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)
    _operators: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.prior.kind != "consistency":
            raise ConfigError(
                f"bench compares methods over a consistency model, and {self.prior.name} is "
                "none: choose one such as fashion32"
            )
        for name in ("num_samples", "num_steps", "adam_steps", "num_warmup"):
            value, least = (
                getattr(self, name),
                2 if name == "num_steps" else 0 if name != "num_samples" else 1,
            )
            if value is not None and value < least:
                raise ConfigError(f"{name} must be at least {least}, got {value}")
        if not 0 <= self.seed < 1 << 32:
            raise ConfigError(f"seed must be from 0 to 2^32 - 1, got {self.seed}")

    @property
    def block(self) -> int:
        """Images computed together."""
        return BLOCK if self.images[0].numel() <= BLOCK_NUMEL else 1

    @cached_property
    def varied(self) -> Tensor:
        """(*x) bool: pixels that are above black in more than a twentieth of all images; those of a
        background that never changes are not."""
        return (self.images > -1.0 + 1.0 / 255.0).float().mean(0) > 0.05

    @property
    def chains(self) -> int:
        """Chains of the exact kernel: two where the samples can be shared out, four or more to
        each."""
        return 2 if self.num_samples % 2 == 0 and self.num_samples >= 8 else 1

    def phi(self, num_steps: int) -> Any:
        """The map of one or two network calls."""
        if num_steps not in self._maps:
            self._maps[num_steps] = self.prior.map(num_steps)
        return self._maps[num_steps]

    def preset(self, method: Method, task: str) -> Preset | None:
        """A cell's settings, with what the command line shortens."""
        found = preset(
            dataset_of(self.prior.name),
            method.preset,
            task,
            self.num_samples,
            self.prior.name == TUNED_FOR,
        )
        if isinstance(found, Guided) and self.num_steps is not None and method.family != "cmedit":
            return replace(
                found, num_steps=self.num_steps, source=f"{found.source}, N from the command line"
            )
        if isinstance(found, Walk) and self.adam_steps is not None:
            return replace(
                found, adam_steps=self.adam_steps, source=f"{found.source}, K from the command line"
            )
        return found

    def missing(self, method: Method, task: str) -> str:
        """Why a cell does not exist; empty if it does."""
        if method.backbone == "dm" and self.teacher is None:
            return f"{self.prior.name} has no teacher"
        if method.num_steps == 2 and self.prior.card.get("midpoint") is None:
            return f"the card of {self.prior.name} names no midpoint"
        return (
            ""
            if method.family == "exact" or self.preset(method, task) is not None
            else "the paper has no settings (N/A)"
        )

    def settings(self, method: Method, task: Task, image: int) -> dict[str, Any]:
        """What makes a cell, JSON-ready: two cells of the same settings are the same."""
        owner = self.teacher if method.backbone == "dm" and self.teacher is not None else self.prior
        adam, warmup = (
            "auto" if value is None else value for value in (self.adam_steps, self.num_warmup)
        )
        each = f"{leapfrogs(method.num_steps)} leapfrogs, friction {FRICTION:g}, {Refresh()}"
        exact = (
            f"default kernel, {self.chains} chains, thin {THIN}, warm-up {warmup}, Adam {adam}, "
            f"{each}"
        )
        return {
            "network": f"{owner.name} {self._identity(method)}",
            "label": self.label,
            "operator": self._operator(task),
            "sigma_y": task.sigma_y,
            "preset": exact if method.family == "exact" else repr(self.preset(method, task.name)),
            "num_samples": self.num_samples,
            "seed": self.seed,
            "dtype": [str(self.images.dtype), str(next(owner.denoiser.network.parameters()).dtype)],  # type: ignore[union-attr]
            "image": describe(self.images[image]),
            "scored": self.scored,
        }

    @property
    def scored(self) -> list[Any]:
        """What the numbers of a cell depend on besides its samples, JSON-ready."""
        return [
            self.extractor,
            self.lpips_net,
            self.diversity,
            RULES,
            *([dict(sorted(self.extractors.items()))] if self.extractors else []),
        ]

    def chains_of(self, method: Method) -> int:
        """Chains that an image's samples stand in."""
        return self.chains if method.family == "exact" else 1

    def operator(self, task: Task) -> Any:
        """A task's operator, made once: some read their weights from a file."""
        if task.operator not in self._operators:
            self._operators[task.operator] = parse(task.operator, self.prior.shape)
        return self._operators[task.operator]

    def _identity(self, method: Method) -> str:
        """What the method calls: weights by their hash, the midpoint of a map of two steps."""
        key = (
            "teacher"
            if method.backbone == "dm"
            else f"map {method.num_steps}"
            if method.family in ("walk", "exact")
            else "prior"
        )
        if key not in self._texts:
            if key.startswith("map"):
                self._texts[key] = describe(self.phi(method.num_steps))
            else:
                owner = (
                    self.teacher if key == "teacher" and self.teacher is not None else self.prior
                )
                self._texts[key] = describe(owner.denoiser)
        return self._texts[key]

    def _operator(self, task: Task) -> str:
        """The operator with the hash of what it holds."""
        if task.operator not in self._texts:
            self._texts[task.operator] = f"{task.operator} {describe(self.operator(task))}"
        return self._texts[task.operator]


@dataclass(frozen=True)
class Grid:
    """Which cells: the names of tasks and methods, and the images of each method."""

    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    num_images: int
    num_exact: int

    def images_of(self, method: str) -> int:
        """Images that a method restores."""
        return (
            min(self.num_exact, self.num_images)
            if METHODS[method].family == "exact"
            else self.num_images
        )

    def blocks(self, bench: Bench) -> list[Block]:
        """Every block of the grid that exists."""
        out = []
        for task in (bench.tasks[name] for name in self.tasks):
            for method in (METHODS[name] for name in self.methods):
                if not bench.missing(method, task.name):
                    count = self.images_of(method.name)
                    out += [
                        (task, method, range(k, min(k + bench.block, count)))
                        for k in range(0, count, bench.block)
                    ]
        return out


def path_of(bench: Bench, task: str, method: str, image: int) -> Path:
    """Where a cell's JSON is."""
    return bench.out / "cells" / task / method / f"{image:05d}.json"


def read_cell(bench: Bench, task: Task, method: Method, image: int) -> dict[str, Any] | None:
    """A stored cell.

    Arguments:
        bench: the grid's.
        task: column.
        method: row.
        image: number.

    Returns:
        Its numbers; None if it is not there, or was scored by other rules.

    Raises:
        ConfigError: it was made with other settings.
    """
    cell = _stored(bench, task, method, image)
    return None if cell is None or cell["settings"]["scored"] != bench.scored else cell


def _stored(bench: Bench, task: Task, method: Method, image: int) -> dict[str, Any] | None:
    """A cell whose samples are those of the grid, however they were scored."""
    path = path_of(bench, task.name, method.name, image)
    return _checked(bench, task, method, image, path, _read(path))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _checked(
    bench: Bench, task: Task, method: Method, image: int, path: Path, cell: dict[str, Any] | None
) -> dict[str, Any] | None:
    """A cell as it was read, where its samples are those of the grid; ConfigError where it was made
    with other settings."""
    if cell is None:
        return None
    wanted = json.loads(json.dumps(bench.settings(method, task, image)))
    if other := [
        key
        for key, value in wanted.items()
        if key != "scored" and cell["settings"].get(key) != value
    ]:
        raise ConfigError(
            f"{path} was made with another {', '.join(other)}: give another folder, or the "
            "settings of that run"
        )
    return cell if "threads" in cell else None  # cells of before samples were kept are made again


def pending(bench: Bench, grid: Grid) -> list[Block]:
    """The blocks of which a cell is missing."""
    return [
        (t, m, images)
        for t, m, images in grid.blocks(bench)
        if any(read_cell(bench, t, m, i) is None for i in images)
    ]


def fill(bench: Bench, blocks: list[Block]) -> Iterator[Tick]:
    """Compute blocks and store their cells.

    Arguments:
        bench: the grid's.
        blocks: from `pending`.

    Yields:
        Progress in estimated network calls.
    """
    costs, done = [block_nfe(bench, *block) for block in blocks], 0
    total = sum(costs)
    for (task, method, images), cost in zip(blocks, costs, strict=True):
        yield Tick(f"{task.name} {method.name}", done, total, done, float("nan"))
        compute(bench, task, method, images)
        done += cost
    yield Tick("done", done, total, done, float("nan"))


def block_nfe(bench: Bench, task: Task, method: Method, images: range) -> int:
    """Network calls of a block, an estimate for the exact kernel: none where all its samples are
    there and are only scored."""
    return (
        0
        if all(_kept(bench, task, method, i) for i in images)
        else expected_nfe(bench, method, task.name) * len(images)
    )


def expected_nfe(bench: Bench, method: Method, task: str) -> int:
    """Network calls of one image: an estimate for the exact kernel, exact for the rest."""
    n, found = bench.num_samples, bench.preset(method, task)
    if method.family == "exact":
        adam = ADAM if bench.adam_steps is None else bench.adam_steps
        warmup = NUM_WARMUP if bench.num_warmup is None else bench.num_warmup
        curvature = Refresh().calls(warmup, math.prod(bench.prior.shape))
        return (
            method.num_steps
            * bench.chains
            * (
                1
                + adam
                + curvature
                + leapfrogs(method.num_steps) * (warmup + THIN * (n // bench.chains))
            )
        )
    if isinstance(found, Walk):
        return method.num_steps * (1 + found.adam_steps + n)
    return n * found.num_steps if found is not None else 0


def compute(bench: Bench, task: Task, method: Method, images: range) -> None:
    """Compute the cells of a block that are missing, and store them.

    Arguments:
        bench: the grid's.
        task: column.
        method: row.
        images: their numbers.
    """
    left = [
        i
        for i in images
        if read_cell(bench, task, method, i) is None and not _scored_again(bench, task, method, i)
    ]
    if not left:
        return
    likelihood, truth = Gaussian(task.sigma_y), bench.images[images.start : images.stop]
    operator = bench.operator(task)
    observed = observed_of(operator, bench.prior.shape)
    numbers = torch.arange(images.start, images.stop, device=truth.device)
    with torch.no_grad():
        y = likelihood.sample(
            operator(truth), keyed.Noise(bench.seed, numbers, torch.zeros_like(numbers)), observed
        )
    started = (time.perf_counter(), time.process_time())
    draws, calls, failed = _drawn(bench, task, method, y, images.start)
    seconds, used = time.perf_counter() - started[0], time.process_time() - started[1]
    for i in left:
        k = i - images.start
        cost = {
            "nfe": calls[k],
            "seconds": seconds / len(images),
            "cpu_seconds": used / len(images),
            "threads": torch.get_num_threads(),
        }
        _score_and_store(
            bench,
            task,
            method,
            i,
            draws[k],
            truth[k],
            y[k],
            {**cost, "failed": failed[k], "batch": len(images)},
        )


def _drawn(
    bench: Bench, task: Task, method: Method, y: Tensor, first: int
) -> tuple[Tensor, list[float], list[str]]:
    """Samples of a block with each image's calls and error; where the block fails its images are
    tried alone, so that one costs the others nothing."""
    count = len(y)
    try:
        draws, nfe = draw(bench, task, method, y, first)
        return draws, [nfe / count] * count, [""] * count
    except (
        DivergedError,
        ConfigError,
        torch.linalg.LinAlgError,
    ) as error:  # the last two: no finite preconditioner
        if count == 1:
            chains = bench.chains_of(method)
            nothing = y.new_full(
                (1, chains, bench.num_samples // chains, *bench.images.shape[1:]), float("nan")
            )
            return nothing, [0.0], [str(error)]
    parts = [_drawn(bench, task, method, y[k : k + 1], first + k) for k in range(count)]
    return (
        torch.cat([draws for draws, _, _ in parts]),
        [nfe for _, (nfe,), _ in parts],
        [text for _, _, (text,) in parts],
    )


def _scored_again(bench: Bench, task: Task, method: Method, image: int) -> bool:
    """Score samples that are there by the present rules; whether there were any."""
    found = _kept(bench, task, method, image)
    if found is None:
        return False
    owner, cell = found
    with np.load(path_of(owner, task.name, method.name, image).with_suffix(".npz")) as held:
        draws, truth, y = (
            torch.from_numpy(held[name]).to(bench.images) for name in ("draws", "truth", "y")
        )
    chains = bench.chains_of(method)
    draws = draws.unflatten(0, (chains, -1))[:, : bench.num_samples // chains]
    _score_and_store(
        bench, task, method, image, draws, truth, y, {key: cell[key] for key in COST if key in cell}
    )
    return True


def _kept(
    bench: Bench, task: Task, method: Method, image: int
) -> tuple[Bench, dict[str, Any]] | None:
    """Whose samples a cell's can be, and what drawing them cost: its own, or the first ones of a
    larger grid's, whose time is shared out by network calls."""
    cell = _stored(bench, task, method, image)
    if cell is not None:
        return bench, cell
    if bench.samples_of is None or method.family == "exact":
        return None
    path = path_of(replace(bench, out=bench.samples_of), task.name, method.name, image)
    larger = _read(path)
    if larger is None or larger["settings"]["num_samples"] < bench.num_samples:
        return None
    owner = replace(bench, out=bench.samples_of, num_samples=larger["settings"]["num_samples"])
    cell = _checked(owner, task, method, image, path, larger)
    if cell is None or cell["failed"]:
        return None
    nfe = expected_nfe(bench, method, task.name)
    return owner, {
        **cell,
        **{key: cell[key] * nfe / cell["nfe"] for key in ("seconds", "cpu_seconds")},
        "nfe": nfe,
        "first_of": owner.num_samples,
    }


def _score_and_store(
    bench: Bench,
    task: Task,
    method: Method,
    image: int,
    draws: Tensor,
    truth: Tensor,
    y: Tensor,
    cost: dict[str, Any],
) -> None:
    if task.name == "phase":
        draws = turned(draws, truth)
    target = NoisePosterior(
        bench.phi(1),
        bench.operator(task),
        Gaussian(task.sigma_y),
        y[None],
        microbatch=bench.microbatch,
    )
    numbers, features = score(draws, truth, target, method.family in ("walk", "exact"), bench)
    arrays = {"features": features, "draws": draws.flatten(0, 1), "truth": truth, "y": y}
    _store(bench, task, method, image, {**numbers, **cost}, arrays)


def draw(bench: Bench, task: Task, method: Method, y: Tensor, first: int) -> tuple[Tensor, int]:
    """Samples of a block.

    Arguments:
        bench: the grid's.
        task: column.
        method: row.
        y: (N, *y) measurements.
        first: number of the first image, in the noise's key.

    Returns:
        (N, chain, draw, *x), and network calls.
    """
    from ..baselines import CountedDenoiser, cmedit, dps, lgd, mpgd

    operator, found, n = bench.operator(task), bench.preset(method, task.name), bench.num_samples
    if isinstance(found, Guided) and method.family != "exact":
        owner = bench.teacher if method.backbone == "dm" else bench.prior
        assert owner is not None
        network = CountedDenoiser(owner.denoiser)  # type: ignore[arg-type]
        common: dict[str, Any] = {"batch_size": bench.microbatch, "first_image": first}
        base = (network, operator, y, n, found.num_steps, bench.seed)
        if method.family == "cmedit":
            x = cmedit(*base, **common)
        elif method.family == "lgd":
            x = lgd(*base, zeta=float(found.zeta or 0.0), num_mc=found.num_mc or 1, **common)
        else:
            x = (dps if method.family == "dps" else mpgd)(
                *base, zeta=float(found.zeta or 0.0), **common
            )
        return x[:, None], network.nfe
    target = NoisePosterior(
        bench.phi(method.num_steps),
        operator,
        Gaussian(task.sigma_y),
        y,
        microbatch=bench.microbatch,
    )
    seed = (
        bench.seed << 20
    ) + first  # the rows of a run are numbered from 0: another block is another seed
    if isinstance(found, Walk) and method.family == "walk":
        start = Adam(found.adam_steps, found.lr, found.betas) if found.adam_steps else None
        run = sample(
            target,
            Langevin(found.step_size, method.scheme),
            n,
            1,
            warm_start=start,
            seed=seed,
            progress=False,
        )
    else:
        begin: Any = (
            "auto"
            if bench.adam_steps is None
            else Adam(bench.adam_steps)
            if bench.adam_steps
            else None
        )
        warmup = "auto" if bench.num_warmup is None else bench.num_warmup
        run = sample(
            target,
            None,
            n // bench.chains,
            bench.chains,
            warmup,
            THIN,
            begin,
            seed=seed,
            progress=False,
        )
    if not run.complete:
        raise KeyboardInterrupt  # a run in memory ends early instead
    return run.draws, run.nfe


def _store(
    bench: Bench,
    task: Task,
    method: Method,
    image: int,
    numbers: dict[str, Any],
    arrays: dict[str, Tensor | None],
) -> None:
    path = path_of(bench, task.name, method.name, image)
    path.parent.mkdir(parents=True, exist_ok=True)
    held: dict[str, Any] = {
        k: v.detach().float().cpu().numpy() for k, v in arrays.items() if v is not None
    }
    write_whole(path.with_suffix(".npz"), lambda partial: np.savez_compressed(partial, **held))
    numbers = {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in numbers.items()
    }
    cell = {
        "task": task.name,
        "method": method.name,
        "image": image,
        **numbers,
        "settings": bench.settings(method, task, image),
    }
    write_whole(path, lambda partial: partial.write_text(json.dumps(cell, indent=1) + "\n"))
