"""From the options of `noisewalk bench` to its prior, teacher, images, sizes and sheets."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .._checks import one_of, whole
from .._packages import cache_folder, locate
from ..errors import ConfigError, NoisewalkError, WeightsError
from ..evaluate.metrics.backbones import SMALLEST
from ..evaluate.metrics.extractors import load_extractor
from ..evaluate.metrics.perceptual import ARCHIVES
from ..evaluate.paper import presets
from ..evaluate.paper.bench import Bench
from ..evaluate.paper.figure2 import COUNTS
from ..evaluate.paper.image_sheets import FIGURES
from ..evaluate.paper.methods import METHODS
from ..evaluate.paper.tables import TABLES
from ..evaluate.paper.tasks import SIGMA_Y, tasks_for
from ..priors import load
from ..priors.prior import Prior
from .bench_images import files_of, pool_of
from .options import dtype_of, load_prior

if TYPE_CHECKING:
    from .bench import BenchOptions

EXTRACTOR = "efficientnet-lite0"
PAPER_EXTRACTORS = {
    "fd": "inception-v3",
    "diversity_score": "resnet50",
    "similarity": "clip-vit-b32",
}
PAPER_PRIOR = "openai/diffusers-cd_bedroom256_lpips"
NUM_IMAGES, NUM_PICTURED, NUM_SHOWN = 8, 3, 10  # images of a table; images, samples of a figure


class Sizes(NamedTuple):
    """How many images and samples there are, and images in the exact kernel's rows."""

    images: int
    samples: int
    exact: int


def bench_of(options: "BenchOptions") -> tuple[Bench, dict[str, Any], Sizes]:
    """What every cell shares, the sheets by name, and the sizes."""
    o, table = options, options.what in TABLES
    rows = names_in(o.methods, "--methods", tuple(METHODS))
    sizes = sizes_of(o, rows)
    shown = rows if sizes.exact else without_exact(o.what)
    sheets = sheets_of(o.what, names_in(o.tasks, "--tasks", tuple(SIGMA_Y)), shown)
    name = o.prior or PAPER_PRIOR
    if o.prior is None and o.images is None:
        raise ConfigError("the paper's priors have no images here: give --images, such as a folder")
    files, labels = files_of(o.images, o.labels)
    label = o.label if labels is None else labels
    prior = load_prior(name, label, o.device, dtype_of(o.dtype))
    methods = [method for sheet in sheets.values() for method in sheet.methods]
    guided = o.what == "figure2" or any(method.endswith("-dm") for method in methods)
    teacher = teacher_of(o, prior, label) if guided else None
    dtype = torch.float64 if o.dtype == "float64" else torch.float32
    pool = pool_of(o.images, files, prior).to(o.device, dtype)
    if len(pool) < sizes.images:
        found = f"--num-images is {sizes.images}, but there are {len(pool)} images"
        raise ConfigError(f"{found}: give more, or ask for fewer")
    extractors = extractors_of(o, str(pool.device)) if table else {"fd": "none"}
    first, cached = extractors["fd"], cache_folder() / "GOPRO_wVAE.pth"
    blur = o.neural_blur or (cached if cached.is_file() else None)
    made = Bench(
        prior,
        teacher,
        pool,
        tasks_for(prior.shape, o.seed, blur),
        o.out or Path("bench") / f"{o.what}-{Path(name).name}",
        sizes.samples,
        o.seed,
        label,
        num_steps=o.num_steps,
        adam_steps=o.warm_start,
        num_warmup=o.num_warmup,
        extractor=None if first == "none" else first,
        lpips_net=_lpips_net(prior),
        diversity=o.what == "table3",
        microbatch=o.microbatch or (4 if min(prior.shape[-2:]) >= 256 else 128),
        samples_of=o.samples_of,
        extractors={key: name for key, name in extractors.items() if name != first},
    )
    return made, sheets, sizes


