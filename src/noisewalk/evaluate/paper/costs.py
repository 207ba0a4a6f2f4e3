"""Figure 2: seconds and network calls against the number of samples of one image, measured in one
run.

The paper's kernel adds one network call with its gradient per draw; the guided method starts anew
for each. The exact kernel is drawn at equal effective samples: the median bulk ESS (pixels that
vary and random projections) of its whole run, shared out evenly over the draws. (The ESS of the
first few draws alone says nothing: there it stands at its cap, whatever the chains do.)
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
from torch import Tensor

from ... import noise as keyed
from ...kernels.langevin import Langevin
from ...likelihoods import Gaussian
from ...operators import observed_of, parse
from ...posterior import NoisePosterior
from ...sampling.defaults import resolve
from ...sampling.starts import Adam
from ...storage.atomic import write_whole
from ...storage.memory import MemoryStore
from ...types import Tick
from ..diagnostics.chains import image_diagnostics
from .grid import THIN, Bench, draw, expected_nfe
from .presets import METHODS, Walk, dataset_of, preset
from .tables import duration, seconds_a_call

COUNTS = (1, 5, 10, 25, 50, 100)
"""Numbers of samples in figure 2."""
CHAINS = 4
"""Of the exact kernel's curve."""


def figure2(bench: Bench, counts: tuple[int, ...] = COUNTS) -> Iterator[Tick]:
    """Measure seconds and network calls against the number of samples of one image; each curve is
    stored as JSON and skipped when it is there.

    Arguments:
        bench: whose first image is inpainted.
        counts: numbers of samples.

    Yields:
        Progress in curves.
    """
    curves = {
        "DPS-DM": _guided_curve,
        "ours, paper's kernel": _paper_curve,
        "ours, exact kernel": _exact_curve,
    }
    task = bench.tasks["inpaint"]
    for k, (name, curve) in enumerate(curves.items()):
        path = bench.out / "figure2" / f"{k}.json"
        yield Tick(name, k, len(curves), 0, float("nan"))
        if name == "DPS-DM" and bench.teacher is None:
            continue
        method = METHODS[("dps-dm", "ours1-em", "ours1-exact")[k]]
        wanted = {
            "name": name,
            "counts": list(counts),
            "threads": torch.get_num_threads(),
            **bench.settings(method, task, 0),
        }
        if method.family == "exact":
            wanted |= {
                "preset": f"{wanted['preset']}; {CHAINS} chains of {_length(counts)} draws, thin 1",
                "effective": "ESS of the run, shared out",
            }
        if path.exists() and json.loads(path.read_text())["settings"] == json.loads(
            json.dumps(wanted)
        ):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {"settings": wanted, **curve(bench, counts)}
        write_whole(path, partial(Path.write_text, data=json.dumps(found, indent=1) + "\n"))
    plot_figure2(
        [json.loads(p.read_text()) for p in sorted((bench.out / "figure2").glob("*.json"))],
        bench.out / "figure2.png",
    )
    yield Tick("done", len(curves), len(curves), 0, float("nan"))


