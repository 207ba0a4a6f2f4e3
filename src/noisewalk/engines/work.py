"""How units of work are done by an engine: what they share is sent once, a unit that is lost is
tried again, and every unit ends in an outcome.

A unit is a function of (shared, item). It has to be idempotent: if a worker is lost after half of
it, another one goes on with what is stored. What the units share is pickled into one file in the
folder of the work, which workers read once; its SHA-256 travels with each unit.
"""

import hashlib
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BusyError, ConfigError, NoisewalkError
from .engine import Engine

TRIES = 4
"""Times that a unit is tried: once, and three times more."""
PAUSE = 3.0  # seconds before the second try; three times longer before each further one


@dataclass(frozen=True)
class Outcome:
    """What came of a unit."""

    item: Any
    value: Any = None
    error: str | None = None


@dataclass(frozen=True)
class _Shared:
    """What all units share: the object itself, or the file that holds it."""

    value: Any = None
    path: str | None = None
    sha256: str = ""


_read: dict[str, Any] = {}


def perform(
    engine: Engine,
    function: Callable[[Any, Any], Any],
    shared: Any,
    items: Sequence[Any],
    folder: str | Path,
) -> Iterator[Outcome]:
    """Do the units of work, `function(shared, item)` each, and give their outcomes as they end.

    An error that another try would repeat, such as a ConfigError, is an outcome at once; any other
    one, and a worker that is lost, is tried again elsewhere after a pause.
    """
    folder = Path(folder)
    with _handed(engine, shared, folder) as handle:
        executor, whole = engine.open(folder), False
        try:
            yield from _tried(executor, (function, handle, engine.num_threads), items)
            whole = True
        finally:
            executor.shutdown(wait=whole, cancel_futures=not whole)


def _tried(executor: Executor, call: Any, items: Sequence[Any]) -> Iterator[Outcome]:
    function, handle, threads = call
    running: dict[Future[Any], tuple[Any, int]] = {}
    later = [(0.0, item, 1) for item in items]  # when, what, which try
    while running or later:
        now = time.monotonic()
        due = [entry for entry in later if entry[0] <= now]
        later = [entry for entry in later if entry[0] > now]
        for k, (_, item, attempt) in enumerate(due):
            future = _submitted(executor, _unit, function, handle, item, threads)
            running[future] = item, attempt
            if future.done():  # where work is done at once, what came of it is told before the rest
                later = due[k + 1 :] + later
                break
        pause = max(0.0, min((when for when, *_ in later), default=now + 3600) - now)
        done, _ = wait(running, pause, FIRST_COMPLETED)
        if not running:
            time.sleep(pause)
        for future in done:
            item, attempt = running.pop(future)
            error = future.exception()
            if error is None:
                value, told = future.result()
                yield Outcome(item, value, told)
            elif attempt < TRIES:
                later.append((time.monotonic() + PAUSE * 3 ** (attempt - 1), item, attempt + 1))
            else:
                line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                yield Outcome(item, None, f"{line} (tried {TRIES} times)")


def _submitted(executor: Executor, *call: Any) -> Future[Any]:
    """The future of a call; one that cannot be submitted has failed like any other."""
    try:
        return executor.submit(*call)
    except Exception as error:
        failed: Future[Any] = Future()
        failed.set_exception(error)
        return failed


def _unit(function: Any, handle: _Shared, item: Any, num_threads: int) -> tuple[Any, str | None]:
    """A worker's part: the value of a unit, or the error that another try would repeat."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        return function(_opened(handle), item), None
    except BusyError:  # a worker that is given up may still hold the run
        raise
    except NoisewalkError as error:
        return None, str(error)
    finally:
        torch.set_num_threads(before)


@contextmanager
def _handed(engine: Engine, shared: Any, folder: Path) -> Iterator[_Shared]:
    """The object for the engine's workers; ConfigError where it cannot be pickled."""
    if not engine.remote:
        yield _Shared(shared)
        return
    try:
        if engine.by_value:
            import cloudpickle

            data = cloudpickle.dumps(shared)
        else:
            data = pickle.dumps(shared)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        way = "give functions and classes of a module, not lambdas or local ones"
        raise ConfigError(f"the work cannot be sent to other processes ({error}): {way}") from error
    sha256 = hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".work-{sha256[:16]}.pkl"
    path.write_bytes(data)
    try:
        yield _Shared(path=str(path.absolute()), sha256=sha256)
    finally:
        path.unlink(missing_ok=True)


def _opened(handle: _Shared) -> Any:
    """What the units share, read once in a process and checked before it is unpickled."""
    if handle.path is None:
        return handle.value
    if handle.sha256 not in _read:
        data = Path(handle.path).read_bytes()
        if hashlib.sha256(data).hexdigest() != handle.sha256:
            raise OSError(f"{handle.path} is not what the driver wrote")
        _read.clear()
        _read[handle.sha256] = pickle.loads(data)
    return _read[handle.sha256]
