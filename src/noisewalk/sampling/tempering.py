"""`tempered_smc`: the posterior's draws by tempered sequential Monte Carlo, as a `Run` with the log
evidence."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ConfigError
from ..kernels.hmc import HMC
from ..kernels.slice import EllipticalSlice
from ..kernels.split_hmc import SplitHMC
from ..storage.memory import MemoryStore
from ..types import Kernel, Tick
from .defaults import spec_of
from .run import Run, into_folder
from .smc import Ladder, run_smc

LEAST_SPLIT = 32
"""Particles from which on their gradients tell the measurement's directions; fewer would each be
moved by directions that are their own: a bias."""


def tempered_smc(
    target: Any,
    num_particles: int,
    num_carried: int | None = None,
    ess_fraction: float | None = None,
    kernel: Kernel | None = None,
    num_moves: int | tuple[int, int] | None = None,
    seed: int = 0,
    store: str | Path | None = None,
    progress: bool = True,
    rank: int | None = None,
) -> Run:
    """Carry particles from the prior to the posterior; finds several modes, and estimates log p(y).

    Cost in network calls: P (1 + stages x num_moves x the kernel's evaluations) x phi.nfe per
    image, for P carried particles.

    Arguments:
        target: the posterior.
        num_particles: equally weighted draws that come back, per image.
        num_carried: particles carried, at least as many; None: as many.
        ess_fraction: effective sample size kept between temperatures, in (0, 1); None: 0.5.
        kernel: an exact transition; None: `SplitHMC` of 6 leapfrogs, HMC where fewer than 32
            particles are too few to tell it the measurement's directions, or elliptical slice
            sampling where there is no gradient.
        num_moves: transitions at each temperature; a pair (least, most): the least, and then until
            the particles have forgotten where resampling put them or the most is reached, for
            posteriors that a few moves do not mix; None: 4.
        seed: of all noise.
        store: folder of a run on disk; if it holds this very run, it goes on where it stopped.
        progress: show a progress bar on a terminal, a line a minute elsewhere.
        rank: move by HMC, or the given kernel, around the Gauss-Newton Gaussian of this rank,
            computed anew at each temperature from 4 particles, for a measurement precise in more
            than a few directions; None: no such Gaussian.

    Returns:
        The run: chain axis = particles, one draw; `log_evidence` and `log_evidence_error` (image,).

    Raises:
        ConfigError: a value out of range.
        DivergedError: no particle of an image is finite.
        StoreError: the folder holds something else.
    """
    plan = resolve_smc(
        target, num_particles, num_carried, ess_fraction, kernel, num_moves, seed, rank
    )
    spec = spec_of(target, plan)
    if store is None:
        memory = MemoryStore(target.num_images, num_particles)
        _drive(target, plan, memory, progress)
        state: dict[str, Any] = memory.sampler or {}
        arrays, cost = memory.arrays(), (state["nfe"], state["seconds"])
        return Run(
            arrays,
            *cost,
            1,
            True,
            spec,
            target.y,
            target.num_observed,
            *(state[k] for k in ("log_evidence", "memory", "log_evidence_error")),
        )
    return smc_stored(target, plan, store, progress)


def smc_stored(
    target: Any,
    plan: Ladder,
    folder: str | Path,
    progress: bool = True,
    problem: Mapping[str, Any] | None = None,
    arrays: Mapping[str, Tensor] | None = None,
    resume: bool = True,
    command: str | None = None,
) -> Run:
    """Carry the particles into a folder.

    Arguments:
        target: the posterior.
        plan: from `resolve_smc`.
        folder: of the run.
        progress: show a progress bar on a terminal, a line a minute elsewhere.
        problem: what else defines the run, kept in spec.json.
        arrays: (image, ...) arrays to keep beside the draws, such as the truth.
        resume: go on with an existing run; False makes one an error.
        command: what reproduces the run, kept in spec.json.

    Returns:
        The run, read back from the folder.

    Raises:
        StoreError: the folder holds something else.
    """
    return into_folder(
        target,
        plan,
        plan.num_particles,
        folder,
        lambda store: _drive(target, plan, store, progress),
        problem,
        arrays,
        resume,
        command,
    )


def resolve_smc(
    target: Any,
    num_particles: int,
    num_carried: int | None = None,
    ess_fraction: float | None = None,
    kernel: Kernel | None = None,
    num_moves: int | tuple[int, int] | None = None,
    seed: int = 0,
    rank: int | None = None,
) -> Ladder:
    """Check the arguments of `tempered_smc` and choose what is None.

    Arguments:
        target: the posterior.
        num_particles: draws that come back, per image.
        num_carried: particles carried.
        ess_fraction: effective sample size kept between temperatures.
        kernel: an exact transition.
        num_moves: transitions at each temperature, or the least and the most.
        seed: of all noise.
        rank: of the Gauss-Newton Gaussian of each temperature, or None.

    Returns:
        The plan.

    Raises:
        ConfigError: a value out of range.
    """
    carried = num_particles if num_carried is None else num_carried
    moves = (
        4 if num_moves is None else tuple(num_moves) if isinstance(num_moves, list) else num_moves
    )  # a pair read from JSON is a list
    share = 0.5 if ess_fraction is None else ess_fraction
    fewest, most = moves if isinstance(moves, tuple) and len(moves) == 2 else (moves, moves)
    for name, value, least in (
        ("num_particles", num_particles, 2),
        ("num_carried", carried, num_particles),
        ("num_moves", fewest, 1),
    ):
        if not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} must be an integer of at least {least}, got {value!r}")
    if not isinstance(most, int) or most < fewest:
        raise ConfigError(
            "num_moves must be an integer or a pair (least, most) with most at least as "
            f"large, got {moves!r}"
        )
    if not 0 < share < 1:
        raise ConfigError(f"ess_fraction must lie in (0, 1), got {ess_fraction}")
    chosen = kernel or moves_of(target, carried, rank)
    if not getattr(chosen, "adjust", False):
        raise ConfigError(
            f"tempered SMC needs an exact kernel, got {chosen}: set adjust=True, or use HMC or "
            "EllipticalSlice"
        )
    if getattr(chosen, "needs_gradient", True) and not target.differentiable:
        raise ConfigError(
            f"{type(chosen).__name__} needs gradients, but the target is not differentiable: "
            "use EllipticalSlice"
        )
    if rank is not None and (not isinstance(rank, int) or rank < 1):
        raise ConfigError(f"rank must be a whole number of at least 1, or None, got {rank!r}")
    if rank is not None and not (hasattr(chosen, "preconditioner") and target.differentiable):
        raise ConfigError(
            "rank is for a kernel with a preconditioner on a target with gradients, such as "
            f"nw.HMC(0.1, 8), and the kernel is {chosen}"
        )
    return Ladder(num_particles, carried, share, chosen, moves, seed, rank)


def moves_of(
    target: Any,
    num_carried: int,
    rank: int | None = None,
    step_size: float | None = None,
    num_leapfrog: int | None = None,
) -> Kernel:
    """The kernel that moves the particles where none is given.

    Arguments:
        target: the posterior.
        num_carried: particles.
        rank: of the Gauss-Newton Gaussian of each temperature, or None.
        step_size: where its adaptation starts; None: 0.2, and 0.1 with a rank.
        num_leapfrog: its steps; None: 6, and 8 with a rank.

    Returns:
        `SplitHMC`, HMC, or elliptical slice sampling, which reads neither of the last two.
    """
    if not target.differentiable:
        return EllipticalSlice()
    step, count = (0.2, 6) if rank is None else (0.1, 8)
    chosen = SplitHMC if rank is None and num_carried >= LEAST_SPLIT else HMC
    return chosen(
        step if step_size is None else step_size, count if num_leapfrog is None else num_leapfrog
    )


def _drive(target: Any, plan: Ladder, sink: Any, progress: bool) -> None:
    from .._progress import show

    for _ in show(_ticks(run_smc(target, plan, sink)), progress):
        pass


def _ticks(moves: Iterator[tuple[float, int, float]]) -> Iterator[Tick]:
    for beta, nfe, rate in moves:
        yield Tick(f"beta {beta:.2g}", int(1000 * beta), 1000, nfe, rate)
