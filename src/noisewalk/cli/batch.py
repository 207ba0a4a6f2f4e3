"""Many files in one command: a run folder each, and one page that shows how all of them went."""

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .._text import printable
from ..engines.work import perform
from ..errors import ConfigError
from ..report.index import DONE, FAILED, RUNNING, STOPPED, Line, is_own, write_index
from .engines import engine_named_by
from .inputs import Entry, names_of, with_seed
from .options import interruptible, load_prior, make_folder
from .run_problem import prior_settings, restore
from .share import held, restore_together

if TYPE_CHECKING:
    from ..engines.engine import Engine
    from ..priors.prior import Prior
    from .sample import SampleOptions

SOME_FAILED = 3  # the exit status


@dataclass
class Job:
    """One file, its options and how it went."""

    options: "SampleOptions"
    line: Line

    def became(self, status: str, reason: str = "") -> None:
        """Note how it goes."""
        self.line = self.line._replace(status=status, reason=reason)


def run_batch(options: "SampleOptions", entries: Sequence[Entry], prior: "Prior") -> None:
    """Restore every file; a file that fails is listed at the end and stops no other.

    Exits with status 3 if any has failed. A file is one block of work with a seed of its own, so
    it gives the same draws alone.
    """
    out = options.folder
    make_folder(out)
    if (out / "spec.json").exists():
        raise ConfigError(f"{out} is the folder of one run: give a batch another --out")
    if not is_own(out / "index.html"):
        raise ConfigError(f"{out}/index.html is no batch's, and would be lost: give another --out")
    jobs, kept = _jobs(options, entries), f"what is done is safe in {out}; --resume goes on"
    title = f"{len(jobs)} files, {options.operator}, prior {prior.name}"
    o = options
    engine = engine_named_by(o)
    with interruptible(kept):
        try:
            if options.share_batches:
                _together(jobs, prior, out, title)
            elif engine is not None:
                _by_engine(jobs, engine, out, title)
            for number, job in enumerate(jobs, 1):
                if job.line.status not in (DONE, FAILED):
                    job.became(RUNNING)
                    _show(out, title, jobs)
                    print(f"[{number}/{len(jobs)}] {printable(str(job.options.input))}", flush=True)
                    _attempt(job, prior, kept)
        finally:
            for job in jobs:
                if job.line.status == RUNNING:
                    job.became(STOPPED)
            _show(out, title, jobs)
    _sum_up(jobs, out)


def _jobs(options: "SampleOptions", entries: Sequence[Entry]) -> list[Job]:
    names = names_of([entry.path for entry in entries])
    return [_job(options, *pair) for pair in zip(entries, names, strict=True)]


def _job(options: "SampleOptions", entry: Entry, name: str) -> Job:
    """The options of one file: what its row of a table says goes before the command's."""
    single = replace(
        options,
        inputs=[entry.path],
        out=options.folder / name,
        sigma_y=options.sigma_y if entry.sigma_y is None else entry.sigma_y,
        missing=options.missing if entry.mask is None else entry.mask,
    )
    return Job(single, Line(name, printable(str(entry.path))))


def _attempt(job: Job, prior: "Prior", kept: str) -> None:
    """Restore one file, or note why it could not be."""
    try:
        restore(with_seed(job.options), prior, kept)
    except typer.Exit:  # interrupted
        raise
    except Exception as error:  # of whatever kind: the others go on, and the reason is shown
        _note(job, error)
    else:
        job.became(DONE)


def _together(jobs: list[Job], prior: "Prior", out: Path, title: str) -> None:
    """Restore the files that can share network calls; those that cannot are left as they are."""
    for job in jobs:
        job.became(RUNNING)
    _show(out, title, jobs)
    failures = restore_together([job.options for job in jobs], prior, out / ".shared")
    for job, failure in zip(jobs, failures, strict=True):
        if failure is None:
            job.became(DONE)
        elif isinstance(failure, Exception):
            _note(job, failure)


def _by_engine(jobs: list[Job], engine: "Engine", out: Path, title: str) -> None:
    """Restore the files where the engine's workers are, a unit of work each."""
    for job in jobs:
        if not job.options.resume and (job.options.folder / "spec.json").exists():
            _note(job, held(job.options.folder))
        else:
            job.became(RUNNING)
    _show(out, title, jobs)
    places = {job.options.folder: job for job in jobs if job.line.status == RUNNING}
    units = [job.options for job in places.values()]
    done = perform(engine, restore_alone, None, units, out)
    for number, outcome in enumerate(done, 1):
        job = places[outcome.item.folder]
        job.became(DONE) if outcome.error is None else job.became(FAILED, outcome.error)
        print(f"[{number}/{len(units)}] {job.line.source}: {job.line.status}", flush=True)
        _show(out, title, jobs)


def restore_alone(_: None, options: "SampleOptions") -> None:
    """A worker's part: one file, without a word; what a lost worker has left is gone on with."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        restore(with_seed(replace(options, resume=True)), _loaded(*prior_settings(options)))


_loaded = lru_cache(maxsize=1)(load_prior)
"""The prior of a worker's files, which share it."""


def _note(job: Job, error: Exception) -> None:
    reason = " ".join(str(error).split()) or type(error).__name__
    known = isinstance(error, ConfigError | OSError) or type(error).__module__.startswith("noise")
    job.became(FAILED, reason if known else f"{type(error).__name__}: {reason}")
    print(f"  failed: {printable(job.line.reason)}", file=sys.stderr, flush=True)


def _show(out: Path, title: str, jobs: list[Job]) -> None:
    write_index(out, title, [job.line for job in jobs])


def _sum_up(jobs: list[Job], out: Path) -> None:
    """Print where the page is and what has failed; exit with status 3 if anything has."""
    failed = [job.line for job in jobs if job.line.status == FAILED]
    print(f"{len(jobs) - len(failed)} of {len(jobs)} files done")
    print(f"open {printable(str(out / 'index.html'))}", flush=True)
    if failed:
        print(f"{len(failed)} of {len(jobs)} files failed:", file=sys.stderr)
        for line in failed:
            print(f"  {line.source}: {printable(line.reason)}", file=sys.stderr)
        raise typer.Exit(SOME_FAILED)
