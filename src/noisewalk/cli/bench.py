"""`noisewalk bench`: the paper's tables and figures, on its priors or on this package's."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from .._checks import one_of, whole
from ..errors import ConfigError
from . import options as opt

if TYPE_CHECKING:
    from ..evaluate.paper.grid import Bench, Grid
    from .bench_inputs import Sizes

    from ..evaluate.paper.bench import Bench
    from ..priors.prior import Prior

FIGURES = ("figure3", "figure4", "figure5", "figuresA")
WHAT = ("table1", "table2", "table3", "tableA4", "figure1", "figure2", *FIGURES)
OF_NETWORKS = (
    "prior paper images teacher tasks methods extractor label jobs samples_of num_images num_exact "
    "num_samples num_steps num_warmup warm_start"
)
UNREAD = {
    "figure1": OF_NETWORKS,
    "figure2": "num_images num_exact tasks methods samples_of jobs extractor",
    **dict.fromkeys(FIGURES, "extractor"),
}
"""The options that a figure does not read."""


@dataclass(frozen=True)
class BenchOptions:
    """The options of `noisewalk bench`; None where one is left out."""

    what: Annotated[str, Argument(help=", ".join(WHAT))]
    prior: Annotated[
        str | None, Option(help="A consistency model, such as fashion32; see noisewalk priors.")
    ] = None
    images: Annotated[
        Path | None, Option(help="A folder, .npz or IDX file; bundled priors have their own.")
    ] = None
    num_images: Annotated[
        int | None, Option(help="The images; default 8, for figures 3, with --paper 100.")
    ] = None
    num_exact: Annotated[
        int | None, Option(help="The images in the exact kernel's rows; default a quarter.")
    ] = None
    out: Annotated[
        Path | None,
        Option(help="The folder, where what is there is kept; default bench/WHAT-PRIOR."),
    ] = None
    samples_of: Annotated[
        Path | None, Option(help="The folder of another table whose samples are taken first.")
    ] = None
    paper: Annotated[
        bool, Option("--paper", help="The paper's checkpoints, images and settings; for a GPU.")
    ] = False
    teacher: Annotated[
        str | None, Option(help="The diffusion model of the DM rows; default the card's.")
    ] = None
    tasks: Annotated[str | None, Option(help="Some of sr,blur,inpaint,nonlinear,phase,hdr.")] = None
    methods: Annotated[str | None, Option(help="Some of the rows, such as dps-dm,ours1-em.")] = None
    num_samples: Annotated[
        int | None, Option(help="The samples of an image; default 10, for table3 25.")
    ] = None
    num_steps: Annotated[int | None, Option(help="The network calls of a guided sample.")] = None
    warm_start: Annotated[int | None, Option(help="The Adam steps of our methods.")] = None
    num_warmup: Annotated[int | None, Option(help="The warm-up of the exact kernel.")] = None
    extractor: Annotated[
        str | None,
        Option(
            help="The network whose features FD and the diversity use: efficientnet-lite0, "
            "clip-vit-b32, resnet50, inception-v3 or none. The default is the first, or with "
            "--paper the paper's."
        ),
    ] = None
    neural_blur: Annotated[
        Path | None, Option(help="GOPRO_wVAE.pth, for nonlinear deblurring at 256 x 256.")
    ] = None
    label: opt.Label = None
    microbatch: opt.Microbatch = None
    jobs: Annotated[
        int | None, Option(help="The processes; default 1, or several for long work on a CPU.")
    ] = None
    seed: opt.Seed = 0
    device: opt.Device = "cpu"
    dtype: opt.Dtype = "float32"


@app.command()
@opt.reads(BenchOptions)
def bench(options: BenchOptions) -> None:
    """Make one of the paper's tables or figures. A second call goes on where the first stopped."""
    what = options.what
    check(options)
    if what == "figure1":
        _figure1(options.out or Path("bench") / what, options.seed)
        return
    if what == "figure2":
        refuse(
            what,
            num_images=num_images,
            num_exact=num_exact,
            tasks=tasks,
            methods=methods,
            samples_of=samples_of,
            jobs=jobs,
        )
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs must be at least 1, got {jobs}")
    if not what.startswith("table"):
        refuse(what, extractor=extractor)
    if samples_of is not None and not (samples_of / "cells").is_dir():
        raise ConfigError(
            f"--samples-of {samples_of} holds no cells: give the --out of another table or figure"
        )
    if prior is None:
        raise ConfigError("give --prior, such as fashion32, or --paper for the paper's own")
    from ..evaluate.paper.bench import Bench
    from ..evaluate.paper.tasks import tasks_for
    from ..priors.load import load_prior

    rows = _names(methods, "methods")
    count, samples, exact = _sizes(what, num_images, num_samples, num_exact, paper, rows)
    sheets = _sheets(what, _names(tasks, "tasks"), rows if exact else _without_exact(what))
    network = load_prior(prior, label, device, dtype_of(dtype))
    guided = what == "figure2" or any(
        name.endswith("-dm") for sheet in sheets.values() for name in sheet.methods
    )
    shared = _teacher(network, teacher, label, device, dtype, paper) if guided else None
    pool = _images(network, images, device, dtype)
    if len(pool) < count:
        raise ConfigError(
            f"--num-images is {count}, but there are {len(pool)} images: give more, or ask for "
            "fewer"
        )
    table = what.startswith("table")
    keys = ("fd", "diversity_score", "similarity") if what == "table3" else ("fd",)
    seen = (
        _paper_extractors(keys, str(pool.device))
        if paper and table and extractor is None
        else {"fd": extractor or EXTRACTOR}
    )
    made = Bench(
        network,
        shared,
        pool,
        tasks_for(network.shape, seed, _weights(neural_blur)),
        out or Path("bench") / f"{what}-{Path(prior).name}",
        samples,
        seed,
        label,
        num_steps,
        warm_start,
        num_warmup,
        None if not table or extractor == "none" else seen["fd"],
        _lpips_net(network),
        diversity=what == "table3",
        microbatch=microbatch or (4 if min(network.shape[-2:]) >= 256 else 128),
        samples_of=samples_of,
        extractors={key: name for key, name in seen.items() if name != seen["fd"]},
    )
    _make(what, made, sheets, count, exact, jobs)


