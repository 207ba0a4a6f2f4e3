"""Solve a problem into a run folder: sample, score, report."""

from pathlib import Path

from .loop import Plan
from .problem import Problem
from .report.build import build_report
from .run import Run, sample_stored


def restore(problem: Problem, plan: Plan, out: Path, command: str, resume: bool = False, microbatch: int | None = None, progress: bool = True) -> Run:
    """Draw posterior samples of a problem into a folder and write its report.

    Arguments:
        problem: what to solve.
        plan: how; see `run.resolve`.
        out: the run's folder.
        command: what reproduces the run, for the report.
        resume: go on with an existing run.
        microbatch: rows per network call.
        progress: show a progress bar on a terminal.

    Returns:
        The run.

    Raises:
        StoreError: the folder is in use, or not writable.
    """
    arrays = {} if problem.truth is None else {"truth": problem.truth}
    facts = {**problem.facts(), "command": command}
    run = sample_stored(problem.target(microbatch), plan, out, progress, facts, arrays, resume)
    build_report(out)
    return run
