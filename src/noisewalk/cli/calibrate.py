"""`noisewalk calibrate`: test whether the sampler is right, on problems simulated from a prior or
around the measurement of a run."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError
from . import options as opt
from .engines import engine_named_by
from .options import Count, File, Text, says

if TYPE_CHECKING:
    from ..evaluate.calibrate.calibration import Calibration

app = typer.Typer(**opt.PLAIN)

OF_ENGINES = ("engine", "workers", "address", "partition")
OF_A_RUN = ("run", "prior", "num_problems", "chains", "seed", "device", "microbatch", *OF_ENGINES)
"""The options that are read with a run."""


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(opt.SamplerOptions):
    """The options of `noisewalk calibrate`; None where one is left out."""

    run: Annotated[
        File, typer.Argument(help="The folder of a run: calibrate around its measurement.")
    ] = None
    prior: opt.Prior[Text] = None  # type: ignore[assignment]
    operator: opt.Operator[Text] = None  # type: ignore[assignment]
    test: Annotated[
        str, says("exactness (is the kernel right?) or converged (are runs long enough?).")
    ] = "exactness"
    num_problems: Annotated[Count, says("The simulated problems; default 200; for a run 40.")] = (
        None
    )
    chains: opt.Chains = None
    num_draws: opt.NumDraws[Count] = None
    num_carried: Annotated[Count, says("The particles that smc carries.")] = None
    engine: opt.Engine = None
    workers: opt.Workers = None
    address: opt.Address = None
    partition: opt.Partition = None
    out: opt.Out[Path] = Path("calibration")
    seed: opt.Seed[int] = 0


@app.command()
@opt.reads(CalibrateOptions)
def calibrate(options: CalibrateOptions) -> None:
    """Rank the truth of many simulated problems among the sampler's draws. The ranks are uniform if
    the sampler is right. With RUN, the truths are draws of that run, and the draws among which they
    are ranked see its measurement and a second one: are the run's draws right?"""
    from ..report.calibration import write_calibration
    from ..storage.remote import only_local

    only_local("what is calibrated", options.run)
    check(options)
    found, problem = (calibration_of if options.run is None else calibration_around)(options)
    folder = options.run or options.out
    write_calibration(found, problem, folder)
    inside = None if found.test != "around" else found.coverage
    if inside is not None:
        print("coverage of the intervals of", *(f"{100 * p:.0f} %" for p in inside.nominal))
    for k, (name, p) in enumerate(zip(found.quantities, found.p_values.tolist(), strict=True)):
        shares = ""
        if inside is not None and k < len(found.ranked):
            shares = " ".join(f"{s:5.2f}" for s in inside.empirical[:, k])
        print(f"  {name:16} {shares}  p {p:.3g}{'  rejected at 1 %' if p < 0.01 else ''}")
    print(f"{found}\n  acceptance {found.acceptance_rate:.2f}  NFE {found.nfe:,}")
    if found.test == "around" and not found.counts:
        print(f"  too little to count for the verdict: {found.too_little}")
    print(f"open {folder / 'calibration.html'}")


def check(options: CalibrateOptions) -> None:
    """Raise a ConfigError where the options contradict each other, or the folder is in use."""
    from ..priors.own_code import is_code

    if options.run is not None:
        engine_named_by(options)
        given = (f.name for f in fields(options) if getattr(options, f.name) != f.default)
        opt.refuse("calibrate RUN", options, *(name for name in given if name not in OF_A_RUN))
        if options.prior is not None and not is_code(options.prior):
            raise ConfigError(f"calibrate RUN knows the prior: leave --prior {options.prior} out")
        return
    opt.refuse("calibrate without a run", options, "chains", *OF_ENGINES)
    if options.prior is None or options.operator is None:
        raise ConfigError("give --prior and --operator, or the folder of a run")
    kernel, out = options.kernel, options.out
    name, smc = kernel or "the default kernel", kernel == "smc"
    unread = {
        "step_size": kernel in (None, "slice", "smc"),
        "num_leapfrog": kernel != "hmc",
        "num_carried": not smc,
        "thin": smc,
        "spectral": kernel in ("em", "mala", "smc"),
    }
    opt.refuse(name, options, *(option for option, never in unread.items() if never))
    if smc or options.test == "exactness":
        opt.refuse("smc" if smc else "exactness", options, "num_warmup", "warm_start")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not an empty folder: give another --out")


def calibration_of(options: CalibrateOptions) -> tuple["Calibration", str]:
    """What the calibration found, and the problem as text."""
    from ..evaluate.calibrate.calibrate import calibrate as run
    from ..gaussians.refresh import SpectralRefresh
    from ..likelihoods import parse as parse_likelihood
    from ..operators import parse
    from ..sampling.starts import Adam
    from .plans import kernel_of

    o: Any = options
    level, dtype = opt.number("--sigma-y", o.sigma_y), opt.dtype_of(o.dtype)
    likelihood = parse_likelihood(o.likelihood, level)
    said = o.label, o.device, dtype, o.kind, o.size, o.head_channels, o.prompt
    prior = opt.load_prior(o.prior, *said)
    phi = opt.map_of(prior, o.num_steps)
    kernel: Any = o.kernel
    adapted = False
    if kernel not in (None, "smc"):
        kernel = kernel_of(kernel, o.step_size, o.num_leapfrog, phi.nfe)
        adapted = o.step_size is None and kernel.exact and kernel.step_size is not None
    opt.make_folder(o.out)
    with opt.interruptible("a calibration keeps nothing before its end"):
        found = run(
            phi,
            parse(o.operator, prior.shape),
            likelihood,
            kernel,
            200 if o.num_problems is None else o.num_problems,
            o.test,
            o.seed,
            19 if o.num_draws is None else o.num_draws,
            thin="auto" if o.thin is None else o.thin,
            microbatch=opt.rows_at_once(prior.shape) if o.microbatch is None else o.microbatch,
            num_warmup="auto" if o.num_warmup is None else o.num_warmup,
            warm_start=None if o.warm_start == 0 else Adam(o.warm_start or 60),
            adapted=adapted,
            num_carried=o.num_carried,
            device=o.device,
            dtype=opt.dtype_of("float64" if o.dtype == "float64" else "float32"),
            refresh=SpectralRefresh() if o.spectral else "auto",
        )
    return found, f"{o.prior}, {o.operator}, {likelihood}"


def calibration_around(options: CalibrateOptions) -> tuple["Calibration", str]:
    """What the calibration around a run's measurement found, and the run's title."""
    from ..evaluate.calibrate.around import prepare
    from ..evaluate.calibrate.blocks import calibration_by, folder_of
    from ..evaluate.calibrate.rebuild import target_of
    from ..priors.own_code import prior_of
    from ..sampling.run import open_run

    o: Any = options
    run = open_run(o.run)
    problems, chains = (
        usual if n is None else n for n, usual in ((o.num_problems, 40), (o.chains, 8))
    )
    engine = engine_named_by(o)
    kept = "a calibration keeps nothing before its end; with --engine, it keeps its blocks"
    if engine is not None:
        kept = "the same command goes on with the problems that are not done"
    with opt.interruptible(f"{o.run} is as it was; {kept}"):
        prior = None if o.prior is None else prior_of(o.prior)
        target = target_of(run, o.device, o.microbatch, prior)
        prepared = prepare(run, target, problems, chains, o.seed)
        print(prepared.cost(), flush=True)
        if engine is None:
            found = prepared.calibration()
        else:
            found = calibration_by(engine, prepared, folder_of(prepared, o.run))
    return found, str(run.spec.get("problem", {}).get("title", o.run))
