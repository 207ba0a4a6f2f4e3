"""What happens behind the page: previews, jobs by visitor, and the looks at a run while it goes on.

Nothing here knows of the page's widgets.
"""

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import NamedTuple

from ..errors import ConfigError, NoisewalkError
from ..sampling.run import open_run
from ..sampling.watch import Progress, progress_of
from .choices import QUICK, Choices, in_folder, options_of, place_files, words_of
from .job import Job
from .preview import cleaned, preview_of, prior_of
from .results import results_of
from .rooms import new_room
from .viewer import View, verdict_html, view_of

EVERY = 0.5  # seconds between two looks
PHASES = {
    "begins": "The network is being loaded",
    "starts": "The chains look for their starts",
    "warm-up": "The chains tune their steps",
    "draws": "The chains draw",
}


CAREFULLY = "On this page, choose Careful and sample again."
BY_COMMAND = (
    "An option such as --thin is for the command line: press Copy command, and add it there."
)


class Look(NamedTuple):
    """What the page shows of a run at a moment; None leaves what is there."""

    status: str
    view: View | None = None
    files: list[str] | None = None
    ended: bool = False


@dataclass
class Desk:
    """The jobs of all visitors, and where their files are."""

    root: Path

    def __post_init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.lock = threading.Lock()

    def begin(self, visitor: str, choices: Choices) -> Job:
        """A new job of a visitor, whose job before is stopped; it waits for its turn."""
        self.stop(visitor)
        preview = preview_of(choices, self.root)
        folder = new_room(self.root)
        place_files(choices, folder)
        prior = prior_of(choices.prior, choices.label, choices.device)
        try:
            options = options_of(choices, folder, prior.shape)
        except ConfigError as error:
            raise ConfigError(cleaned(str(error), folder, choices)) from error
        words = words_of(in_folder(options, folder))
        job = Job(folder, words, preview, choices.effort == QUICK)
        with self.lock:
            self.jobs[visitor] = job
        return job

    def stop(self, visitor: str) -> bool:
        """Stop the job of a visitor, and say whether there was one to stop."""
        with self.lock:
            job = self.jobs.pop(visitor, None)
        if job is None:
            return False
        job.stop()
        return True

    def looks(self, visitor: str) -> Iterator[Look]:
        """Run the job of a visitor, with a look at it now and then."""
        job = self.jobs.get(visitor)
        if job is None:  # it was cancelled while it waited
            return
        try:
            job.begin()
            seen = 0
            while job.alive:
                job.wait(EVERY)
                look = glance(job, seen)
                seen = seen if look.view is None else look.view.num_draws
                yield look
            yield last_look(job)
        finally:
            job.stop()
            with self.lock:
                if self.jobs.get(visitor) is job:
                    del self.jobs[visitor]


def glance(job: Job, seen: int) -> Look:
    """A look at a run that goes on; its draws are shown where there are more than were seen."""
    progress = progress_of(job.run, diagnose=False)
    text = told(progress, job.stopped)
    if progress.num_draws == 0 or job.stopped:
        return Look(text)
    try:
        run = open_run(job.run)
        if run.draws.shape[1] * run.draws.shape[2] == seen:
            return Look(text)
        return Look(text, view_of(run, job.preview))
    except (NoisewalkError, OSError):  # the next look finds it whole
        return Look(text)


def told(progress: Progress, stopped: bool = False) -> str:
    """A bar with the phase and the time that is left, as HTML."""
    share = 0.0 if math.isnan(progress.share) else progress.share
    phase = PHASES.get(progress.phase.split(",")[0], "Almost done")
    if stopped:
        phase = "The step in progress ends"
    draws = f", {progress.num_draws} of {progress.planned} rounds of draws" * bool(progress.planned)
    left = "" if math.isnan(progress.seconds_left) else f", {_left(progress.seconds_left, share)}"
    return (
        f'<div class="nw-progress"><progress max="1" value="{share:.3f}" '
        f'aria-label="Progress">{100 * share:.0f} %</progress> '
        f"<span>{phase}{draws}{left}</span></div>"
    )


def _left(seconds: float, share: float) -> str:
    if share >= 1:
        return "the report is being written"
    seconds = max(1.0, seconds)
    return f"about {seconds:.0f} s left" if seconds < 100 else f"about {seconds / 60:.0f} min left"


def last_look(job: Job) -> Look:
    """What stays of a run that is done, was stopped or has failed."""
    if (fault := job.fault()) is not None:
        return Look(error(cleaned_fault(fault, job)), ended=True)
    files = results_of(job)
    if not files:
        return Look("Cancelled before the first draw: there is nothing to keep.", ended=True)
    run = open_run(job.run)
    view = view_of(run, job.preview)
    todo = CAREFULLY if job.quick else BY_COMMAND
    view = replace(view, verdict=verdict_html(run.summary(), 0, todo))
    done = "Done." if run.complete else "Cancelled. What was drawn before is kept."
    seconds, calls = f"{run.seconds:.0f} s", f"{run.nfe:,} network calls"
    return Look(f"{done} {view.num_draws} draws in {seconds}, {calls}.", view, files, True)


def cleaned_fault(fault: str, job: Job) -> str:
    """The sentence of a run's end without the folders of this machine."""
    return fault.replace(f"{job.folder}/", "")


def error(message: str) -> str:
    """A sentence that says what is wrong, as HTML."""
    return f'<p class="nw-error" role="alert">{escape(message[:1].upper() + message[1:])}</p>'
