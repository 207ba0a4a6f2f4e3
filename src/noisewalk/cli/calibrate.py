"""`noisewalk calibrate`: test whether the sampler is right on problems simulated from a prior."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigError
from . import options as opt
from .options import Count, says

if TYPE_CHECKING:
    from ..evaluate.calibrate.calibration import Calibration

app = typer.Typer(**opt.PLAIN)


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(opt.SamplerOptions):
    """The options of `noisewalk calibrate`; None where one is left out."""

    test: Annotated[
        str, says("exactness (is the kernel right?) or converged (are runs long enough?).")
    ] = "exactness"
    num_problems: Annotated[int, says("The simulated problems.")] = 200
    num_draws: opt.NumDraws[int] = 19
    num_carried: Annotated[Count, says("The particles that smc carries.")] = None
    out: opt.Out[Path] = Path("calibration")


@app.command()
@opt.reads(CalibrateOptions)
def calibrate(options: CalibrateOptions) -> None:
    """Rank the truth of many simulated problems among the sampler's draws. The ranks are uniform if
    the sampler is right."""
    from ..report.calibration import write_calibration

    check(options)
    found, problem = calibration_of(options)
    write_calibration(found, problem, options.out)
    for name, p in zip(found.quantities, found.p_values.tolist(), strict=True):
        print(f"  {name:16} p {p:.3g}{'  rejected at 1 %' if p < 0.01 else ''}")
    print(f"{found}\n  acceptance {found.acceptance_rate:.2f}  NFE {found.nfe:,}")
    print(f"open {options.out / 'calibration.html'}")


def check(options: CalibrateOptions) -> None:
    """Raise a ConfigError where the options contradict each other, or the folder is in use."""
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
    from ..priors.load import load_prior
    from ..sampling.starts import Adam
    from .plans import kernel_of

    o = options
    likelihood, dtype = parse_likelihood(o.likelihood, o.sigma_y), opt.dtype_of(o.dtype)
    prior = load_prior(o.prior, o.label, o.device, dtype, o.kind, o.size, o.head_channels)
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
            o.num_problems,
            o.test,
            o.seed,
            o.num_draws,
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
