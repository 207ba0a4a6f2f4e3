"""The command line: parse, call, print. Heavy imports happen inside the commands."""

from __future__ import annotations

import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import __version__
from .options import (
    KERNELS,
    LIKELIHOOD_HELP,
    dtype_of,
    interruptible,
    kernel_of,
    map_of,
    refuse,
    rows_at_once,
    smc_of,
)

if TYPE_CHECKING:
    from ..sampling.chains import Chains as Plan
    from ..sampling.smc import TemperedSMC as Ladder
    from ..sampling.starts import Adam
    from .problem import Problem

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Samples from p(x | y) with generative priors.",
)
priors_app = typer.Typer(
    help="List, show, get and push priors.", no_args_is_help=False, invoke_without_command=True
)
train_app = typer.Typer(help="Train priors.", no_args_is_help=True)
app.add_typer(priors_app, name="priors")
app.add_typer(train_app, name="train")


def main() -> None:
    """Run the command line: bad input ends in one line and exit status 2."""
    from ..errors import NoisewalkError

    try:
        code = app(standalone_mode=False)
    except NoisewalkError as error:
        _fail(str(error))
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of the command-line parser
            _fail(error.format_message())
        if type(error).__name__ == "Abort":
            raise SystemExit(130) from None
        raise
    raise SystemExit(code or 0)


def _fail(message: str) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(2) from None


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder of report.html and, by prior and task, of the runs.")
    ] = Path("demo"),
    prior: Annotated[str, typer.Option(help="satellite64 or fashion32.")] = "satellite64",
    task: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Of satellite64 super-resolution, clouds, box and deblurring; again for each; two "
                "without it."
            )
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all noise.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    dtype: Annotated[
        str,
        typer.Option(help="Of the network: float32, float64 (the whole run), bfloat16 or float16."),
    ] = "float32",
) -> None:
    """Restore a real held-out image with its uncertainty, in a few minutes for two tasks on two
    cores."""
    from .demo.demo import combined_report, demo_plan, demo_problem, tasks_of
    from .restore import restore

    folders = {name: out / f"{prior}-{name}" for name in tasks_of(prior, task)}
    for name, folder in folders.items():
        problem = demo_problem(name, prior, seed, device, dtype_of(dtype))
        plan = demo_plan(problem, seed)
        _announce(problem, plan, folder)
        with interruptible(f"the draws so far are safe in {out}; the same command goes on"):
            restore(problem, plan, folder, shlex.join(["noisewalk", *sys.argv[1:]]), resume=True)
        _conclude(folder)
    combined_report(list(folders.values()), out / "report.html")
    print(f"open {out / 'report.html'}")


