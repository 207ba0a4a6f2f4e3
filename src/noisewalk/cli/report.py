"""`noisewalk report`: rebuild the report of a run."""

import json
from pathlib import Path
from typing import Annotated

import typer

from . import options as opt

app = typer.Typer(**opt.PLAIN)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="The folder of the run.")],
    title: Annotated[str | None, typer.Option(help="The title; default the run's own.")] = None,
    range: opt.Range = None,
) -> None:
    """Rebuild report.html, summary.json, the pictures, mean.npy and std.npy of a run."""
    from ..report.build import build_report
    from ..storage.remote import shown
    from .run_problem import verdict_line

    page = build_report(run, title, range)
    print(verdict_line(json.loads((page.parent / "summary.json").read_text())).strip())
    print(f"{shown(run)}/{page.name}")