def sizes_of(options: "BenchOptions", rows: tuple[str, ...] | None) -> Sizes:
    """The sizes; a table leaves out an exact kernel of one image, which would have no error."""
    o, table = options, options.what in TABLES
    images, samples = NUM_PICTURED, NUM_SHOWN
    if table:
        images = presets.NUM_IMAGES if o.paper else NUM_IMAGES
        samples = TABLES[o.what].num_samples
    elif o.what == "figure2":
        images, samples = 1, COUNTS[-1]
    elif o.what in ("figure3", "figure4"):
        samples = 1
    images = images if o.num_images is None else whole("--num-images", o.num_images)
    samples = samples if o.num_samples is None else whole("--num-samples", o.num_samples)
    if o.num_exact is not None:
        return Sizes(images, samples, whole("--num-exact", o.num_exact))
    exact = max(1, images // (8 if o.what == "table3" else 4))
    return Sizes(images, samples, 0 if table and exact == 1 and rows is None else exact)


def without_exact(what: str) -> tuple[str, ...]:
    """The rows of a table without the exact kernel's, and a word on these."""
    rows = TABLES[what].methods
    kept = tuple(name for name in rows if METHODS[name].family != "exact")
    if kept != tuple(rows):
        print("the exact kernel's rows would be of one image: --num-exact adds them", flush=True)
    return kept


def sheets_of(
    what: str, tasks: tuple[str, ...] | None, methods: tuple[str, ...] | None
) -> dict[str, Any]:
    """What is made, by name, each with the tasks and methods that were chosen of its own."""
    if what == "figure2":
        return {}
    own: dict[str, Any] = {what: TABLES[what]} if what in TABLES else FIGURES[what]
    for key, chosen in (("tasks", tasks), ("methods", methods)):
        known = list(dict.fromkeys(n for sheet in own.values() for n in getattr(sheet, key)))
        if strange := [name for name in chosen or () if name not in known]:
            lacks = f"{what} has no --{key} {', '.join(strange)}"
            raise ConfigError(f"{lacks}: choose from {', '.join(known)}")
    kept = {}
    for name, sheet in own.items():
        few = tuple(n for n in sheet.tasks if tasks is None or n in tasks)
        rows = tuple(n for n in sheet.methods if methods is None or n in methods)
        if few and rows:
            kept[name] = replace(sheet, tasks=few, methods=rows)
    if not kept:
        why = "no picture of it shows these methods on these tasks"
        raise ConfigError(f"nothing is left of {what}: {why}")
    return kept


def names_in(text: str | None, option: str, known: tuple[str, ...]) -> tuple[str, ...] | None:
    """The known names in a text such as "sr,blur"; None where it is left out."""
    if text is None:
        return None
    return tuple(dict.fromkeys(one_of(option, name.strip(), known) for name in text.split(",")))


def teacher_of(options: "BenchOptions", prior: Prior, label: Any) -> Prior | None:
    """The DM rows' model: asked for, the paper's, the card's, or bundled beside the prior."""
    o, dataset, beside = options, presets.dataset_of(prior.name), f"{prior.name}-edm"
    published = f"edm_{dataset}_ema.pt" if o.paper and dataset != "small" else None
    bundled = beside if load.list_priors().get(beside, {}).get("kind") == "edm" else None
    named = o.teacher or published or prior.card.get("teacher") or bundled
    if named is None:
        return None
    try:
        return load.load_prior(named, label, o.device, dtype_of(o.dtype))
    except NoisewalkError as error:
        if o.teacher or published:
            raise
        print(
            f"  note: the teacher {named} that the card of {prior.name} names is not here "
            f"({error}): give --teacher",
            flush=True,
        )
        return None


def extractors_of(options: "BenchOptions", device: str) -> dict[str, str]:
    """The extractor of every column of features: the paper's with --paper, where it is here."""
    if options.extractor is not None or not options.paper:
        return {"fd": options.extractor or EXTRACTOR}
    found = {}
    for key in PAPER_EXTRACTORS if options.what == "table3" else ("fd",):
        found[key] = PAPER_EXTRACTORS[key]
        try:
            load_extractor(found[key], device)
        except NoisewalkError as error:
            print(f"  note: {EXTRACTOR} instead of the paper's {found[key]}: {error}", flush=True)
            found[key] = EXTRACTOR
    return found


def _lpips_net(prior: Prior) -> str | None:
    """The network of LPIPS, where its weights are here and the images are large enough."""
    try:
        locate(**ARCHIVES["alex"])
    except WeightsError:
        return None
    return "alex" if min(prior.shape[-2:]) >= SMALLEST["alex"] else None
