"""What an engine is: a way to open a `concurrent.futures.Executor`."""

from abc import ABC, abstractmethod
from concurrent.futures import Executor
from pathlib import Path


class Engine(ABC):
    """Where units of work run; subclasses are frozen dataclasses.

    A unit runs with `num_threads` threads of torch under every engine, because the draws of a run
    depend on that number. For one number, the draws of all engines are bitwise equal on one
    machine's CPU.

    Example:
        >>> engine = nw.engines.Serial()
        >>> with engine.open("runs") as executor:
        ...     executor.submit(max, 1, 2).result()
        2
    """

    num_threads: int = 1
    remote: bool = True
    """Whether work leaves this process, and has to be pickled."""
    by_value: bool = False
    """Whether functions of `__main__` are sent as code, by cloudpickle."""

    @abstractmethod
    def open(self, folder: str | Path) -> Executor:
        """An executor, which is a context manager; logs and notes of the engine go below the
        folder."""
