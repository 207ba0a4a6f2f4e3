"""Options that several commands share, from text to objects."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..priors.prior import Prior
    from ..sampling.smc import TemperedSMC as Ladder

DTYPES = ("float32", "float64", "bfloat16", "float16")
LIKELIHOOD_HELP = (
    "gaussian (with --sigma-y), poisson:peak=P (counts), laplace:scale=S, studentt:df=D,scale=S or "
    "unknown"
)
KERNELS = {"em": ("em", False), "ei": ("ei", False), "mala": ("em", True), "pcnl": ("ei", True)}


def dtype_of(name: str) -> Any:
    """A --dtype.

    Arguments:
        name: such as "float32".

    Returns:
        The torch dtype.

    Raises:
        ConfigError: an unknown name.
    """
    import torch

    from ..errors import ConfigError

    if name not in DTYPES:
        raise ConfigError(f"unknown --dtype {name!r}: choose one of {', '.join(DTYPES)}")
    return getattr(torch, name)


def make_folder(out: Path) -> None:
    """Make --out before the work, not after it.

    Arguments:
        out: the folder.

    Raises:
        ConfigError: it cannot be made or written to.
    """
    import os

    from ..errors import ConfigError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the folder {out} ({error.strerror or error}): give another --out"
        ) from error
    if not os.access(out, os.W_OK):
        raise ConfigError(f"{out} is not writable: give another --out")


@contextmanager
def interruptible(said: str) -> Iterator[None]:
    """Long work: Ctrl-C ends it with one line and exit status 130.

    Arguments:
        said: what is kept, and how to go on.
    """
    import typer

    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted: {said}", file=sys.stderr)
        raise typer.Exit(130) from None


def refuse(what: str, **given: Any) -> None:
    """Refuse options that nothing would read.

    Arguments:
        what: does not read them, such as "smc".
        **given: values by the options' Python names, None where left out.

    Raises:
        ConfigError: one is given.
    """
    from ..errors import ConfigError

    for name, value in given.items():
        if value is not None:
            raise ConfigError(
                f"{what} does not read --{name.replace('_', '-')} (got {value}): leave it out"
            )


def map_of(network: Prior, num_steps: int) -> Any:
    """The map of --num-steps; a diffusion model's is its probability flow.

    Arguments:
        network: a prior.
        num_steps: 1 or 2, for a consistency model.

    Returns:
        From noise to x.

    Raises:
        ConfigError: a number of steps for a diffusion model.
    """
    from ..errors import ConfigError

    if network.kind != "edm":
        return network.map(num_steps)
    if num_steps != 1:
        raise ConfigError(
            f"{network.name} is a diffusion model, sampled by its probability flow: leave "
            "--num-steps out"
        )
    return network.ode_map()


def kernel_of(name: str, step_size: float | None, num_leapfrog: int) -> Any:
    """A --kernel.

    Arguments:
        name: "em", "ei", "mala", "pcnl", "hmc" or "slice".
        step_size: None where it is to be adapted.
        num_leapfrog: of "hmc".

    Returns:
        The kernel.

    Raises:
        ConfigError: an unknown name, or a step size missing or out of place.
    """
    from ..errors import ConfigError
    from ..kernels.hmc import HMC
    from ..kernels.langevin import Langevin
    from ..kernels.slice import EllipticalSlice
    from ..sampling.defaults import FRICTION

    if name in KERNELS:
        scheme, adjust = KERNELS[name]
        if step_size is None and not adjust:
            raise ConfigError(
                f"the unadjusted kernel {name} needs --step-size, for instance 1e-5 as in the paper"
            )
        return Langevin(1e-3 if step_size is None else step_size, scheme, adjust)
    if name == "hmc":
        return HMC(0.1 if step_size is None else step_size, num_leapfrog, friction=FRICTION)
    if name == "slice":
        if step_size is not None:
            raise ConfigError("elliptical slice sampling has no step size: leave --step-size out")
        return EllipticalSlice()
    raise ConfigError(
        f"unknown kernel {name!r}: choose one of {', '.join(KERNELS)}, hmc, slice, smc"
    )


def rows_at_once(shape: tuple[int, ...]) -> int:
    """The --microbatch of many particles where none is given, so that memory does not grow with
    their number.

    Arguments:
        shape: (C, H, W) of an image.

    Returns:
        128 rows of 32 x 32 pixels, 8 of 128 x 128, and so on.
    """
    return max(1, min(128, 128 * 32**2 // (shape[-2] * shape[-1])))


def smc_of(
    target: Any,
    num_particles: int,
    step_size: float | None,
    num_leapfrog: int | None,
    num_moves: str | None,
    rank: int | None,
    seed: int,
) -> Ladder:
    """The options of --kernel smc.

    Arguments:
        target: the posterior.
        num_particles: draws that come back.
        step_size: where the moves' adaptation starts; None: the kernel's own.
        num_leapfrog: of the moves; None: the kernel's own.
        num_moves: such as "4" or "2,16"; None: `tempered_smc`'s own.
        rank: of the Gauss-Newton Gaussian of each temperature; None: none.
        seed: of all noise.

    Returns:
        The plan.

    Raises:
        ConfigError: a value out of range, or one that slice sampling, which moves the particles
            where there is no gradient, does not read.
    """
    from ..errors import ConfigError
    from ..sampling.defaults import moves_of, resolve_smc

    moves: Any = None
    if num_moves is not None:
        try:
            moves = tuple(int(part) for part in num_moves.split(","))
        except ValueError:
            raise ConfigError(
                f"--num-moves must be a number such as 4, or two such as 2,16; got {num_moves!r}"
            ) from None
        moves = moves[0] if len(moves) == 1 else moves
    if not target.differentiable:
        refuse(
            "smc without gradients, by slice sampling,",
            step_size=step_size,
            num_leapfrog=num_leapfrog,
        )
    kernel = moves_of(target, num_particles, rank, step_size=step_size, num_leapfrog=num_leapfrog)
    return resolve_smc(target, num_particles, kernel=kernel, num_moves=moves, seed=seed, rank=rank)
