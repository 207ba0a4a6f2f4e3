"""One run of `noisewalk sample` in a process of its own: begin, watch, stop."""

import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .preview import Preview

PRELOADED = [
    *("noisewalk.cli.main", "noisewalk.cli.sample", "noisewalk.cli.run_problem"),
    *("noisewalk.cli.batch", "noisewalk.sampling.summary", "torchmetrics", "matplotlib"),
    "diffusers.models.unets.unet_2d",
]
LOG = "log.txt"
STOPPED = (130, 143, -signal.SIGINT, -signal.SIGTERM)


def context() -> Any:
    """How processes begin: where the system can, as copies of one that has imported the packages,
    which takes no time."""
    usual = "forkserver" in multiprocessing.get_all_start_methods()
    chosen: Any = multiprocessing.get_context("forkserver" if usual else "spawn")
    if usual:
        chosen.set_forkserver_preload(PRELOADED)
    return chosen


def warm_up() -> None:
    """Begin to import what the runs need, if that can be done ahead."""
    if context().get_start_method() == "forkserver":
        from multiprocessing import forkserver

        forkserver.ensure_running()


def work(words: list[str], folder: str) -> None:
    """`noisewalk` with these words, inside the folder; what it prints goes to the log."""
    os.chdir(folder)
    with open(LOG, "w", encoding="utf-8", buffering=1) as log:
        sys.stdout = sys.stderr = log
        sys.argv = ["noisewalk", *words]
        from ..cli.main import main

        main()


@dataclass(eq=False)
class Job:
    """A run, from its words to its end; it is asked to stop at most once."""

    folder: Path
    """Where the words are typed: it holds the input, the mask and the run."""
    words: list[str]
    preview: Preview
    quick: bool = False
    """Whether a longer run is to be had."""
    process: Any = None
    stopped: bool = False
    lock: Any = field(default_factory=threading.Lock)

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.folder / "run"

    @property
    def alive(self) -> bool:
        """Whether it samples."""
        return self.process is not None and self.process.is_alive()

    def begin(self) -> None:
        """Start the process, unless the job is stopped already."""
        with self.lock:
            if self.stopped or self.process is not None:
                return
            arguments = (self.words, str(self.folder))
            self.process = context().Process(target=work, args=arguments, daemon=True)
            self.process.start()

    def stop(self) -> None:
        """Ask the process to end after its step; what is done is kept. A job that waits never
        begins."""
        with self.lock:
            self.stopped = True
            if self.alive:
                self.process.terminate()

    def wait(self, seconds: float) -> None:
        """Until it ends, at most so long."""
        if self.process is not None:
            self.process.join(seconds)

    def fault(self) -> str | None:
        """The sentence that says what went wrong; None for a run that is done or was stopped."""
        code = None if self.process is None else self.process.exitcode
        if code in (None, 0) or (self.stopped and code in STOPPED):
            return None
        log = self.folder / LOG
        lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
        told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return told[-1] if told else f"The run ended without a result (exit status {code})."