@app.command()
def sample(
    input: Annotated[
        Path,
        typer.Argument(
            help="Image (with --simulate) or measurement: .png .jpg .tif .npy .npz .fits"
        ),
    ],
    prior: Annotated[
        str, typer.Option(help="Name (noisewalk priors), Hub repository, folder or .pt file.")
    ],
    operator: Annotated[
        str,
        typer.Option(
            help="Such as avgpool:factor=4 or inpaint:keep=0.2,seed=0; steps joined by +."
        ),
    ],
    sigma_y: Annotated[
        float | None,
        typer.Option(
            help=(
                "Noise standard deviation of gaussian, in the file's unit; with --simulate also of "
                "unknown."
            )
        ),
    ] = None,
    likelihood: Annotated[
        str, typer.Option(help=LIKELIHOOD_HELP + ", in the unit of the file.")
    ] = "gaussian",
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="INPUT is a clean image: degrade, restore and score it."),
    ] = False,
    label: Annotated[
        float | None, typer.Option(help="Class or conditioning value of the prior.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="consistency or edm, for weights without a card.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Image side, for a .pt file without a card.")
    ] = None,
    head_channels: Annotated[
        int | None, typer.Option(help="Channels per attention head, for a .pt file without a card.")
    ] = None,
    num_steps: Annotated[int, typer.Option(help="1 or 2 network calls per map.")] = 1,
    kernel: Annotated[
        str | None,
        typer.Option(help="em, ei, mala, pcnl, hmc, slice or smc; without it preconditioned HMC."),
    ] = None,
    step_size: Annotated[
        float | None,
        typer.Option(help="Step of the kernel; without it mala, pcnl and hmc adapt theirs."),
    ] = None,
    num_leapfrog: Annotated[
        int | None,
        typer.Option(help="Leapfrog steps of hmc, 8 (5 with --num-steps 2), and of smc, 6."),
    ] = None,
    num_particles: Annotated[int | None, typer.Option(help="Particles of smc; 200.")] = None,
    num_moves: Annotated[
        str | None,
        typer.Option(
            help="Of smc at each temperature: 4, or 2,16 for at least 2 and up to 16 as needed."
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            help=(
                "Of the Gauss-Newton Gaussian: hmc has one of 40 without it; ei, pcnl, slice and "
                "smc then have one."
            )
        ),
    ] = None,
    spectral: Annotated[
        bool,
        typer.Option(
            "--spectral",
            help=(
                "Instead of --rank: the Gaussian's precision by frequency, for precise "
                "measurements."
            ),
        ),
    ] = False,
    thin: Annotated[
        int | None,
        typer.Option(help="Transitions per kept draw; 10 for adapted mala and pcnl, else 1."),
    ] = None,
    num_draws: Annotated[int | None, typer.Option(help="Draws kept per chain; 100.")] = None,
    num_warmup: Annotated[int | None, typer.Option(help="Transitions discarded first.")] = None,
    chains: Annotated[int | None, typer.Option(help="Chains; 4.")] = None,
    warm_start: Annotated[
        int | None, typer.Option(help="Adam steps before the chain; 200.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's learning rate; 0.01.")] = None,
    range: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LO HI", help="Values that stand for -1 and 1."),
    ] = None,
    fit: Annotated[
        str | None, typer.Option(help="crop, resize or pad a clean image of another size.")
    ] = None,
    missing: Annotated[
        str | None,
        typer.Option(
            help="What marks gaps: nan, a number such as -9999, or a mask file (nonzero = observed)."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; by default runs/INPUT-OPERATOR.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an existing run.")] = False,
    seed: Annotated[int, typer.Option(help="Of all noise.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    dtype: Annotated[
        str,
        typer.Option(help="Of the network: float32, float64 (the whole run), bfloat16 or float16."),
    ] = "float32",
    microbatch: Annotated[
        int | None,
        typer.Option(
            help=(
                "Rows per network call; of smc 128, fewer of images larger than 32 x 32, else all "
                "chains."
            )
        ),
    ] = None,
) -> None:
    """Draw posterior samples for one image or measurement into a run folder."""
    from ..errors import ConfigError
    from ..files import ValueRange
    from ..priors.load import load_prior
    from ..sampling.starts import Adam
    from .problem import from_image, from_measurement
    from .restore import restore

    if kernel == "smc":
        refuse(
            "smc",
            spectral=spectral or None,
            num_draws=num_draws,
            chains=chains,
            thin=thin,
            num_warmup=num_warmup,
            warm_start=warm_start,
            lr=lr,
        )
    else:
        refuse(kernel or "the default kernel", num_particles=num_particles, num_moves=num_moves)
        refuse(kernel or "hmc", rank=rank if kernel in ("em", "mala") else None)
        refuse(kernel or "hmc", spectral=spectral or None if kernel in ("em", "mala") else None)
        refuse("--spectral", rank=rank if spectral else None)
        refuse(
            kernel or "hmc", num_leapfrog=num_leapfrog if kernel in (*KERNELS, "slice") else None
        )
        refuse("--warm-start 0", lr=lr if warm_start == 0 else None)
    if fit not in (None, "crop", "resize", "pad"):
        raise ConfigError(f"unknown --fit {fit!r}: choose crop, resize or pad")
    if simulate and missing:
        raise ConfigError(
            "--missing belongs to a measurement: leave out --simulate, or use a mask operator"
        )
    if fit and not simulate:
        raise ConfigError(
            "--fit belongs to a clean image: a measurement must have the shape that the "
            "operator produces"
        )
    network = load_prior(prior, label, device, dtype_of(dtype), kind, size, head_channels)
    phi = map_of(network, num_steps)
    bounds = None if range is None else ValueRange(*range)
    problem = (
        from_image(input, network, phi, operator, likelihood, sigma_y, bounds, fit, seed, device)  # type: ignore[arg-type]
        if simulate
        else from_measurement(
            input, network, phi, operator, likelihood, sigma_y, bounds, missing, device
        )
    )
    problem = problem.to(dtype_of(dtype)) if dtype == "float64" else problem
    folder = out or Path("runs") / f"{input.stem}-{operator.split(':')[0]}"
    if kernel == "smc":
        ladder = smc_of(
            problem.target(),
            _or(num_particles, 200),
            step_size,
            num_leapfrog,
            num_moves,
            rank,
            seed,
        )
        _restore_smc(problem, ladder, folder, resume, _or(microbatch, rows_at_once(network.shape)))
        return
    start = Adam(warm_start, _or(lr, 0.01)) if (warm_start := _or(warm_start, 200)) else None
    plan = _plan(
        problem,
        kernel,
        step_size,
        thin,
        _or(num_draws, 100),
        num_warmup,
        _or(chains, 4),
        start,
        seed,
        num_leapfrog,
        rank,
        spectral,
    )
    _announce(problem, plan, folder)
    with interruptible(_resumable(folder)):
        restore(problem, plan, folder, _command(), resume, microbatch)
    _conclude(folder)
    print(f"open {folder / 'report.html'}")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Run folder, also one of nw.sample(..., store=...).")],
    title: Annotated[str | None, typer.Option(help="One line; else the run's own.")] = None,
    range: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LO HI", help="Values that stand for -1 and 1; else the run's own."),
    ] = None,
) -> None:
    """Rebuild report.html, summary.json, the pictures, mean.npy and std.npy from a run."""
    from ..report.build import build_report

    print(build_report(run, title, range))


