"""One unit of work after the other, in this process."""

from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._checks import whole
from .engine import Engine


@dataclass(frozen=True)
class Serial(Engine):
    """Run one unit of work after the other in this process.

    Arguments:
        num_threads: threads of torch in a unit of work.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> nw.engines.Serial()
        Serial(num_threads=1)
    """

    num_threads: int = 1
    remote = False

    def __post_init__(self) -> None:
        whole("num_threads", self.num_threads)

    def open(self, folder: str | Path) -> Executor:
        """An executor that works when it is asked."""
        return _Here()


class _Here(Executor):
    """Calls at once."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The result, or what was raised, as a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
