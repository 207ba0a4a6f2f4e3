"""`noisewalk calibrate`: is the sampler right on problems simulated from a prior?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import (
    LIKELIHOOD_HELP,
    dtype_of,
    interruptible,
    kernel_of,
    make_folder,
    map_of,
    refuse,
    rows_at_once,
)


def register(app: typer.Typer) -> None:
    """Add the command.

    Arguments:
        app: the command line.
    """
    app.command()(calibrate)


def calibrate(
    prior: Annotated[
        str, typer.Option(help="Name (noisewalk priors), Hub repository, folder or .pt file.")
    ],
    operator: Annotated[str, typer.Option(help="Such as avgpool:factor=4; steps joined by +.")],
    sigma_y: Annotated[
        float | None, typer.Option(help="Noise standard deviation of gaussian, pixels in [-1, 1].")
    ] = None,
    likelihood: Annotated[
        str, typer.Option(help=LIKELIHOOD_HELP + ":concentration=A,rate=B, pixels in [-1, 1].")
    ] = "gaussian",
    test: Annotated[
        str,
        typer.Option(
            help="exactness (is the kernel right?) or converged (are its runs long enough?)."
        ),
    ] = "exactness",
    kernel: Annotated[
        str | None,
        typer.Option(help="em, ei, mala, pcnl, hmc, slice or smc; without it the sound default."),
    ] = None,
    step_size: Annotated[
        float | None,
        typer.Option(help="Step of the kernel; without it an exact kernel's is adapted."),
    ] = None,
    num_leapfrog: Annotated[
        int | None, typer.Option(help="Leapfrog steps of hmc; 8, or 5 with --num-steps 2.")
    ] = None,
    spectral: Annotated[
        bool,
        typer.Option(
            "--spectral",
            help="Fit the kernel's Gaussian by frequency, for precise measurements, not by rank.",
        ),
    ] = False,
    num_problems: Annotated[int, typer.Option(help="Simulated problems.")] = 200,
    num_draws: Annotated[int, typer.Option(help="Draws the truth is ranked among.")] = 19,
    thin: Annotated[
        int | None,
        typer.Option(
            help=(
                "Transitions between draws; 1, and 2 for exactness of hmc, which keeps its "
                "velocity."
            )
        ),
    ] = None,
    num_warmup: Annotated[
        int | None, typer.Option(help="Transitions before the draws of converged.")
    ] = None,
    warm_start: Annotated[
        int | None, typer.Option(help="Adam steps before the chains of converged; 60.")
    ] = None,
    num_carried: Annotated[
        int | None, typer.Option(help="Particles that smc carries; at least --num-draws.")
    ] = None,
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
    out: Annotated[Path, typer.Option(help="Folder of calibration.html, .json and .png.")] = Path(
        "calibration"
    ),
    seed: Annotated[int, typer.Option(help="Of all noise.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    dtype: Annotated[
        str,
        typer.Option(help="Of the network: float32, float64 (the whole run), bfloat16 or float16."),
    ] = "float32",
    microbatch: Annotated[
        int | None,
        typer.Option(help="Rows per network call; 128, fewer of images larger than 32 x 32."),
    ] = None,
) -> None:
    """Rank the truth of many simulated problems among the sampler's draws; uniform ranks mean that
    it is right."""
    from ..errors import ConfigError
    from ..evaluate.calibrate.calibrate import calibrate as run
    from ..gaussians.refresh import SpectralRefresh
    from ..likelihoods import parse as parse_likelihood
    from ..operators import parse
    from ..priors.load import load_prior
    from ..report.calibration import write_calibration
    from ..sampling.defaults import leapfrogs
    from ..sampling.starts import Adam
    from ..types import Kernel

    if kernel in (None, "smc"):
        refuse(kernel or "the default kernel", step_size=step_size)
    refuse(
        kernel or "the default kernel",
        num_leapfrog=None if kernel == "hmc" else num_leapfrog,
        num_carried=None if kernel == "smc" else num_carried,
    )
    if test == "exactness" or kernel == "smc":
        refuse(
            "smc" if kernel == "smc" else "exactness", num_warmup=num_warmup, warm_start=warm_start
        )
    if kernel == "smc":
        refuse("smc", thin=thin)
    refuse(
        kernel or "the default kernel",
        spectral=spectral or None if kernel in ("em", "mala", "smc") else None,
    )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not an empty folder: give another --out")
    noise = parse_likelihood(likelihood, sigma_y)
    network = load_prior(prior, label, device, dtype_of(dtype), kind, size, head_channels)
    problem = f"{prior}, {operator}, {noise}"
    phi, steps = map_of(network, num_steps), num_leapfrog
    chosen: Any = (
        kernel
        if kernel is None or kernel == "smc"
        else kernel_of(kernel, step_size, leapfrogs(phi.nfe) if steps is None else steps)
    )
    given = isinstance(chosen, Kernel)
    adapted = step_size is None and given and chosen.exact and chosen.step_size is not None
    make_folder(out)
    with interruptible("a calibration keeps nothing before its end"):
        found = run(
            phi,
            parse(operator, network.shape),
            noise,
            chosen,
            num_problems,
            test,
            seed,
            num_draws,
            "auto" if thin is None else thin,
            rows_at_once(network.shape) if microbatch is None else microbatch,
            "auto" if num_warmup is None else num_warmup,
            Adam(60 if warm_start is None else warm_start) if warm_start != 0 else None,
            adapted,
            num_carried,
            device=device,
            dtype=dtype_of(
                "float64" if dtype == "float64" else "float32"
            ),  # as `sample`: the half precisions are the network's alone
            refresh=SpectralRefresh() if spectral else "auto",
        )
    write_calibration(found, problem, out)
    for name, p in zip(found.quantities, found.p_values.tolist(), strict=True):
        print(f"  {name:16} p {p:.3g}{'  rejected at 1 %' if p < 0.01 else ''}")
    print(
        f"{found}\n  acceptance {found.acceptance_rate:.2f}  NFE {found.nfe:,}\nopen "
        f"{out / 'calibration.html'}"
    )
