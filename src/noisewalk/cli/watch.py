"""`noisewalk watch`: the live progress of runs, from their files alone."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from .._checks import real
from .._text import printable
from . import options as opt

if TYPE_CHECKING:
    from ..sampling.watch import Progress

app = typer.Typer(**opt.PLAIN)
COLUMNS = ("run", "phase", "done", "draws", "acceptance", "memory", "drift", "NFE", "left")


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="The folder of a run, or of several.")],
    every: Annotated[float, typer.Option(help="The seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once.")] = False,
) -> None:
    """Show how far runs are until all are done, while other processes sample them."""
    from ..sampling.watch import runs_in, watched

    looks = watched(folder, real("--every", every, above=0))
    console = Console()
    runs_in(folder)
    if once or not console.is_terminal:  # a log gets the last look alone
        *_, last = [next(looks)] if once else looks
        console.print(table_of(last))
        return
    with opt.interruptible("the runs go on"), Live(console=console) as live:
        for look in looks:
            live.update(table_of(look))


def table_of(look: "list[Progress]") -> Table:
    """One row a run."""
    table = Table(*COLUMNS, box=None)
    for one in look:
        shares = (one.acceptance_rate, one.memory, one.drift)
        table.add_row(
            printable(one.name),
            one.phase,
            _or("", one.share, lambda v: f"{100 * v:.0f} %"),
            f"{one.num_draws:,} of {one.planned:,}",
            *(_or("", share, lambda v: f"{v:.2f}") for share in shares),
            f"{one.nfe:,}",
            "" if one.ended else _or("", one.seconds_left, _duration),
        )
    return table


def _or(empty: str, value: float, text: Any) -> str:
    return empty if math.isnan(value) else text(value)


def _duration(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
