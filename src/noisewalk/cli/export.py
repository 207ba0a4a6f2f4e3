"""`noisewalk export`: write a result of a run for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from .._text import printable
from . import options as opt

app = typer.Typer(**opt.PLAIN)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="The folder of the run.")],
    to: Annotated[Path, typer.Option(help="A .fits .tif .nc .zarr .npy .npz or .png file.")],
    what: Annotated[
        str, typer.Option(help="mean, std, quantiles, draws or 'probability: x > 0.2'.")
    ] = "mean",
) -> None:
    """Write a result of a run in the unit, and with the place, of the file it was restored from."""
    from ..sampling.run import open_run

    open_run(run).export(to, what)
    print(printable(str(to)))
