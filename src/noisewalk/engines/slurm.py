"""Units of work as jobs of Slurm, through submitit."""

import threading
import time
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._checks import whole
from ..errors import ConfigError, MissingExtraError
from .engine import Engine

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Slurm(Engine):
    """Run units of work as jobs of Slurm, which share a file system with this process.

    The first call waits until the jobs have ended. If it is lost, the same call goes on.

    Arguments:
        partition: of the jobs; None: Slurm's default.
        num_gpus: of a job.
        minutes: a job may take; a unit that takes longer goes on in another job.
        memory: of a job in GB; None: Slurm's default.
        num_threads: threads of torch in a unit of work, and CPUs of a job.
        cluster: "slurm", or submitit's "local" (processes) or "debug" (this process) to try it.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> nw.engines.Slurm("gpu", num_gpus=1)
        Slurm(partition='gpu', num_gpus=1, minutes=240, memory=None, num_threads=1, cluster='slurm')
    """

    partition: str | None = None
    num_gpus: int = 0
    minutes: int = 240
    memory: int | None = None
    num_threads: int = 1
    cluster: str = "slurm"
    by_value = True

    def __post_init__(self) -> None:
        whole("num_gpus", self.num_gpus, 0)
        for name in ("minutes", "num_threads"):
            whole(name, getattr(self, name))
        if self.cluster not in ("slurm", "local", "debug"):
            raise ConfigError(f"cluster must be slurm, local or debug, got {self.cluster!r}")

    def open(self, folder: str | Path) -> Executor:
        """An executor of jobs, whose logs are in `.slurm` below the folder."""
        try:
            import submitit
        except ImportError:
            raise MissingExtraError("submitit", "slurm") from None

        try:
            jobs = submitit.AutoExecutor(Path(folder) / ".slurm", cluster=self.cluster)
        except RuntimeError as error:
            line = " ".join(str(error).split())
            raise ConfigError(f"there is no Slurm on this machine ({line})") from error
        given = {"timeout_min": self.minutes, "cpus_per_task": self.num_threads}
        given |= {"gpus_per_node": self.num_gpus} if self.num_gpus else {}
        given |= {"mem_gb": self.memory} if self.memory else {}
        named = {} if self.partition is None else {"slurm_partition": self.partition}
        jobs.update_parameters(name="noisewalk", **given, **named)
        return _Jobs(jobs, self.cluster == "debug")


class _Jobs(Executor):
    """Asks the jobs for their results from one thread."""

    def __init__(self, jobs: Any, run_when_asked: bool) -> None:
        self._jobs, self._waiting = jobs, dict[Future[Any], Any]()
        self._run_when_asked = run_when_asked  # a debug job is never done before
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of the call in a job."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        job = self._jobs.submit(fn, *args, **kwargs)
        with self._lock:
            self._waiting[future] = job
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for the jobs or cancel them."""
        with self._lock:
            jobs = list(self._waiting.values()) if cancel_futures else []
        for job in jobs:
            job.cancel()
        self._ended.set()
        if wait and not cancel_futures:
            self._thread.join()

    def _watch(self) -> None:
        while not (self._ended.is_set() and not self._waiting):
            with self._lock:
                asked = list(self._waiting.items())
            for future, job in asked:
                if not self._run_when_asked and not job.done():
                    continue
                try:
                    future.set_result(job.result())
                except Exception as error:
                    future.set_exception(error)
                with self._lock:
                    del self._waiting[future]
            time.sleep(POLL_SECONDS)