def _sizes(
    what: str,
    num_images: int | None,
    num_samples: int | None,
    num_exact: int | None,
    paper: bool,
    methods: tuple[str, ...] | None,
) -> tuple[int, int, int]:
    """Images, samples and images of the exact kernel's rows: 0 in a table where nobody asked for
    them and they would be of one image, so without an error."""
    from ..errors import ConfigError
    from ..evaluate.paper.figure2 import COUNTS
    from ..evaluate.paper.presets import NUM_IMAGES as PAPER_IMAGES
    from ..evaluate.paper.tables import TABLES

    table = what in TABLES
    count = (
        num_images
        if num_images is not None
        else 1
        if what == "figure2"
        else NUM_PICTURED
        if not table
        else PAPER_IMAGES
        if paper
        else NUM_IMAGES
    )
    usual = (
        TABLES[what].num_samples
        if table
        else {"figure2": COUNTS[-1], "figure3": 1, "figure4": 1}.get(what, NUM_SHOWN)
    )
    samples = usual if num_samples is None else num_samples
    exact = max(1, count // (8 if what == "table3" else 4)) if num_exact is None else num_exact
    if count < 1 or samples < 1 or exact < 1:
        raise ConfigError(
            f"--num-images, --num-samples and --num-exact must be at least 1, got {count}, "
            f"{samples} and {exact}"
        )
    if table and exact == 1 and num_exact is None and methods is None:
        exact = 0
    return count, samples, exact


def _without_exact(what: str) -> tuple[str, ...]:
    """A table's rows without the exact kernel's, and a word on these."""
    from ..evaluate.paper.methods import METHODS
    from ..evaluate.paper.tables import TABLES

    rows = TABLES[what].methods
    kept = tuple(name for name in rows if METHODS[name].family != "exact")
    if kept != tuple(rows):
        print(
            "the exact kernel's rows are left out, which would be of one image: --num-exact "
            "adds them",
            flush=True,
        )
    return kept


def _sheets(
    what: str, tasks: tuple[str, ...] | None, methods: tuple[str, ...] | None
) -> dict[str, Any]:
    """What is made, by name, each with the tasks and methods that were chosen of its own."""
    from dataclasses import replace

    from ..errors import ConfigError
    from ..evaluate.paper.sheets import FIGURES
    from ..evaluate.paper.tables import TABLES

    if what == "figure2":
        return {}
    own: dict[str, Any] = {what: TABLES[what]} if what in TABLES else FIGURES[what]
    known = {
        key: list(dict.fromkeys(n for sheet in own.values() for n in getattr(sheet, key)))
        for key in ("tasks", "methods")
    }
    for key, chosen in (("tasks", tasks), ("methods", methods)):
        if strange := [name for name in chosen or () if name not in known[key]]:
            raise ConfigError(
                f"{what} has no --{key} {', '.join(strange)}: choose from {', '.join(known[key])}"
            )
    kept = {}
    for name, sheet in own.items():
        few, rows = (
            tuple(n for n in all_ if chosen is None or n in chosen)
            for all_, chosen in ((sheet.tasks, tasks), (sheet.methods, methods))
        )
        if few and rows:
            kept[name] = replace(sheet, tasks=few, methods=rows)
    if not kept:
        raise ConfigError(
            f"nothing is left of {what}: no picture of it shows these methods on these tasks"
        )
    return kept


def _make(
    what: str,
    made: Bench,
    sheets: dict[str, Any],
    num_images: int,
    num_exact: int,
    jobs: int | None,
) -> None:
    from .._progress import show
    from ..evaluate.paper.figure2 import COUNTS, estimate2, figure2
    from ..evaluate.paper.grid import Grid
    from ..evaluate.paper.sheets import draw_sheet, sheets_of
    from ..evaluate.paper.table_text import write
    from ..evaluate.paper.tables import TABLES, collect

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
            _sheets(what, made, sheets, sizes, options.jobs)


def _compute(made: Bench, grids: list[Any], jobs: int | None) -> None:
    from .._progress import show
    from ..evaluate.paper.estimate import estimate
    from ..evaluate.paper.grid import pending
    from ..evaluate.paper.processes import fill_shared, threads_of_each, usual_jobs

    for grid in grids:
        blocks = pending(made, grid)
        used = min(jobs or usual_jobs(made, blocks), max(1, len(blocks)))
        with threads_of_each(used):
            print(f"  {', '.join(grid.tasks)}: {estimate(made, grid, blocks, used)}", flush=True)
        for _ in show(fill_shared(made, blocks, used), True):
            pass


def _names(text: str | None, what: str) -> tuple[str, ...] | None:
    from ..errors import ConfigError
    from ..evaluate.paper.methods import METHODS
    from ..evaluate.paper.tasks import SIGMA_Y

    if text is None:
        return None
    names, known = (
        tuple(name.strip() for name in text.split(",")),
        METHODS if what == "methods" else SIGMA_Y,
    )
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(
            f"--samples-of {cells} holds no cells: give the --out of another table or figure"
        )
    if what != "figure1" and options.prior is None and not options.paper:
        raise ConfigError("give --prior, such as fashion32, or --paper for the paper's own")


def _figure1(out: Path, seed: int) -> None:
    from ..evaluate.paper.figure1 import figure1

    what = "a mixture of three Gaussians in two dimensions"
    print(f"figure1: {what}, NFE about 450, a few seconds", flush=True)
    print(figure1(out / "figure1.png", seed=seed))
    print(f"open {out / 'figure1.png'}")


def _figure2(made: "Bench") -> None:
    from .._progress import show
    from ..evaluate.paper.costs import COUNTS, estimate2, figure2

    counts = tuple(n for n in COUNTS if n <= made.num_samples)
    print(f"  {estimate2(made, counts)}", flush=True)
    for _ in show(figure2(made, counts), True):
        pass
    print(f"open {made.out / 'figure2.png'}")


def _sheets(
    what: str, made: "Bench", sheets: dict[str, Any], sizes: "Sizes", jobs: int | None
) -> None:
    """Compute the cells of a table, or of the sheets of a figure, and write it."""
    from ..evaluate.paper.figures import draw_sheet, sheets_of
    from ..evaluate.paper.grid import Grid
    from ..evaluate.paper.render import write
    from ..evaluate.paper.tables import TABLES, collect

    table = what in TABLES
    shown: dict[str, Any] = sheets if table else sheets_of(made, sheets)
    grids = {
        name: Grid(sheet.tasks, sheet.methods, sizes.images, sizes.exact)
        for name, sheet in shown.items()
    }
    for grid in grids.values():
        _compute(made, grid, jobs)
    for name, sheet in shown.items():
        path = made.out / ("table.md" if table else f"{name}.png")
        if table:
            print(write(collect(made, grids[name], sheet), sheet, made.out))
        else:
            draw_sheet(made, sheet, sizes.images, sizes.exact, path)
        print(f"open {path}")


def _compute(made: "Bench", grid: "Grid", jobs: int | None) -> None:
    from .._progress import show
    from ..evaluate.paper.grid import pending
    from ..evaluate.paper.pool import fill_shared, threads_of_each, usual_jobs
    from ..evaluate.paper.tables import estimate

    blocks = pending(made, grid)
    used = min(jobs or usual_jobs(made, blocks), max(1, len(blocks)))
    with threads_of_each(used):
        print(f"  {', '.join(grid.tasks)}: {estimate(made, grid, blocks, used)}", flush=True)
    for _ in show(fill_shared(made, blocks, used), True):
        pass
