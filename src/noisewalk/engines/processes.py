"""Units of work in processes of this machine. Each worker is a pool of one process, so that a
process that is killed takes one unit with it and not the others."""

import multiprocessing
import os
import queue
import signal
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._checks import whole
from .engine import Engine


@dataclass(frozen=True)
class Processes(Engine):
    """Run units of work in processes of this machine.

    Processes are started anew (`spawn`), so a script that uses them needs the line
    `if __name__ == "__main__":`, and what it samples has to be picklable: functions of modules, no
    lambdas.

    Arguments:
        num_workers: processes; None: one for each core.
        num_threads: threads of torch in a unit of work.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> nw.engines.Processes(2)
        Processes(num_workers=2, num_threads=1)
    """

    num_workers: int | None = None
    num_threads: int = 1

    def __post_init__(self) -> None:
        whole("num_workers", 1 if self.num_workers is None else self.num_workers)
        whole("num_threads", self.num_threads)

    def open(self, folder: str | Path) -> Executor:
        """An executor of that many workers."""
        return _Workers(self.num_workers or os.cpu_count() or 1)


class _Workers(Executor):
    """One thread a worker, which hands it one unit after the other; workers start when they are
    needed."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._pools: dict[int, ProcessPoolExecutor] = {}
        self._closed = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of the call in some worker."""
        future: Future[Any] = Future()
        self._work.put((future, fn, args, kwargs))
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._serve, args=(len(self._threads),), daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers: when their work is done, or at once if it is to be cancelled."""
        self._closed = self._closed or cancel_futures
        for _ in self._threads:
            self._work.put(None)
        if cancel_futures:
            for pool in list(self._pools.values()):
                _end(pool)
        for thread in self._threads if wait else ():
            thread.join()

    def _serve(self, number: int) -> None:
        pool = None
        while (taken := self._work.get()) is not None:
            future, fn, args, kwargs = taken
            if self._closed or not future.set_running_or_notify_cancel():
                future.cancel()
                continue
            try:
                pool = self._pools[number] = pool or _one_process()
                future.set_result(pool.submit(fn, *args, **kwargs).result())
            except BaseException as error:
                if isinstance(error, BrokenProcessPool) and pool is not None:
                    pool.shutdown(wait=False)
                    pool = None
                future.set_exception(error)
        if pool is not None:
            pool.shutdown()


def _one_process() -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, context, initializer=_begin)


def _end(pool: ProcessPoolExecutor) -> None:
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()


def _begin() -> None:
    """A worker leaves Ctrl-C to its parent, and ends when that does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
