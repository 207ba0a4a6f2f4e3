"""`noisewalk sample`: draw posterior samples for images or measurements into run folders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument

from .._checks import one_of, whole
from .._text import printable
from ..errors import ConfigError
from . import options as opt
from .engines import engine_named_by
from .options import Count, File, Number, Text, says

app = typer.Typer(**opt.PLAIN)

OF_SMC = ("num_particles", "num_moves")
OF_CHAINS = (
    *("plan", "num_draws", "chains", "thin", "num_warmup", "start", "warm_start", "lr"),
    "shard_chains",
)
UNREAD = {
    "em": (*OF_SMC, "rank", "spectral", "num_leapfrog"),
    "ei": (*OF_SMC, "num_leapfrog"),
    "mala": (*OF_SMC, "rank", "spectral", "num_leapfrog"),
    "pcnl": (*OF_SMC, "num_leapfrog"),
    "hmc": OF_SMC,
    "slice": (*OF_SMC, "num_leapfrog", "step_size"),
    "smc": (*OF_CHAINS, "spectral"),
}
"""The options that a kernel does not read."""
SMC_ALONE = (
    "--share-batches is not for smc: it takes as many temperatures as each measurement needs, so "
    "the files are not at the same step of it. Leave --share-batches out, or take another kernel"
)
OF_MEASUREMENT = ("missing", "observed", "bits", "band_range", "variance")
FITS = ("crop", "resize", "pad")
STARTS = ("randomized", "adam", "prior")
PLANS = ("short_chains", "long_chains")


@dataclass(frozen=True, kw_only=True)
class SampleOptions(opt.SamplerOptions):
    """The options of `noisewalk sample`; None where one is left out."""

    inputs: Annotated[
        list[Path],
        Argument(
            metavar="INPUT...",
            help="A .png .jpg .webp .tif .npy .npz .fits .nc or .zarr file, or obs.fits[2]. "
            "Several, a folder, a pattern, or a .csv with columns file, sigma_y, mask: a batch.",
        ),
    ]
    simulate: Annotated[bool, says("Degrade, restore, score a clean image.", "--simulate")] = False
    num_particles: Annotated[Count, says("The particles of smc; default 200.")] = None
    num_moves: Annotated[Text, says("Moves of smc a temperature; default 4; a range: 2,16.")] = None
    rank: Annotated[Count, says("Rank of the kernel's Gaussian; default 40 (hmc) or none.")] = None
    num_draws: opt.NumDraws[Count] = None
    chains: opt.Chains = None
    plan: Annotated[
        Text,
        says(
            "short_chains or long_chains; default short, or long with --kernel or another --start."
        ),
    ] = None
    start: opt.Start = None
    lr: opt.Lr[Number] = None
    range: opt.Range = None
    fit: Annotated[Text, says("Fit a clean image of another size: crop, resize or pad.")] = None
    variance: Annotated[bool, says("The file of --sigma-y is a variance.", "--variance")] = False
    band_range: Annotated[Text, says("--range by band: LO:HI,LO:HI,...", metavar="RANGES")] = None
    bands: Annotated[Text, says("The bands to take, counted from 1: 4,3,2.")] = None
    missing: Annotated[Text, says("What marks a gap: nan, a number, a file (nonzero there).")] = (
        None
    )
    bits: Annotated[Text, says("The bits of --missing FILE that count, from 0: 1,4.")] = None
    observed: Annotated[Text, says("A file that is nonzero where y is observed.")] = None
    window: opt.Window[Count] = None
    margin: opt.Margin = None
    share_batches: Annotated[
        bool,
        says("Run the small files of a batch together, many a network call.", "--share-batches"),
    ] = False
    representation_error: Annotated[
        Text, says("What the prior cannot express: card, or a std for images in [-1, 1].")
    ] = None
    engine: opt.Engine = None
    workers: opt.Workers = None
    address: opt.Address = None
    partition: opt.Partition = None
    shard_chains: Annotated[
        Count, says("Draw one file's chains in so many shards, each a unit of --engine's work.")
    ] = None
    out: opt.Out[File] = None
    resume: Annotated[bool, says("Go on with an existing run.", "--resume")] = False
    seed: opt.Seed[Count] = None
    force: opt.Force = False

    @property
    def input(self) -> Path:
        """The one file of a run."""
        return self.inputs[0]

    @property
    def folder(self) -> Path:
        """Where the run, or the runs of a batch, go."""
        name = "batch" if len(self.inputs) > 1 else self.input.stem
        return self.out or Path("runs") / f"{name}-{self.operator.split(':')[0]}"


@app.command()
@opt.reads(SampleOptions)
def sample(options: SampleOptions) -> None:
    """Draw posterior samples for an image or a measurement into a run folder, or for many files
    into one folder each."""
    from ..storage.folder import admit
    from ..storage.remote import address_of, shown
    from .batch import run_batch
    from .inputs import entries_of, with_seed
    from .run_problem import prior_of, restore

    check(options)
    o = options
    entries = entries_of(o.inputs)
    if entries is None:
        opt.refuse("one file", o, "share_batches")
        if o.shard_chains is None:
            opt.refuse("one file without --shard-chains", o, "engine")
        o = with_seed(o)
        if not o.resume and address_of(o.folder) is None:
            admit(o.folder, {}, (), resume=False)  # before a prior is loaded, which can take long
    else:
        opt.refuse("a batch, whose units are files,", o, "shard_chains")
    prior = prior_of(o)
    if entries is not None:
        run_batch(o, entries, prior)
        return
    restore(o, prior)
    print(f"open {printable(shown(o.folder))}/report.html")


def check(options: SampleOptions) -> None:
    """Raise a ConfigError where the options contradict each other."""
    kernel = options.kernel
    if kernel is not None:
        one_of("kernel", kernel, tuple(UNREAD))
    opt.refuse(kernel or "the default kernel", options, *UNREAD[kernel or "hmc"])
    if kernel == "smc" and options.share_batches:
        raise ConfigError(SMC_ALONE)
    if options.spectral:
        opt.refuse("--spectral", options, "rank")
    if options.start is not None:
        one_of("--start", options.start, tuple(STARTS))
    if options.plan is not None:
        one_of("--plan", options.plan, tuple(PLANS))
    if options.start != "adam":
        opt.refuse(f"--start {options.start or 'randomized'}", options, "lr")
    if options.start == "prior":
        opt.refuse("--start prior", options, "warm_start")
    if options.fit is not None:
        one_of("--fit", options.fit, FITS)
    if options.shard_chains is not None:
        whole("--shard-chains", options.shard_chains)
    engine_named_by(options)
    if options.engine is not None:
        opt.refuse(f"--engine {options.engine}", options, "share_batches")
    if options.simulate:
        opt.refuse("a clean image (--simulate)", options, *OF_MEASUREMENT)
    if options.fit and not options.simulate:
        why = "a measurement must have the shape that the operator produces"
        raise ConfigError(f"--fit belongs to a clean image: {why}")
