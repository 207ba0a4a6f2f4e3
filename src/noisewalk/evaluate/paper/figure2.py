"""Figure 2: seconds and network calls against the number of samples of one image.

The exact kernel's long chains are drawn at equal effective samples: the median bulk ESS of their
whole run, shared out evenly over the draws. The ESS of the first few draws alone stands at its cap,
whatever they do. Of many short chains each gives one draw, so every number of them is a run.
"""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ...gaussians.refresh import Refresh
from ...kernels.langevin import Langevin
from ...posterior import NoisePosterior
from ...sampling.chains import Chains
from ...sampling.defaults import PLANS, leapfrogs, resolve
from ...sampling.execute import execute
from ...sampling.randomized import ADAM, NEWTON
from ...storage.atomic import write_whole
from ...storage.memory import MemoryStore
from ...types import Info, Plan, SamplerState, State, Tick
from ..diagnostics.chains import image_diagnostics
from .bench import THIN, Bench, start_of
from .estimate import duration, seconds_a_call
from .grid import measure
from .methods import METHODS
from .presets import Walk, dataset_of, preset
from .runs import draw, expected_nfe

COUNTS = (1, 5, 10, 25, 50, 100)  # numbers of samples
CHAINS = 4  # of the exact kernel's curve
TASK, IMAGE = "inpaint", range(1)  # what is restored: the first image


def figure2(bench: Bench, counts: tuple[int, ...] = COUNTS) -> Iterator[Tick]:
    """Measure the curves and plot them; each is stored as JSON and skipped when it is there."""
    folder, bench = bench.out / "figure2", bench.of_image(IMAGE.start)
    for k, (name, method, curve) in enumerate(CURVES):
        yield Tick(name, k, len(CURVES), 0, float("nan"))
        if method == "dps-dm" and bench.teacher is None:
            continue
        path, wanted = folder / f"{k}.json", _settings(bench, counts, name, method)
        if path.exists() and json.loads(path.read_text())["settings"] == wanted:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"settings": wanted, **curve(bench, counts)}, indent=1) + "\n"
        write_whole(path, partial(Path.write_text, data=text))
    curves = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    plot_figure2(curves, bench.out / "figure2.png")
    yield Tick("done", len(CURVES), len(CURVES), 0, float("nan"))


def estimate2(bench: Bench, counts: tuple[int, ...] = COUNTS) -> str:
    """What figure 2 will cost, in one line."""
    nfe, call = calls2(bench, counts), seconds_a_call(bench, 1, True)
    measured = f"{1e3 * call:.1f} ms a network call of one row with its gradient, measured"
    return f"NFE about {nfe:,}; at most about {duration(nfe * call)} ({measured})"


