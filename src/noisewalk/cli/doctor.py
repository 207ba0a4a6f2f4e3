"""`noisewalk doctor`: check what a run stores, and cut a damaged one back to its last good draw."""

from pathlib import Path
from typing import Annotated

import typer

from .._text import printable
from . import options as opt

app = typer.Typer(**opt.PLAIN)
DAMAGED = 3
"""The exit status of a run that is damaged, and still is."""


@app.command()
def doctor(
    run: Annotated[Path, typer.Argument(help="The folder of the run.")],
    repair: Annotated[
        bool, typer.Option("--repair", help="Cut the run back to its last good draw.")
    ] = False,
) -> None:
    """Check every byte that a run has committed. The exit status is 0 for a clean run, 3 for a
    damaged one and 2 for what is no run."""
    from ..storage.doctor import examine
    from ..storage.doctor import repair as cut
    from ..storage.remote import shown, working

    with working(run) as place:
        health = examine(place.folder)
        left = health.faults
        if repair and left:
            place.claim()
            health, left = cut(place.folder), examine(place.folder).faults
    name = shown(run)
    for fault in health.faults:
        print(printable(fault.replace(str(place.folder), name)))
    name = printable(name)
    if not health.faults:
        old = "" if health.checked else "; it is of a format without checksums, so sizes alone"
        print(f"{name} is clean: {health.num_draws:,} draws{old}")
    elif not left:
        print(f"{name} is repaired: {health.good_draws:,} of {health.num_draws:,} draws are kept")
    else:
        lost = repair or health.root is None
        way = "restore it from a copy" if lost else "--repair keeps these"
        print(f"{name} is damaged: {health.good_draws:,} of {health.num_draws:,} good; {way}")
        raise typer.Exit(DAMAGED)