def _plan(
    problem: Problem,
    kernel: str | None,
    step_size: float | None,
    thin: int | None,
    num_draws: int,
    num_warmup: int | None,
    chains: int,
    start: Adam | None,
    seed: int,
    num_leapfrog: int | None,
    rank: int | None = None,
    spectral: bool = False,
) -> Plan:
    from ..gaussians.refresh import Refresh, SpectralRefresh
    from ..sampling.defaults import leapfrogs, resolve

    target = problem.target()
    usual = kernel is None and step_size is None and num_leapfrog is None
    chosen = (
        None
        if usual
        else kernel_of(kernel or "hmc", step_size, _or(num_leapfrog, leapfrogs(target.phi.nfe)))
    )
    as_given = step_size is not None
    quick = chosen is not None and chosen.evaluations == 1 and not as_given
    each = thin if thin is not None else 10 if quick else 1
    refresh: Any = "auto"
    if spectral or rank is not None:
        refresh = SpectralRefresh() if spectral else Refresh(rank=rank)
    elif as_given:
        refresh = None
    warmup: Any = "auto" if num_warmup is None else num_warmup
    if as_given and num_warmup is None and refresh is None:
        warmup = 0
    return resolve(
        target,
        chosen,
        num_draws,
        chains,
        warmup,
        each,
        start,
        None if as_given else "auto",
        seed,
        refresh,
    )


def _restore_smc(
    problem: Problem, plan: Ladder, folder: Path, resume: bool, microbatch: int | None
) -> None:
    from .restore import restore

    print(f"{_head(problem)}\n  tempered SMC, {plan}\n  into {folder}", flush=True)
    with interruptible(_resumable(folder)):
        restore(problem, plan, folder, _command(), resume, microbatch)
    _conclude(folder)
    print(f"open {folder / 'report.html'}")


def _resumable(folder: Path) -> str:
    return f"what is done so far is safe in {folder}; the same command with --resume goes on"


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _head(problem: Problem) -> str:
    note = "".join(f"\n  note: {doubt}" for doubt in problem.doubts())
    return (
        f"{problem.title}{note}\n  prior {problem.prior_name}  likelihood {problem.likelihood}, "
        "pixels in [-1, 1]"
    )


def _command() -> str:
    return shlex.join(["noisewalk", *(a for a in sys.argv[1:] if a != "--resume")])


def _announce(problem: Problem, plan: Plan, folder: Path) -> None:
    rows = plan.num_chains * len(problem.y)
    steps = plan.warm_start.num_steps if plan.warm_start else 0
    low, high = problem.value_range.low, problem.value_range.high
    each = plan.kernel.evaluations
    curvature = (
        plan.refresh.calls(plan.num_warmup, math.prod(problem.phi.shape)) if plan.refresh else 0
    )
    nfe = (
        rows
        * problem.phi.nfe
        * (1 + steps + curvature + each * (plan.num_warmup + plan.num_draws * plan.thin))
    )
    print(f"{_head(problem)}  value range {low:g} {high:g}")
    fitted = f" with {plan.refresh}" if plan.refresh else ""
    print(f"  {plan.kernel}{fitted}")
    print(
        f"  {plan.num_chains} chains x {plan.num_draws} draws, thin {plan.thin}, warm-up "
        f"{plan.num_warmup}, Adam {steps}  NFE about {nfe:,}"
    )
    print(f"  into {folder}", flush=True)


def _conclude(folder: Path) -> None:
    import json

    from ..evaluate.diagnostics.chains import MIN_DRAWS

    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    keys = (
        "psnr",
        "ssim",
        "lpips",
        "chi2",
        "noise_level",
        "r_hat_max",
        "ess_bulk_min",
        "acceptance_rate",
        "nfe",
        "seconds",
    )
    if (
        summary["r_hat_max"] is None
        and summary["num_chains"] > 1
        and summary["num_draws"] >= MIN_DRAWS
    ):  # JSON has no infinity
        from ..sampling.run import open_run

        stuck = open_run(folder).summary()["r_hat_max"]
        summary["r_hat_max"] = stuck if math.isinf(stuck) else None
    print(
        "  " + "  ".join(f"{k} {summary[k]:.4g}" for k in keys if summary.get(k) is not None),
        flush=True,
    )


from . import bench as cli_bench
from . import calibrate as cli_calibrate
from . import priors as cli_priors
from . import train as cli_train

cli_bench.register(app)
cli_calibrate.register(app)
cli_priors.register(priors_app)
cli_train.register(train_app)
