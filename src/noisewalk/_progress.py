"""The progress of a long run: on a terminal a bar with phase, ETA, network calls, acceptance; in a
log a line a minute."""

import sys
import time
from collections.abc import Iterator

from .types import Tick

LINE_SECONDS = 60.0
"""Time between two lines of a log."""


def show(ticks: Iterator[Tick], enabled: bool) -> Iterator[Tick]:
    """Pass ticks through, showing them on standard error.

    Arguments:
        ticks: the loop's progress.
        enabled: False shows nothing.

    Yields:
        The ticks, unchanged.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not enabled or not console.is_terminal:
        yield from _logged(ticks) if enabled else ticks
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[dim]elapsed"),
        TimeElapsedColumn(),
        TextColumn("[dim]left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[cost]}"),
    )
    rate: float | None = None
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("start", total=None, cost="")
        for tick in ticks:
            if tick.acceptance_rate == tick.acceptance_rate:  # not NaN
                rate = (
                    tick.acceptance_rate
                    if rate is None
                    else 0.95 * rate + 0.05 * tick.acceptance_rate
                )
            accepting = "" if rate is None else f"acceptance {rate:.2f}"
            bar.update(
                task,
                description=tick.phase,
                completed=tick.done,
                total=tick.total,
                cost=f"NFE {tick.nfe:,} {accepting}",
            )
            yield tick


def _logged(ticks: Iterator[Tick]) -> Iterator[Tick]:
    last = time.monotonic()
    for tick in ticks:
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            accepting = (
                ""
                if tick.acceptance_rate != tick.acceptance_rate
                else f"  acceptance {tick.acceptance_rate:.2f}"
            )
            print(
                f"{tick.phase}: {tick.done:,} of {tick.total:,}  NFE {tick.nfe:,}{accepting}",
                file=sys.stderr,
                flush=True,
            )
        yield tick