def calls2(bench: Bench, counts: tuple[int, ...] = COUNTS) -> int:
    """Network calls of figure 2; those of the exact kernel are estimates."""
    found, guided = (bench.preset(METHODS[name], TASK) for name in ("ours1-em", "dps-dm"))
    nfe = sum(counts) * getattr(guided, "num_steps", 0) if bench.teacher is not None else 0
    nfe += 1 + getattr(found, "adam_steps", 0) + counts[-1]
    _, _, warmup, first = PLANS["short_chains"]
    nfe += sum(counts) * (2 + ADAM + NEWTON + leapfrogs(1) * (warmup + first))
    two_chains = replace(bench, num_samples=max(8, 2 * -(-_length(counts) // THIN)))
    return nfe + expected_nfe(two_chains, METHODS["ours1-exact"], TASK) * CHAINS // 2


def _settings(bench: Bench, counts: tuple[int, ...], name: str, method: str) -> dict[str, Any]:
    """What makes a curve, as JSON gives it back."""
    about = {"name": name, "counts": list(counts), "threads": torch.get_num_threads()}
    wanted = {**about, **bench.settings(METHODS[method], bench.tasks[TASK], 0)}
    if name == SHORT:
        wanted["preset"] = "the default plan, one draw of each chain"
    elif METHODS[method].family == "exact":
        wanted["preset"] += f"; {CHAINS} chains of {_length(counts)} draws, thin 1"
        wanted["effective"] = "ESS of the run, shared out"
    return json.loads(json.dumps(wanted))


def _guided_curve(bench: Bench, counts: tuple[int, ...]) -> dict[str, Any]:
    task = bench.tasks[TASK]
    seconds, nfe, y = [], [], measure(bench, task, IMAGE)
    for n in counts:
        began = time.perf_counter()
        _, calls = draw(replace(bench, num_samples=n), task, METHODS["dps-dm"], y, 0)
        seconds.append(time.perf_counter() - began)
        nfe.append(calls)
    return {"samples": list(counts), "seconds": seconds, "nfe": nfe, "ess": None}


def _paper_curve(bench: Bench, counts: tuple[int, ...]) -> dict[str, Any]:
    found = bench.preset(METHODS["ours1-em"], TASK)
    found = found or preset(dataset_of(bench.prior.name), "ours1", TASK)
    assert isinstance(found, Walk)
    start, kernel = start_of(found.adam_steps, found.lr, found.betas), Langevin(found.step_size)
    target = _target(bench)
    plan = resolve(target, kernel, counts[-1], 1, 0, 1, start, None, bench.seed)
    return _at(list(counts), list(counts), *_walked(plan, target))


def exact_curve(bench: Bench, counts: tuple[int, ...]) -> dict[str, Any]:
    """Its costs at the draws by which n of the run's effective samples have been made."""
    length, target = _length(counts), _target(bench)
    given = length, CHAINS, bench.exact_warmup, 1, bench.exact_start
    plan = resolve(target, None, *given, seed=bench.seed, refresh=Refresh())
    seconds, nfe, ess = _walked(plan, target)
    reached = [n for n in counts if n <= ess]
    return _at(reached, [math.ceil(n * length / ess) for n in reached], seconds, nfe, ess)


def short_curve(bench: Bench, counts: tuple[int, ...]) -> dict[str, Any]:
    """The costs of so many short chains."""
    target = _target(bench)
    found = [_walked(_short(target, n, bench.seed), target) for n in counts]
    seconds, nfe = [times[-1] for times, _, _ in found], [calls[-1] for _, calls, _ in found]
    return {"samples": list(counts), "seconds": seconds, "nfe": nfe, "ess": None}


def _short(target: NoisePosterior, num_chains: int, seed: int) -> Chains:
    return resolve(target, num_chains=num_chains, seed=seed, plan="short_chains")


def _target(bench: Bench) -> NoisePosterior:
    task = bench.tasks[TASK]
    return bench.target(task, measure(bench, task, IMAGE))


SHORT = "ours, many short chains"
CURVES = (  # name, method, measurement
    ("DPS-DM", "dps-dm", _guided_curve),
    ("ours, paper's kernel", "ours1-em", _paper_curve),
    ("ours, four long chains", "ours1-exact", exact_curve),
    (SHORT, "ours1-exact", short_curve),
)


class _Timed(MemoryStore):
    """Draws in memory, with the time and the network calls at each."""

    def __init__(self, num_images: int, num_chains: int) -> None:
        super().__init__(num_images, num_chains)
        self.began, self.times, self.nfe = time.perf_counter(), list[float](), list[int]()

    def append(self, state: State, info: Info, sampler: SamplerState, extras: Any) -> None:
        """Keep a draw, and what has been spent by now."""
        super().append(state, info, sampler, extras)
        self.times.append(time.perf_counter())
        self.nfe.append(sampler["nfe"])


def _walked(plan: Plan, target: Any) -> tuple[list[float], list[int], float]:
    """Seconds and network calls at every draw of a run, and its median ESS."""
    sink = _Timed(1, plan.num_rows)
    execute(plan, target, sink, progress=False)
    seconds, nfe = [at - sink.began for at in sink.times], sink.nfe
    return seconds, nfe, image_diagnostics(sink.arrays["x"][0])["ess_bulk_median"]


def _at(
    samples: list[int], draws: list[int], seconds: list[float], nfe: list[int], ess: float
) -> dict[str, Any]:
    """A curve: what so many samples cost, which were there after so many draws."""
    return {
        "samples": samples,
        "seconds": [seconds[k - 1] for k in draws],
        "nfe": [nfe[k - 1] for k in draws],
        "ess": None if math.isnan(ess) else ess,
    }


def _length(counts: tuple[int, ...]) -> int:
    """Draws of each of the exact kernel's chains: enough where one in twelve is effective."""
    return max(4, -(-counts[-1] // CHAINS) * 12)


def plot_figure2(curves: list[dict[str, Any]], path: Path) -> None:
    """Draw seconds against the number of samples, with the network calls beside the points."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    near: dict[str, Any] = {"xytext": (2, 3), "textcoords": "offset points"}
    for curve in curves:
        ess = "" if curve["ess"] is None else f" (median ESS of the run {curve['ess']:.1f})"
        axes.plot(curve["samples"], curve["seconds"], "o-", label=curve["settings"]["name"] + ess)
        for n, seconds, nfe in zip(curve["samples"], curve["seconds"], curve["nfe"], strict=True):
            axes.annotate(f"{nfe:,}", (n, seconds), fontsize=6, **near)
    axes.set(xlabel="samples of one image (long chains: effective samples)", yscale="log")
    axes.set_ylabel("seconds; network calls beside the points")
    axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200)
