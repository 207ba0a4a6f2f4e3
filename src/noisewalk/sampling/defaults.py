"""What "auto" means: from the arguments of `sample` and `tempered_smc` to a plan."""

import warnings
from dataclasses import replace
from typing import Any

import torch

from .._checks import one_of, real, seed_of, whole
from ..errors import ConfigError
from ..gaussians.refresh import Schedule, SpectralRefresh, refresh_of
from ..kernels.contract import check_kernel
from ..kernels.hmc import HMC
from ..kernels.slice import EllipticalSlice
from ..kernels.split_hmc import SplitHMC
from ..likelihoods.base import complete
from ..types import Kernel
from .adapt import DualAveraging
from .chains import Chains
from .randomized import RandomizedStarts
from .smc import TemperedSMC
from .starts import Adam, Start

NUM_WARMUP = 120  # transitions of a long chain's warm-up
SHORT, LONG = "short_chains", "long_chains"
PLANS = {SHORT: (16, 1, 8, 16), LONG: (4, 100, NUM_WARMUP, 1)}
"""Chains an image, draws a chain, transitions of the warm-up, and from there to the first draw."""
FRICTION = 0.5
"""Of the default kernel: velocities last for about 2 radians of the reference's rotation, or until
a rejection."""
CALLS_PER_DRAW = 10
"""Network calls of a transition of the default kernel at most, for maps of one or two calls."""
LEAST_SPLIT = 32
"""Particles from which on their gradients tell the measurement's directions; fewer would each be
moved by directions that are their own: a bias."""

UNPUSHED = (
    "an operation of the operator or the map has no Jacobian-vector product: the default kernel "
    "takes SpectralRefresh(), which needs none, in place of Refresh()"
)
UNPERTURBED = (
    "this likelihood has no method perturb(y, mean, noise, observed=None): chains start by Adam, "
    "farther from the posterior than randomised starts"
)


def leapfrogs(nfe: int) -> int:
    """Leapfrog steps of the default kernel: 8, or 5 where the map takes two calls; 8 again for maps
    of more, where a transition cannot be both cheap and long."""
    return CALLS_PER_DRAW // 2 if nfe == 2 else 8


def default_kernel(target: Any) -> Kernel:
    """HMC that keeps its velocities; elliptical slice sampling where there are no gradients."""
    if not target.differentiable:
        return EllipticalSlice()
    return HMC(0.1, leapfrogs(target.phi.nfe), friction=FRICTION)


def adaptation_of(kernel: Kernel) -> DualAveraging | None:
    """How a warm-up adapts the kernel's step; None where it has none."""
    if kernel.step_size is None:
        return None
    return DualAveraging(kernel.target_accept, largest=kernel.largest_step)


def resolve(
    target: Any,
    kernel: Kernel | None = None,
    num_draws: int | str = "auto",
    num_chains: int | str = "auto",
    num_warmup: int | str = "auto",
    thin: int | str = "auto",
    warm_start: Start | str | None = "auto",
    adapt: DualAveraging | str | None = "auto",
    seed: int = 0,
    refresh: Schedule | str | None = "auto",
    plan: str = "auto",
) -> Chains:
    """The plan of chains: many short ones, or a few long ones where a kernel is given.

    The default kernel and a given exact one are warmed up, and their step is adapted; an unadjusted
    one runs as given. The default kernel and a given HMC also have their preconditioner fitted,
    unless it comes with one or its step is not adapted. Explicit arguments win.
    """
    one_of("plan", plan, ("auto", *PLANS))
    start = _start(warm_start, target)
    if plan == "auto":  # short chains are right from randomised starts alone
        plan = SHORT if kernel is None and isinstance(start, RandomizedStarts) else LONG
    usual_chains, usual_draws, usual_warmup, first = PLANS[plan]
    draws = usual_draws if num_draws == "auto" else whole("num_draws", num_draws)
    chosen = default_kernel(target) if kernel is None else check_kernel(kernel)
    _check_fit(chosen, target)
    given_warmup = None if num_warmup == "auto" else whole("num_warmup", num_warmup, 0)
    tuned = chosen.exact and (kernel is None or given_warmup != 0)
    adaptation = _adaptation(adapt, chosen, tuned)
    renewed = _refresh(refresh, chosen, target, tuned and adaptation is not None, plan)
    long = tuned or renewed is not None or adaptation is not None
    warmup = (usual_warmup if long else 0) if given_warmup is None else given_warmup
    if warmup == 0 and (adaptation is not None or renewed is not None):
        what = "adapt" if adaptation is not None else "refresh"
        off = "adapt=None and refresh=None" if kernel is None else f"{what}=None"
        raise ConfigError(
            f"{what} needs a warm-up: give {usual_warmup} transitions or so (--num-warmup, or "
            f"num_warmup in Python); in Python, {off} goes without"
        )
    return Chains(
        chosen,
        draws,
        usual_chains if num_chains == "auto" else whole("num_chains", num_chains),
        warmup,
        1 if thin == "auto" else whole("thin", thin),
        start,
        adaptation,
        seed_of(seed),
        renewed,
        first - 1 if thin == "auto" else 0,
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
) -> TemperedSMC:
    """The plan of tempered SMC."""
    particles = whole("num_particles", num_particles, 2)
    carried = particles if num_carried is None else whole("num_carried", num_carried, particles)
    share = real("ess_fraction", 0.5 if ess_fraction is None else ess_fraction, above=0, below=1)
    rank = None if rank is None else whole("rank", rank)
    chosen = moves_of(target, carried, rank) if kernel is None else check_kernel(kernel)
    if not chosen.exact:
        raise ConfigError(
            f"tempered SMC needs an exact kernel, got {chosen}: set adjust=True, or use HMC or "
            "EllipticalSlice"
        )
    _check_fit(chosen, target)
    if rank is not None and not (chosen.takes_preconditioner and target.differentiable):
        raise ConfigError(
            "rank is for a kernel with a preconditioner on a target with gradients, such as "
            f"nw.HMC(0.1, 8), and the kernel is {chosen}"
        )
    return TemperedSMC(particles, carried, share, chosen, _moves(num_moves), seed_of(seed), rank)


