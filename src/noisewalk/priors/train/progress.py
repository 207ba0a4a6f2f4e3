"""The progress of a training: a bar on a terminal, a line a minute in a log."""

import time
from collections.abc import Iterator

from .loop import TrainProgress

LINE_SECONDS = 60.0


def show(
    steps: Iterator[TrainProgress], total: int, enabled: bool = True
) -> Iterator[TrainProgress]:
    """Pass steps through, showing mean loss, images a second and the time left."""
    if not enabled:
        yield from steps
        return
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        *(progress.TextColumn("training"), progress.BarColumn(), progress.MofNCompleteColumn()),
        *(progress.TextColumn("[dim]left"), progress.TimeRemainingColumn()),
        progress.TextColumn("{task.fields[now]}"),
    )
    start = last = time.monotonic()
    mean, before = None, 0
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("train", total=total, now="")
        for step in steps:
            if mean is None:  # neither what was done before nor the first, slow step counts
                mean, before, start = step.loss, step.images, time.monotonic()
            mean = 0.98 * mean + 0.02 * step.loss
            done, elapsed = step.images >= total, time.monotonic() - start
            rate = (step.images - before) / elapsed if step.images > before else None
            now = f"loss {mean:.4g}" + ("" if rate is None else f"  {rate:.3g} images/s")
            bar.update(task, completed=min(step.images, total), now=now)
            if not console.is_terminal and (done or time.monotonic() - last >= LINE_SECONDS):
                last = time.monotonic()
                left = "" if rate is None or done else _left((total - step.images) / rate)
                line = f"{step.images:,} of {total:,} images  {now}{left}"
                console.print(line, highlight=False, soft_wrap=True)
            yield step


def _left(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    short = f"{minutes} min" if minutes < 90 else f"{hours} h"
    return f"  left {seconds:.0f} s" if seconds < 90 else f"  left {short}"
