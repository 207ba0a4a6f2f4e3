"""The progress bar of a long run: phase, ETA, network calls, acceptance."""

from collections.abc import Iterator

from .loop import Tick


def show(ticks: Iterator[Tick], enabled: bool) -> Iterator[Tick]:
    """Pass ticks through, showing them on a terminal.

    Arguments:
        ticks: the loop's progress.
        enabled: False shows nothing; off a terminal nothing is shown either.

    Yields:
        The ticks, unchanged.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not enabled or not console.is_terminal:
        yield from ticks
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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
                rate = tick.acceptance_rate if rate is None else 0.95 * rate + 0.05 * tick.acceptance_rate
            accepting = "" if rate is None else f"acceptance {rate:.2f}"
            bar.update(task, description=tick.phase, completed=tick.done, total=tick.total, cost=f"NFE {tick.nfe:,} {accepting}")
            yield tick