def moves_of(target: Any, num_carried: int, rank: int | None = None, **changes: Any) -> Kernel:
    """The kernel that moves the particles where none is given, with fields that are not None
    replaced; elliptical slice sampling reads none of them."""
    if not target.differentiable:
        return EllipticalSlice()
    usual = HMC(0.2, 6) if rank is None else HMC(0.1, 8)
    split = rank is None and num_carried >= LEAST_SPLIT
    chosen = SplitHMC(usual.step_size, usual.num_leapfrog) if split else usual
    return replace(chosen, **{key: value for key, value in changes.items() if value is not None})


def _check_fit(kernel: Kernel, target: Any) -> None:
    """ConfigError where the kernel asks for what the target does not have."""
    if kernel.needs_gradient and not target.differentiable:
        raise ConfigError(
            f"{type(kernel).__name__} needs gradients, but the target is not differentiable: use "
            "EllipticalSlice"
        )
    step = torch.as_tensor(1.0 if kernel.step_size is None else kernel.step_size)
    if step.numel() not in (1, target.num_images):
        raise ConfigError(
            f"step_size must be one number or one per image ({target.num_images}), got "
            f"{step.numel()} numbers"
        )
    given = kernel.preconditioner
    if given is not None and len(given.mean) not in (1, target.num_images):
        raise ConfigError(
            f"the preconditioner is of {len(given.mean)} images, the target has "
            f"{target.num_images}: compute it from this target"
        )


def _adaptation(
    adapt: DualAveraging | str | None, kernel: Kernel, tuned: bool
) -> DualAveraging | None:
    if isinstance(adapt, str) and adapt == "auto":
        return adaptation_of(kernel) if tuned else None
    if adapt is not None and not isinstance(adapt, DualAveraging):
        raise ConfigError(f"adapt must be nw.DualAveraging(...), 'auto' or None, got {adapt!r}")
    if adapt is not None and kernel.step_size is None:
        raise ConfigError(f"{kernel} has no step size to adapt: leave adapt out")
    return adapt


def _refresh(
    refresh: Schedule | str | None, kernel: Kernel, target: Any, tuned: bool, plan: str
) -> Schedule | None:
    if isinstance(refresh, str) and refresh == "auto":
        fits = tuned and kernel.fits_preconditioner and kernel.preconditioner is None
        fits = fits and complete(target.likelihood).is_curved
        of_plan: dict[str, Any] = {"at": (0.0,), "num_rows": 2} if plan == SHORT else {}
        if not fits:
            return None
        chosen = refresh_of(tuple(target.shape), **of_plan)
        if chosen.pushes and getattr(target, "jacobian", "") == "none":
            warnings.warn(UNPUSHED, stacklevel=4)
            return SpectralRefresh(**of_plan)
        return chosen
    if refresh is None:
        return None
    if not isinstance(refresh, Schedule):
        raise ConfigError(
            "refresh must be nw.Refresh(...), nw.SpectralRefresh(...), 'auto' or None, got "
            f"{refresh!r}"
        )
    if not kernel.takes_preconditioner:
        raise ConfigError(
            f"{kernel} takes no preconditioner to refresh: use HMC, EllipticalSlice or "
            "Langevin(..., scheme='ei')"
        )
    if not target.differentiable:
        raise ConfigError(
            "refresh computes a Gauss-Newton Gaussian from gradients, but the target is not "
            "differentiable: leave it out"
        )
    return refresh


def _start(warm_start: Start | str | None, target: Any) -> Start | None:
    perturbs = target.differentiable and getattr(target, "perturbs", False)
    if isinstance(warm_start, str) and warm_start == "auto":
        if target.differentiable and not perturbs:
            warnings.warn(UNPERTURBED, stacklevel=3)
        usual: Start = RandomizedStarts() if perturbs else Adam()
        return _start(usual, target) if target.differentiable else None
    if warm_start is None:
        return None
    if not isinstance(warm_start, Start):
        allowed = "nw.RandomizedStarts(), nw.Adam(...), 'auto' or None"
        raise ConfigError(f"warm_start must be {allowed}, got {warm_start!r}")
    found = warm_start.resolved(target)
    if found.num_steps and not target.differentiable:
        raise ConfigError(
            f"{type(found).__name__} needs gradients, but the target is not differentiable: set "
            "warm_start=None"
        )
    return found


def _moves(num_moves: Any) -> int | tuple[int, int]:
    """Transitions at a temperature: a number, or the least and the most."""
    if num_moves is None:
        return 4
    if not isinstance(num_moves, list | tuple):
        return whole("num_moves", num_moves)
    if len(num_moves) != 2:
        raise ConfigError(f"num_moves must be a number or a pair (least, most), got {num_moves!r}")
    least = whole("num_moves' least", num_moves[0])
    return least, whole("num_moves' most", num_moves[1], least)
