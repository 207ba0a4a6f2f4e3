"""The progress of a long run: a bar on a terminal, a line a minute in a log."""

import sys
import time
from collections.abc import Iterator

from .types import Tick

LINE_SECONDS = 60.0  # between two lines of a log


def show(ticks: Iterator[Tick], enabled: bool) -> Iterator[Tick]:
    """Pass ticks through, showing them on standard error if `enabled`."""
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
