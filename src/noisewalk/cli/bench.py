"""`noisewalk bench`: the paper's tables and figures, on its priors or on this package's."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument

from .._checks import one_of, whole
from ..errors import ConfigError
from . import options as opt
from .engines import engine_named_by
from .options import Count, File, Text, says

if TYPE_CHECKING:
    from ..engines import Engine
    from ..evaluate.paper.bench import Bench
    from ..evaluate.paper.grid import Grid
    from .bench_inputs import Sizes

app = typer.Typer(**opt.PLAIN)

SHEETS = ("figure1", "figure3", "figure4", "figure5", "figuresA")
WHAT = ("table1", "table2", "table3", "tableA4", "figure2", *SHEETS)
OF_NETWORKS = (
    "engine images teacher tasks methods extractor label labels jobs samples_of "
    "num_images num_exact num_samples num_steps num_warmup warm_start"
)
EXTRACTOR = (
    "The network of FD and the diversity: efficientnet-lite0 (default), clip-vit-b32, resnet50, "
    "inception-v3 or none; with --paper, the default is the paper's."
)
LABELS = (
    "The class of each image: 'folders' takes the names of their folders, or a CSV: file,class."
)
UNREAD = {
    "figure2": "num_images num_exact tasks methods samples_of jobs extractor engine",
    **dict.fromkeys(SHEETS, "extractor"),
}
"""The options that a figure does not read."""


@dataclass(frozen=True)
class BenchOptions:
    """The options of `noisewalk bench`; None where one is left out."""

    what: Annotated[str, Argument(help=", ".join(WHAT))]
    prior: opt.Prior[Text] = None
    images: Annotated[File, says("A folder, .npz or IDX; bundled priors have their own.")] = None
    num_images: opt.NumImages[Count] = None
    num_exact: Annotated[Count, says("Images in the exact kernel's rows; default 1 in 4.")] = None
    out: opt.Out[File] = None
    samples_of: Annotated[File, says("Another table's folder; its samples are taken first.")] = None
    paper: Annotated[bool, says("The paper's models, images, settings (GPU).", "--paper")] = False
    teacher: opt.Teacher[Text] = None
    tasks: Annotated[Text, says("Some of sr,blur,inpaint,nonlinear,phase,hdr.")] = None
    methods: Annotated[Text, says("Some of the rows, such as dps-dm,ours1-em.")] = None
    num_samples: Annotated[Count, says("Samples of an image; default 10, for table3 25.")] = None
    num_steps: opt.NumSteps[Count] = None
    warm_start: opt.WarmStart = None
    num_warmup: opt.NumWarmup = None
    extractor: Annotated[Text, says(EXTRACTOR)] = None
    neural_blur: Annotated[File, says("GOPRO_wVAE.pth, for nonlinear blur at 256x256.")] = None
    label: opt.Label = None
    labels: Annotated[Text, says(LABELS)] = None
    microbatch: opt.Microbatch = None
    jobs: Annotated[Count, says("Processes; default 1, or more for long work on a CPU.")] = None
    engine: opt.Engine = None
    workers: opt.Workers = None
    address: opt.Address = None
    partition: opt.Partition = None
    seed: opt.Seed[int] = 0
    device: opt.Device = "cpu"
    dtype: opt.Dtype = "float32"


@app.command()
@opt.reads(BenchOptions)
def bench(options: BenchOptions) -> None:
    """Make a table or figure of the paper with a consistency model; a second call goes on."""
    from ..storage.remote import only_local

    what = options.what
    check(options)
    only_local("--out of bench", options.out)
    if not _of_a_prior(options):
        _figure1(options.out or Path("bench") / what, options.seed)
        return
    from .bench_inputs import bench_of

    made, sheets, sizes = bench_of(options)
    print(
        f"{what}: {made.prior.name} {made.prior.shape}, {sizes.images} images x "
        f"{made.num_samples} samples, seed {made.seed}, into {made.out}",
        flush=True,
    )
    with opt.interruptible(f"the cells so far are stored in {made.out}; the same command goes on"):
        if what == "figure2":
            _figure2(made)
        else:
            if what == "figure1":
                _figure1(made.out, made.seed)
            _sheets(what, made, sheets, sizes, options)


def check(options: BenchOptions) -> None:
    """Raise a ConfigError where the options contradict each other."""
    what, cells = one_of("table or figure", options.what, WHAT), options.samples_of
    opt.refuse(what, options, *UNREAD.get(what, "").split())
    if what == "figure1" and not _of_a_prior(options):
        opt.refuse("figure1 without --prior", options, *OF_NETWORKS.split())
    if options.jobs is not None:
        whole("--jobs", options.jobs)
    if options.labels is not None:
        opt.refuse("--labels", options, "label")
    if engine_named_by(options) is not None:
        opt.refuse(f"--engine {options.engine}", options, "jobs")
    if cells is not None and not (cells / "cells").is_dir():
        way_out = "give the --out of another table or figure"
        raise ConfigError(f"--samples-of {cells} holds no cells: {way_out}")
    if what != "figure1" and not _of_a_prior(options):
        raise ConfigError("give --prior, such as fashion32, or --paper for the paper's own")


def _of_a_prior(options: BenchOptions) -> bool:
    """Whether there are networks; figure 1 has a part that needs none."""
    return options.prior is not None or options.paper


def _figure1(out: Path, seed: int) -> None:
    from ..evaluate.paper.figure1 import figure1

    what = "a mixture of three Gaussians in two dimensions"
    print(f"figure1: {what}, NFE about 450, a few seconds", flush=True)
    print(figure1(out / "figure1.png", seed=seed))
    print(f"open {out / 'figure1.png'}")


def _figure2(made: "Bench") -> None:
    from .._progress import show
    from ..evaluate.paper.figure2 import COUNTS, estimate2, figure2

    counts = tuple(n for n in COUNTS if n <= made.num_samples)
    print(f"  {estimate2(made, counts)}", flush=True)
    for _ in show(figure2(made, counts), True):
        pass
    print(f"open {made.out / 'figure2.png'}")


def _sheets(
    what: str, made: "Bench", sheets: dict[str, Any], sizes: "Sizes", options: BenchOptions
) -> None:
    """Compute the cells of a table, or of the sheets of a figure, and write it."""
    from ..evaluate.paper.grid import Grid
    from ..evaluate.paper.image_sheets import draw_sheet, sheets_of
    from ..evaluate.paper.table_text import write
    from ..evaluate.paper.tables import TABLES, collect

    table = what in TABLES
    shown: dict[str, Any] = sheets if table else sheets_of(made, sheets)
    counts = sizes.images, sizes.exact
    grids = {name: Grid(sheet.tasks, sheet.methods, *counts) for name, sheet in shown.items()}
    for grid in grids.values():
        _compute(made, grid, options.jobs, engine_named_by(options))
    for name, sheet in shown.items():
        path = made.out / ("table.md" if table else f"{name}.png")
        if table:
            print(write(collect(made, grids[name], sheet), sheet, made.out))
        else:
            draw_sheet(made, sheet, *counts, path)
        print(f"open {path}")


def _compute(made: "Bench", grid: "Grid", jobs: int | None, engine: "Engine | None" = None) -> None:
    from .._progress import show
    from ..evaluate.paper.estimate import estimate
    from ..evaluate.paper.grid import pending
    from ..evaluate.paper.processes import fill_by, fill_shared, threads_of_each, usual_jobs

    blocks = pending(made, grid)
    if engine is not None:
        print(f"  {', '.join(grid.tasks)}: {estimate(made, grid, blocks)}, by {engine}", flush=True)
        for _ in show(fill_by(engine, made, blocks), True):
            pass
        return
    used = min(jobs or usual_jobs(made, blocks), max(1, len(blocks)))
    with threads_of_each(used):
        print(f"  {', '.join(grid.tasks)}: {estimate(made, grid, blocks, used)}", flush=True)
    for _ in show(fill_shared(made, blocks, used), True):
        pass
