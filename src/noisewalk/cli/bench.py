"""`noisewalk bench`: the paper's tables and figures, on its priors or on the ones of this package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import dtype_of, interruptible, refuse

if TYPE_CHECKING:
    from torch import Tensor

    from ..evaluate.paper.grid import Bench
    from ..priors.prior import Prior

WHAT = (
    "table1",
    "table2",
    "table3",
    "tableA4",
    "figure1",
    "figure2",
    "figure3",
    "figure4",
    "figure5",
    "figuresA",
)
EXTRACTOR = "efficientnet-lite0"
PAPER_EXTRACTORS = {
    "fd": "inception-v3",
    "diversity_score": "resnet50",
    "similarity": "clip-vit-b32",
}
"""What the paper's columns are computed with."""
PAPER_PRIOR = "openai/diffusers-cd_bedroom256_lpips"
NUM_IMAGES, NUM_PICTURED, NUM_SHOWN = 8, 3, 10
"""Images of a table, images and samples of a figure, where the options do not say."""


def register(app: typer.Typer) -> None:
    """Add the command.

    Arguments:
        app: the command line.
    """
    app.command()(bench)


def bench(
    what: Annotated[str, typer.Argument(help=", ".join(WHAT))],
    prior: Annotated[
        str | None,
        typer.Option(
            help=(
                "A consistency model: fashion32, satellite64, a Hub repository, a folder or a .pt "
                "file."
            )
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of images, .npz or IDX file; bundled priors have their own."),
    ] = None,
    num_images: Annotated[
        int | None, typer.Option(help="Images; 8 for tables, 3 for figures, 100 with --paper.")
    ] = None,
    num_exact: Annotated[
        int | None,
        typer.Option(
            help=(
                "Images of the exact kernel's rows; a quarter, for table3 an eighth; no such rows "
                "where that is one."
            )
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder; what is there is not computed again. bench/WHAT-PRIOR."),
    ] = None,
    samples_of: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Folder of another table, such as table3's: the first of its samples are taken, "
                "not drawn again."
            )
        ),
    ] = None,
    paper: Annotated[
        bool,
        typer.Option(
            "--paper", help="The paper's checkpoints, number of images and settings: for a GPU."
        ),
    ] = False,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Diffusion model of the DM rows; by default the one of the prior's card."
        ),
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(help="Some of sr,blur,inpaint,nonlinear,phase,hdr.")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Some rows, such as dps-dm,ours1-em,ours1-exact.")
    ] = None,
    num_samples: Annotated[
        int | None, typer.Option(help="Samples per image; 10, 25 for table3.")
    ] = None,
    num_steps: Annotated[
        int | None, typer.Option(help="Network calls of the guided methods' samples.")
    ] = None,
    warm_start: Annotated[int | None, typer.Option(help="Adam steps of ours.")] = None,
    num_warmup: Annotated[int | None, typer.Option(help="Warm-up of the exact kernel.")] = None,
    extractor: Annotated[
        str | None,
        typer.Option(
            help=(
                "Of FD and diversity, or none: efficientnet-lite0, with --paper the paper's, if "
                "left out; clip-vit-b32, resnet50, inception-v3."
            )
        ),
    ] = None,
    neural_blur: Annotated[
        Path | None, typer.Option(help="GOPRO_wVAE.pth, for nonlinear deblurring at 256 x 256.")
    ] = None,
    label: Annotated[
        float | None, typer.Option(help="Class or conditioning value of the prior.")
    ] = None,
    microbatch: Annotated[
        int | None, typer.Option(help="Rows per network call; 128, or 4 for large images.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help=(
                "Processes: on a CPU, small images and much to do, as many as torch has threads, 8 "
                "at most; else 1."
            )
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all noise.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="Of the network.")] = "float32",
) -> None:
    """Make one of the paper's tables or figures; a second call goes on where the first stopped."""
    from ..errors import ConfigError

    if what not in WHAT:
        raise ConfigError(f"unknown {what!r}: choose one of {', '.join(WHAT)}")
    prior = prior or (PAPER_PRIOR if paper else None)
    if what == "figure1":
        refuse(
            what,
            prior=prior,
            images=images,
            num_images=num_images,
            num_exact=num_exact,
            teacher=teacher,
            tasks=tasks,
            methods=methods,
        )
        refuse(
            what,
            num_samples=num_samples,
            num_steps=num_steps,
            warm_start=warm_start,
            num_warmup=num_warmup,
            label=label,
            samples_of=samples_of,
        )
        refuse(what, jobs=jobs)
        _figure1(out or Path("bench") / what, seed)
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
    from ..evaluate.paper.grid import Bench
    from ..evaluate.paper.presets import tasks_for
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
    from ..evaluate.paper.costs import COUNTS
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
    from ..evaluate.paper.presets import METHODS
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
    from ..evaluate.paper.figures import FIGURES
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
    from ..evaluate.paper.costs import COUNTS, estimate2, figure2
    from ..evaluate.paper.figures import draw_sheet, sheets_of
    from ..evaluate.paper.grid import Grid
    from ..evaluate.paper.render import write
    from ..evaluate.paper.tables import TABLES, collect

    print(
        f"{what}: {made.prior.name} {made.prior.shape}, {num_images} images x "
        f"{made.num_samples} samples, seed {made.seed}, into {made.out}",
        flush=True,
    )
    with interruptible(f"the cells so far are stored in {made.out}; the same command goes on"):
        if what == "figure2":
            counts = tuple(n for n in COUNTS if n <= made.num_samples)
            print(f"  {estimate2(made, counts)}", flush=True)
            for _ in show(figure2(made, counts), True):
                pass
            print(f"open {made.out / 'figure2.png'}")
            return
        if what not in TABLES:
            sheets = sheets_of(made, sheets)
        grids = {
            name: Grid(sheet.tasks, sheet.methods, num_images, num_exact)
            for name, sheet in sheets.items()
        }
        _compute(made, list(grids.values()), jobs)
        for name, sheet in sheets.items():
            if what in TABLES:
                print(write(collect(made, grids[name], sheet), sheet, made.out))
                print(f"open {made.out / 'table.md'}")
            else:
                draw_sheet(made, sheet, num_images, num_exact, made.out / f"{name}.png")
                print(f"open {made.out / f'{name}.png'}")


