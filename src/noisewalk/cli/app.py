"""`noisewalk app`: the web page."""

from typing import Annotated

import typer

from . import options as opt

app = typer.Typer(**opt.PLAIN)


@app.command("app")
def app_(
    port: Annotated[int | None, opt.says("The port; default 7860 or the next free one.")] = None,
    share: Annotated[
        bool, opt.says("Let anybody with the link use it, by gradio's servers.", "--share")
    ] = False,
    prior: opt.Prior[list[str] | None] = None,
    device: opt.Device = "cpu",
) -> None:
    """Open a page in the browser that restores images: upload, paint, sample, look, download."""
    from ..app.serve import serve

    serve(port, share, prior or [], device)
