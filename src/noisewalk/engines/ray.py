"""Units of work as tasks of a Ray cluster."""

import logging
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._checks import real, whole
from ..errors import ConfigError, MissingExtraError
from .engine import Engine


@dataclass(frozen=True)
class Ray(Engine):
    """Run units of work as tasks of a Ray cluster, which share a file system with this process.

    A Ray that this process has initialised is used as it is.

    Arguments:
        address: of the cluster, HOST:PORT; "auto": the one of this machine; "local": a new one.
        num_gpus: of a task; a fraction lets several tasks share one.
        num_threads: threads of torch in a unit of work, and CPUs of a task.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> nw.engines.Ray(num_gpus=0.5)
        Ray(address='auto', num_gpus=0.5, num_threads=1)
    """

    address: str = "auto"
    num_gpus: float = 0
    num_threads: int = 1
    by_value = True

    def __post_init__(self) -> None:
        real("num_gpus", self.num_gpus, least=0)
        whole("num_threads", self.num_threads)

    def open(self, folder: str | Path) -> Executor:
        """An executor on the cluster; ConfigError where none answers."""
        try:
            import ray
        except ImportError:
            raise MissingExtraError("ray", "ray") from None

        started = not ray.is_initialized()
        if started:
            try:
                ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR)
            except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
                line = " ".join(str(error).split())[:160]
                way = "start one by `ray start --head`, or give address='local'"
                raise ConfigError(
                    f"no Ray cluster answers at {self.address!r} ({line}): {way}"
                ) from error
        return _Cluster(self, started)


class _Cluster(Executor):
    """Ray's own futures; a task that is lost is not tried again by Ray, but by who submits it."""

    def __init__(self, engine: Ray, started: bool) -> None:
        self._options = {"num_cpus": engine.num_threads, "num_gpus": engine.num_gpus}
        self._started, self._refs, self._remote = started, list[Any](), dict[Any, Any]()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of the call in some worker of the cluster."""
        import ray

        if fn not in self._remote:
            self._remote[fn] = ray.remote(fn).options(**self._options, max_retries=0)
        ref = self._remote[fn].remote(*args, **kwargs)
        self._refs.append(ref)
        future: Future[Any] = ref.future()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for the tasks or cancel them, and leave the cluster if this object joined it."""
        import ray

        if cancel_futures:
            for ref in self._refs:
                ray.cancel(ref, force=True)
        elif wait and self._refs:
            ray.wait(self._refs, num_returns=len(self._refs))
        if self._started:
            ray.shutdown()
