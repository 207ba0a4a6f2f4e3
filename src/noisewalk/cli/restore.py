"""Solve a problem into a run folder: sample, score, report."""

from pathlib import Path

from ..operators import held_by
from ..report.build import build_report
from ..sampling.execute import draw
from ..sampling.run import Run
from ..types import Plan
from .problem import Problem


def restore(
    problem: Problem,
    plan: Plan,
    out: Path,
    command: str,
    resume: bool = False,
    microbatch: int | None = None,
    progress: bool = True,
) -> Run:
    """Draw posterior samples of a problem into a folder and write its report.

    Arguments:
        problem: what to solve.
        plan: how; from `sampling.defaults`.
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
    run = draw(plan, target, out, progress, problem.facts(), arrays, command, resume)
    build_report(out)
    return run
