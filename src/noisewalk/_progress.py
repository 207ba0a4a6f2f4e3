"""The progress of a long run: a bar on a terminal, a line a minute in a log."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .types import Tick

LINE_SECONDS = 60.0  # between two lines of a log


_stop = {"asked": 0, "heard": 0, "working": 0}
"""The signal that asks to stop, the last one that did, and the loops that would hear it."""


@contextmanager
def finishing_steps() -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM end the step in progress and then raise KeyboardInterrupt; a
    second signal, and one outside every loop of steps, raises it at once. `signal_of` says which
    it was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hear(number: int, _: object) -> None:
        before, _stop["asked"] = _stop["asked"], number
        if before or not _stop["working"]:
            raise KeyboardInterrupt

    _stop["asked"] = 0
    old = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        _stop["heard"], _stop["asked"] = _stop["asked"], 0
        for number, handler in old.items():
            signal.signal(number, handler)


def signal_of() -> int:
    """The signal that has ended the work, SIGINT where none was heard."""
    return _stop["heard"] or signal.SIGINT


def show(ticks: Iterator[Tick], enabled: bool) -> Iterator[Tick]:
    """Pass ticks through, showing them on standard error if `enabled`; between two of them, the
    work stops where it is asked to."""
    _stop["working"] += 1
    try:
        for tick in _shown(ticks, enabled):
            yield tick
            if _stop["asked"] and tick.done < tick.total:
                raise KeyboardInterrupt
    finally:
        _stop["working"] -= 1


def _shown(ticks: Iterator[Tick], enabled: bool) -> Iterator[Tick]:
    from rich.console import Console

    console = Console(stderr=True)
    if not enabled or not console.is_terminal:
        yield from _logged(ticks) if enabled else ticks
        return
    from rich import progress

    done = progress.BarColumn(), progress.MofNCompleteColumn()
    times = progress.TimeElapsedColumn(), "[dim]left", progress.TimeRemainingColumn()
    columns = "{task.description:>10}", *done, "[dim]elapsed", *times, "{task.fields[cost]}"
    rate: float | None = None
    with progress.Progress(*columns, console=console) as bar:
        task = bar.add_task("start", total=None, cost="")
        for tick in ticks:
            if tick.acceptance_rate == tick.acceptance_rate:  # not NaN
                before = tick.acceptance_rate if rate is None else rate
                rate = 0.95 * before + 0.05 * tick.acceptance_rate
            cost = f"NFE {tick.nfe:,} {'' if rate is None else f'acceptance {rate:.2f}'}"
            bar.update(
                task, description=tick.phase, completed=tick.done, total=tick.total, cost=cost
            )
            yield tick


def _logged(ticks: Iterator[Tick]) -> Iterator[Tick]:
    last = time.monotonic()
    for tick in ticks:
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            line = f"{tick.phase}: {tick.done:,} of {tick.total:,}  NFE {tick.nfe:,}"
            if tick.acceptance_rate == tick.acceptance_rate:  # not NaN
                line += f"  acceptance {tick.acceptance_rate:.2f}"
            print(line, file=sys.stderr, flush=True)
        yield tick
