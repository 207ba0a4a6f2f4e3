"""`noisewalk demo`: restore real held-out images with their uncertainty."""

from pathlib import Path
from typing import Annotated

import typer

from .. import options as opt
from ..options import says

COLUMNS = 72  # cells of a terminal that the picture takes

app = typer.Typer(**opt.PLAIN)


@app.command()
def demo(
    out: opt.Out[Path] = Path("demo"),
    prior: opt.Prior[str] = "satellite64",
    task: Annotated[
        list[str] | None, says("super-resolution, clouds, box, deblurring, inpainting; repeatable.")
    ] = None,
    seed: opt.Seed[int] = 0,
    device: opt.Device = "cpu",
    dtype: opt.Dtype = "float32",
) -> None:
    """Restore a held-out image of satellite64 or fashion32 with its uncertainty, in minutes."""
    from ...report.pictures import strip
    from ..run_problem import solve
    from ..terminal import show
    from .demo import combined_report, demo_plan, demo_problem, ending, tasks_of

    folders = []
    for name in tasks_of(prior, task):
        folders.append(out / f"{prior}-{name}")
        problem = demo_problem(name, prior, seed, device, opt.dtype_of(dtype))
        target = problem.target()
        kept = f"the draws so far are safe in {out}; the same command goes on"
        solve(problem, target, demo_plan(target, seed), folders[-1], kept, resume=True)
    entries = combined_report(folders, out / "report.html")
    print(ending(entries, out / "report.html"))
    show(strip(entries[0]), COLUMNS)
