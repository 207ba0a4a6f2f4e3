"""Solve a problem into a run folder: sample, score, report."""

from pathlib import Path

from ..operators import held_by
from ..report.build import build_report
from ..sampling.chains import Plan
from ..sampling.run import Run, sample_stored
from ..sampling.smc import Ladder
from ..sampling.tempering import smc_stored
from .problem import Problem


def restore(
    problem: Problem,
    plan: Plan | Ladder,
    out: Path,
    command: str,
    resume: bool = False,
    microbatch: int | None = None,
    progress: bool = True,
) -> Run:
    """Draw posterior samples of a problem into a folder and write its report.

    Arguments:
        problem: what to solve.
        plan: how; from `plan.resolve` or `tempering.resolve_smc`.
        out: the run's folder.
        command: what reproduces the run, for the report.
        resume: go on with an existing run.
        microbatch: rows per network call.
        progress: show a progress bar on a terminal, a line a minute elsewhere.

    Returns:
        The run.

    Raises:
        StoreError: the folder is in use, or not writable.
    """
    target = problem.target(microbatch)
    arrays = {
        name: value[None].expand(target.num_images, *value.shape)
        for name, value in held_by(problem.operator).items()
    }
    if problem.truth is not None:
        arrays["truth"] = problem.truth
    facts = problem.facts()
    if isinstance(plan, Ladder):
        run = smc_stored(target, plan, out, progress, facts, arrays, resume, command)
    else:
        run = sample_stored(target, plan, out, progress, facts, arrays, resume, command)
    build_report(out)
    return run