def estimate2(bench: Bench, counts: tuple[int, ...] = COUNTS) -> str:
    """What figure 2 will cost.

    Arguments:
        bench: whose first image is inpainted.
        counts: numbers of samples.

    Returns:
        One line.
    """
    found, guided = (
        bench.preset(METHODS["ours1-em"], "inpaint"),
        bench.preset(METHODS["dps-dm"], "inpaint"),
    )
    nfe = sum(counts) * getattr(guided, "num_steps", 0) if bench.teacher is not None else 0
    nfe += 1 + getattr(found, "adam_steps", 0) + counts[-1]
    nfe += (
        expected_nfe(
            replace(bench, num_samples=max(8, 2 * -(-_length(counts) // THIN))),
            METHODS["ours1-exact"],
            "inpaint",
        )
        * CHAINS
        // 2
    )
    call = seconds_a_call(bench, 1, True)
    return (
        f"NFE about {nfe:,}; at most about {duration(nfe * call)} ({1e3 * call:.1f} ms a network "
        "call of one row with its gradient, measured)"
    )


def _measured(bench: Bench) -> Tensor:
    task = bench.tasks["inpaint"]
    operator = parse(task.operator, bench.prior.shape)
    with torch.no_grad():
        rows = keyed.rows(bench.seed, 1, device=bench.images.device)
        return Gaussian(task.sigma_y).sample(
            operator(bench.images[:1]), rows, observed_of(operator, bench.prior.shape)
        )


def _guided_curve(bench: Bench, counts: tuple[int, ...]) -> dict[str, Any]:
    seconds, nfe, y = [], [], _measured(bench)
    for n in counts:
        started = time.perf_counter()
        _, calls = draw(
            replace(bench, num_samples=n), bench.tasks["inpaint"], METHODS["dps-dm"], y, 0
        )
        seconds.append(time.perf_counter() - started)
        nfe.append(calls)
    return {"samples": list(counts), "seconds": seconds, "nfe": nfe, "ess": None}


def _walked(bench: Bench, plan: Any, most: int) -> tuple[list[float], list[int], MemoryStore]:
    """Seconds and network calls at every draw, until `most` of them."""
    task = bench.tasks["inpaint"]
    target = NoisePosterior(
        bench.phi(1),
        parse(task.operator, bench.prior.shape),
        Gaussian(task.sigma_y),
        _measured(bench),
        microbatch=bench.microbatch,
    )
    sink, started = MemoryStore(1, plan.num_chains), time.perf_counter()
    seconds: list[float] = []
    nfe: list[int] = []
    for tick in plan.run(target, sink):
        if sink.cursor()[0] > len(seconds):
            seconds.append(time.perf_counter() - started)
            nfe.append(tick.nfe)
        if len(seconds) == most:
            break
    return seconds, nfe, sink


def _target(bench: Bench) -> NoisePosterior:
    task = bench.tasks["inpaint"]
    return NoisePosterior(
        bench.phi(1),
        parse(task.operator, bench.prior.shape),
        Gaussian(task.sigma_y),
        _measured(bench),
    )


def _paper_curve(bench: Bench, counts: tuple[int, ...]) -> dict[str, Any]:
    found = bench.preset(METHODS["ours1-em"], "inpaint") or preset(
        dataset_of(bench.prior.name), "ours1", "inpaint"
    )
    assert isinstance(found, Walk)
    start = Adam(found.adam_steps, found.lr, found.betas) if found.adam_steps else None
    plan = resolve(
        _target(bench), Langevin(found.step_size), counts[-1], 1, 0, 1, start, None, bench.seed
    )
    seconds, nfe, sink = _walked(bench, plan, counts[-1])
    ess = image_diagnostics(sink.arrays["x"][0])["ess_bulk_median"]
    return {
        "samples": list(counts),
        "seconds": [seconds[n - 1] for n in counts],
        "nfe": [nfe[n - 1] for n in counts],
        "ess": None if ess != ess else ess,
    }


def _length(counts: tuple[int, ...]) -> int:
    """Draws of each chain of the exact kernel's curve: as many as the most samples need where one
    draw in twelve is an effective one."""
    return max(4, -(-counts[-1] // CHAINS) * 12)


def _exact_curve(bench: Bench, counts: tuple[int, ...]) -> dict[str, Any]:
    """At equal effective samples: the draw at which n of the run's effective samples have been
    made."""
    begin = (
        "auto" if bench.adam_steps is None else Adam(bench.adam_steps) if bench.adam_steps else None
    )
    warmup = "auto" if bench.num_warmup is None else bench.num_warmup
    length = _length(counts)
    plan = resolve(_target(bench), None, length, CHAINS, warmup, 1, begin, "auto", bench.seed)
    seconds, nfe, sink = _walked(bench, plan, length)
    ess = image_diagnostics(sink.arrays["x"][0])["ess_bulk_median"]
    reached = [n for n in counts if n <= ess]
    at = [math.ceil(n * length / ess) for n in reached]
    return {
        "samples": reached,
        "seconds": [seconds[d - 1] for d in at],
        "nfe": [nfe[d - 1] for d in at],
        "ess": None if ess != ess else ess,
    }


def plot_figure2(curves: list[dict[str, Any]], path: Path) -> None:
    """Draw seconds against the number of samples, network calls written beside.

    Arguments:
        curves: each with settings, samples, seconds, nfe, and the effective sample size of its last
            point.
        path: of the PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        ess = "" if curve["ess"] is None else f" (median ESS of the run {curve['ess']:.1f})"
        axes.plot(curve["samples"], curve["seconds"], "o-", label=curve["settings"]["name"] + ess)
        for n, seconds, nfe in zip(curve["samples"], curve["seconds"], curve["nfe"], strict=True):
            axes.annotate(
                f"{nfe:,}", (n, seconds), fontsize=6, xytext=(2, 3), textcoords="offset points"
            )
    axes.set_xlabel("samples of one image (exact kernel: effective samples)")
    axes.set_ylabel("seconds; network calls beside the points")
    axes.set_yscale("log")
    axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200)