def _compute(made: Bench, grids: list[Any], jobs: int | None) -> None:
    from .._progress import show
    from ..evaluate.paper.grid import pending
    from ..evaluate.paper.pool import fill_shared, threads_of_each, usual_jobs
    from ..evaluate.paper.tables import estimate

    for grid in grids:
        blocks = pending(made, grid)
        used = min(jobs or usual_jobs(made, blocks), max(1, len(blocks)))
        with threads_of_each(used):
            print(f"  {', '.join(grid.tasks)}: {estimate(made, grid, blocks, used)}", flush=True)
        for _ in show(fill_shared(made, blocks, used), True):
            pass


def _names(text: str | None, what: str) -> tuple[str, ...] | None:
    from ..errors import ConfigError
    from ..evaluate.paper.presets import METHODS, SIGMA_Y

    if text is None:
        return None
    names, known = (
        tuple(name.strip() for name in text.split(",")),
        METHODS if what == "methods" else SIGMA_Y,
    )
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(
            f"unknown --{what} {', '.join(unknown)!r}: choose from {', '.join(known)}"
        )
    return tuple(dict.fromkeys(names))


def _teacher(
    prior: Prior, name: str | None, label: float | None, device: str, dtype: str, paper: bool
) -> Prior | None:
    """The diffusion model of the DM rows: asked for, the paper's, named by the card, or bundled
    beside the prior."""
    from ..errors import NoisewalkError
    from ..evaluate.paper.presets import dataset_of
    from ..priors.load import list_priors, load_prior

    dataset, beside = dataset_of(prior.name), f"{prior.name}-edm"
    published = f"edm_{dataset}_ema.pt" if paper and dataset != "small" else None
    bundled = beside if list_priors().get(beside, {}).get("kind") == "edm" else None
    named = name or published or prior.card.get("teacher") or bundled
    if named is None:
        return None
    try:
        return load_prior(named, label, device, dtype_of(dtype))
    except NoisewalkError as error:
        if name or published:
            raise
        print(
            f"  note: the teacher {named} that the card of {prior.name} names is not here "
            f"({error}): give --teacher",
            flush=True,
        )
        return None


def _images(prior: Prior, source: Path | None, device: str, dtype: str) -> Tensor:
    import torch

    from ..errors import ConfigError
    from ..priors.train.data import load_images, to_unit

    if source is None:
        from .demo.images import FILES, held_out_images

        x = (
            to_unit(torch.from_numpy(held_out_images(prior=prior.name)).movedim(-1, 1))
            if prior.name in FILES
            else None
        )
        if x is None or tuple(x.shape[1:]) != tuple(
            prior.shape
        ):  # a folder of a user may have that name too
            raise ConfigError(
                f"{prior.name} has no bundled images: give --images, a folder of validation "
                "images or an .npz file"
            )
    elif source.is_dir():
        from ..files import load_image

        files = sorted(
            p
            for p in source.rglob("*")
            if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".tiff")
        )[:1000]
        if not files:
            raise ConfigError(f"no images under {source}: .png, .jpg and .tif are read")
        x = torch.stack([load_image(file, prior.shape, fit="resize")[0] for file in files])
    else:
        x = to_unit(load_images(source, prior.shape[-1], prior.shape[0])[:1000])
    return x.to(device, torch.float64 if dtype == "float64" else torch.float32)


def _weights(given: Path | None) -> Path | None:
    from .._packages import cache_folder

    usual = cache_folder() / "GOPRO_wVAE.pth"
    return given if given is not None else usual if usual.is_file() else None


def _paper_extractors(keys: tuple[str, ...], device: str) -> dict[str, str]:
    """The paper's extractor of some columns, or the usual one where it is not here."""
    from ..errors import NoisewalkError
    from ..evaluate.metrics.extractors import load_extractor

    found = {}
    for key in keys:
        name = PAPER_EXTRACTORS[key]
        try:
            load_extractor(name, device)
            found[key] = name
        except NoisewalkError as error:
            print(f"  note: {EXTRACTOR} instead of the paper's {name}: {error}", flush=True)
            found[key] = EXTRACTOR
    return found


def _lpips_net(prior: Prior) -> str | None:
    """LPIPS's network where its weights are here and the images large enough."""
    from .._packages import locate
    from ..errors import WeightsError
    from ..evaluate.metrics.backbones import SMALLEST
    from ..evaluate.metrics.perceptual import ARCHIVES

    try:
        locate(**ARCHIVES["alex"])
    except WeightsError:
        return None
    return "alex" if min(prior.shape[-2:]) >= SMALLEST["alex"] else None


def _figure1(out: Path, seed: int) -> None:
    from ..evaluate.paper.figures import figure1

    print(
        "figure1: a mixture of three Gaussians in two dimensions, NFE about 450, a few seconds",
        flush=True,
    )
    print(figure1(out / "figure1.png", seed=seed))
    print(f"open {out / 'figure1.png'}")
