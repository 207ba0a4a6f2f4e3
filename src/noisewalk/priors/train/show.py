"""The progress of a training: a bar with loss, throughput and time left on a terminal, a line a
minute in a log."""

import time
from collections.abc import Iterator

from .loop import TrainProgress

LINE_SECONDS = 60.0
"""Time between two lines of a log."""


def show(steps: Iterator[TrainProgress], total: int) -> Iterator[TrainProgress]:
    """Pass a training's steps through, showing on standard error the mean loss of about the last
    fifty, images a second and the time left.

    Arguments:
        steps: from `train`.
        total: images to be seen in the whole training.

    Yields:
        The steps, unchanged.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[dim]left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[now]}"),
    )
    start = last = time.monotonic()
    mean, before = None, 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("train", total=total, now="")
        for progress in steps:
            if (
                mean is None
                # what a resumed training has behind it, and the first step, which is slow, do not count
            ):
                mean, before, start = progress.loss, progress.images, time.monotonic()
            mean = 0.98 * mean + 0.02 * progress.loss
            elapsed = time.monotonic() - start
            rate = (progress.images - before) / elapsed if progress.images > before else None
            now = f"loss {mean:.4g}" + ("" if rate is None else f"  {rate:.3g} images/s")
            bar.update(task, completed=min(progress.images, total), now=now)
            done = progress.images >= total
            if not console.is_terminal and (done or time.monotonic() - last >= LINE_SECONDS):
                last = time.monotonic()
                left = (
                    ""
                    if rate is None or done
                    else f"  left {_span((total - progress.images) / rate)}"
                )
                console.print(
                    f"{progress.images:,} of {total:,} images  {now}{left}",
                    highlight=False,
                    soft_wrap=True,
                )
            yield progress


def _span(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    return (
        f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{hours} h"
    )
