"""From a problem and a plan to a run folder: announce, draw, report, sum up."""

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._text import printable
from ..gaussians.refresh import is_image
from ..operators.order import in_words
from ..report.build import build_report
from ..report.read import ENDING, PLACED
from ..sampling.cost import most_memory, seconds_a_call
from ..sampling.execute import draw
from ..sampling.run import Run
from ..sampling.shards import draw_shards
from ..storage.remote import Place, only_local, shown, working
from ..types import Plan
from .engines import engine_named_by
from .options import command_line, dtype_of, interruptible, load_prior, rows_at_once
from .plans import plan_of
from .problem import Problem, read_problem

if TYPE_CHECKING:
    from ..priors.prior import Prior
    from .sample import SampleOptions

SHOWN = "psnr ssim lpips chi2 noise_level r_hat_max ess_bulk_min acceptance_rate nfe seconds"
"""What is printed of a run's summary."""


def prior_of(options: "SampleOptions") -> "Prior":
    """The prior that the options name."""
    return load_prior(*prior_settings(options))


def prior_settings(options: "SampleOptions") -> tuple[Any, ...]:
    """What a prior is loaded by."""
    o = options
    return o.prior, o.label, o.device, dtype_of(o.dtype), o.kind, o.size, o.head_channels, o.prompt


def restore(options: "SampleOptions", prior: "Prior", kept: str | None = None) -> Run:
    """Restore the one file of the options into its folder; Ctrl-C says `kept`."""
    o, problem = options, read_problem(options, prior)
    target = problem.target(rows_of(o, problem, prior))
    if kept is None:
        place = shown(o.folder)
        kept = f"what is done so far is safe in {place}; the same command with --resume goes on"
    plan, by = plan_of(o, target), _way(o)
    return solve(problem, target, plan, o.folder, kept, o.resume, o.force, by)


def _way(options: "SampleOptions") -> Callable[..., Run]:
    """How the chains are drawn: here, or in shards by an engine."""
    from ..engines import Serial

    o = options
    if o.shard_chains is None:
        return draw
    only_local("--out of --shard-chains", o.out)
    engine = engine_named_by(o) or Serial()
    return partial(draw_shards, engine=engine, num_shards=o.shard_chains)


def rows_of(options: "SampleOptions", problem: Problem, prior: "Prior") -> int | None:
    """The rows of a network call; a scene larger than the prior's images has few."""
    if options.microbatch is not None:
        return options.microbatch
    shape = tuple(problem.phi.shape)
    if not is_image(shape):  # z says nothing of the image's size
        shape = tuple(prior.shape)
    larger = math.prod(shape[-2:]) > math.prod(prior.shape[-2:])
    return rows_at_once(shape) if options.kernel == "smc" or larger else None


def solve(
    problem: Problem,
    target: Any,
    plan: Plan,
    folder: Path,
    kept: str,
    resume: bool = False,
    force: bool = False,
    by: Callable[..., Run] = draw,
) -> Run:
    """Draw posterior samples into a folder with their report; Ctrl-C says `kept`."""
    print(announcement(problem, target, plan))
    print(f"  into {printable(shown(folder))}", flush=True)
    with interruptible(kept):
        return finish(problem, target, plan, folder, resume, force, by)


def finish(
    problem: Problem,
    target: Any,
    plan: Plan,
    folder: Path,
    resume: bool,
    force: bool = False,
    by: Callable[..., Run] = draw,
) -> Run:
    """Draw into a folder or an address, write the report and the results, and sum up."""
    with working(folder) as place:
        facts = problem.facts(), problem.arrays(), command_line()
        return _reported(problem, by(plan, target, place, True, *facts, resume, force), place)


def _reported(problem: Problem, run: Run, place: Place) -> Run:
    """The run, with its report and results in its folder, and summed up."""
    folder = place.folder
    build_report(folder)
    if (origin := problem.georeference) is not None:
        for what in PLACED:
            run.export(folder / f"{what}.{ENDING[origin.format]}", what)
    summary = json.loads((folder / "summary.json").read_text())
    if summary["r_hat_max"] is None and min(summary["num_chains"], summary["num_draws"]) > 1:
        summary["r_hat_max"] = run.summary()["r_hat_max"]  # JSON has no infinity
    print(verdict_line(summary))
    values = {key: summary.get(key) for key in SHOWN.split()}
    shown = (f"{k} {v:.4g}" for k, v in values.items() if v is not None and not math.isnan(v))
    print("  " + "  ".join(shown), flush=True)
    return run


def verdict_line(summary: Mapping[str, Any]) -> str:
    """What is said first of a run: whether its draws can be trusted, and why."""
    return f"  {summary['verdict']}: {summary['verdict_reason']}"


def announcement(problem: Problem, target: Any, plan: Plan) -> str:
    """The problem, the doubts about it, the settings and the cost."""
    counted = [] if problem.truth is not None else [problem.gaps]
    return "\n  ".join(
        [
            problem.title,
            *(f"note: {doubt}" for doubt in problem.doubts()),
            *counted,
            f"{in_words(problem.operator)}, and noise is added",
            f"prior {problem.prior_name}  value range {problem.value_range}  noise {problem.noise}",
            f"on the scale of [-1, 1]: {problem.likelihood}",
            plan.in_words,
            cost_line(target, plan),
        ]
    )


def cost_line(target: Any, plan: Plan) -> str:
    """What a plan will take, from one evaluation that is timed and not counted."""
    calls, memory, disk = plan.estimate(target)
    seconds = calls * seconds_a_call(target, plan.num_rows)
    held = memory + most_memory(target.y.device)
    sizes = f"{held / 1e9:.2g} GB of memory, {disk / 1e6:.2g} MB on disk"
    return f"NFE about {calls:,}  about {lasting(seconds)}, {sizes}"


def lasting(seconds: float) -> str:
    """A time in the unit that suits it."""
    units = ((3600.0, "hours"), (60.0, "minutes"))
    return next(
        (f"{seconds / size:.2g} {name}" for size, name in units if seconds >= 1.5 * size),
        f"{math.ceil(seconds)} seconds",
    )
