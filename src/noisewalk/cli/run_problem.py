"""From a problem and a plan to a run folder: announce, draw, report, sum up."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._text import printable
from ..operators.order import in_words
from ..report.build import build_report
from ..report.read import ENDING, PLACED
from ..sampling.execute import draw
from ..sampling.run import Run
from ..types import Plan
from .options import command_line, interruptible
from .problem import Problem

SHOWN = "psnr ssim lpips chi2 noise_level r_hat_max ess_bulk_min acceptance_rate nfe seconds"
"""What is printed of a run's summary."""


def solve(
    problem: Problem, target: Any, plan: Plan, folder: Path, kept: str, resume: bool = False
) -> Run:
    """Draw posterior samples into a folder with their report; Ctrl-C says `kept`."""
    print(announcement(problem, target, plan))
    print(f"  into {printable(str(folder))}", flush=True)
    facts, arrays = problem.facts(), problem.arrays()
    with interruptible(kept):
        run = draw(plan, target, folder, True, facts, arrays, command_line(), resume)
        build_report(folder)
        if (place := problem.georeference) is not None:
            for what in PLACED:
                run.export(folder / f"{what}.{ENDING[place.format]}", what)
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
    settings = {name: value for name, value in vars(plan).items() if value is not None}
    return "\n  ".join(
        [
            problem.title,
            *(f"note: {doubt}" for doubt in problem.doubts()),
            *counted,
            f"{in_words(problem.operator)}, and noise is added",
            f"prior {problem.prior_name}  value range {problem.value_range}  noise {problem.noise}",
            f"on the scale of [-1, 1]: {problem.likelihood}",
            str(settings.pop("kernel")),
            "  ".join(f"{name} {value}" for name, value in settings.items()),
            f"NFE about {plan.estimate(target).calls:,}",
        ]
    )
