"""From the arguments of `sample` to a plan with nothing left on "auto", and the run's
specification."""

import math
from typing import Any

import torch

from .._repr import describe
from ..errors import ConfigError
from ..gaussians.low_rank import Refresh, Schedule
from ..kernels.hmc import HMC, quarter_turn
from ..kernels.slice import EllipticalSlice
from ..types import Kernel
from .adapt import DualAveraging
from .chains import Plan
from .starts import Adam

DEFAULT_WARMUP = 120
"""Transitions of the default kernel's warm-up."""


FRICTION = 0.5
"""Of the default kernel: velocities last for about 2 radians of the reference's rotation, or until
a rejection."""


CALLS_PER_DRAW = 10
"""Network calls of a transition of the default kernel at most, for maps of one or two calls."""


def leapfrogs(nfe: int) -> int:
    """Leapfrog steps of the default kernel.

    Arguments:
        nfe: network calls of the map.

    Returns:
        8, or 5 where the map takes two calls; 8 again for maps of more, where a transition cannot
        be both cheap and long.
    """
    return CALLS_PER_DRAW // 2 if nfe == 2 else 8


def default_kernel(target: Any) -> Kernel:
    """What `sample` uses without a kernel, its step and its preconditioner meant to be adapted.

    Arguments:
        target: the posterior.

    Returns:
        HMC around the Gauss-Newton Gaussian, its velocities kept from transition to transition;
        elliptical slice sampling where there are no gradients.
    """
    if not getattr(target, "differentiable", True):
        return EllipticalSlice()
    return HMC(0.1, leapfrogs(getattr(getattr(target, "phi", None), "nfe", 1)), friction=FRICTION)


def adaptation_of(kernel: Kernel) -> tuple[DualAveraging | None, Refresh | None]:
    """What an adapted run does with a kernel during its warm-up.

    Arguments:
        kernel: a transition.

    Returns:
        The adaptation of its step and the refresh of its preconditioner, each None where the kernel
        has neither.
    """
    if isinstance(kernel, HMC):
        target = (
            0.9 if math.isfinite(kernel.friction) else 0.8
        )  # a rejection turns back a kept velocity
        return DualAveraging(
            target,
            largest=quarter_turn(kernel.num_leapfrog)
            if kernel.integrator == "gaussian"
            else math.inf,
        ), Refresh()
    return DualAveraging() if hasattr(kernel, "step_size") else None, None


def resolve(
    target: Any,
    kernel: Kernel | None,
    num_draws: int,
    num_chains: int,
    num_warmup: int | str,
    thin: int,
    warm_start: Adam | str | None,
    adapt: DualAveraging | str | None,
    seed: int,
    adapted: bool = False,
    refresh: Schedule | str | None = "auto",
) -> Plan:
    """Check the arguments of `sample` and settle what is on "auto".

    Arguments:
        target: the posterior.
        kernel: a transition or None.
        num_draws: draws kept per chain.
        num_chains: chains per image.
        num_warmup: transitions discarded first, or "auto".
        thin: transitions per kept draw.
        warm_start: Adam's settings, "auto" or None.
        adapt: adaptation, "auto" or None.
        seed: of all noise.
        adapted: give a kernel the adaptation, the preconditioner and the warm-up that the default
            one gets on "auto".
        refresh: when the warm-up computes the preconditioner; "auto": for the default kernel, or an
            adapted HMC.

    Returns:
        The plan.

    Raises:
        ConfigError: a value out of range.
    """
    for name, value, least in (
        ("num_draws", num_draws, 1),
        ("num_chains", num_chains, 1),
        ("thin", thin, 1),
    ):
        if not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} must be an integer of at least {least}, got {value!r}")
    if not isinstance(seed, int) or not 0 <= seed < 1 << 56:
        raise ConfigError(f"seed must be a whole number from 0 to 2^56 - 1, got {seed!r}")
    for name, given, kind in (("warm_start", warm_start, Adam), ("adapt", adapt, DualAveraging)):
        if given is not None and given != "auto" and not isinstance(given, kind):
            raise ConfigError(
                f"{name} must be nw.{kind.__name__}(...), 'auto' or None, got {given!r}"
            )
    if kernel is not None and (isinstance(kernel, type) or not hasattr(kernel, "step")):
        raise ConfigError(
            "kernel must be an object with a step method, such as nw.HMC(0.1, 8), or None, "
            f"got {kernel!r}"
        )
    if num_warmup != "auto" and (not isinstance(num_warmup, int) or num_warmup < 0):
        raise ConfigError(
            f"num_warmup must be 'auto' or an integer of at least 0, got {num_warmup!r}"
        )
    if (
        kernel is not None
        and getattr(kernel, "needs_gradient", True)
        and not getattr(target, "differentiable", True)
    ):
        raise ConfigError(
            f"{type(kernel).__name__} needs gradients, but the target is not differentiable"
        )
    step = torch.as_tensor(getattr(kernel, "step_size", 1.0))
    if step.numel() not in (1, target.num_images):
        raise ConfigError(
            f"step_size must be one number or one per image ({target.num_images}), got "
            f"{step.numel()} numbers"
        )
    given = getattr(kernel, "preconditioner", None)
    if given is not None and len(given.mean) not in (1, target.num_images):
        raise ConfigError(
            f"the preconditioner is of {len(given.mean)} images, the target has "
            f"{target.num_images}: compute it from this target"
        )
    chosen = default_kernel(target) if kernel is None else kernel
    usual, usual_refresh = adaptation_of(chosen) if kernel is None or adapted else (None, None)
    adaptation: DualAveraging | None = usual if adapt == "auto" else adapt  # type: ignore[assignment]
    if adaptation is not None and not hasattr(chosen, "step_size"):
        raise ConfigError(f"{chosen} has no step size to adapt: leave adapt out")
    renewed = usual_refresh if refresh == "auto" else _checked(refresh, target, chosen)
    long = kernel is None or adapted or renewed is not None
    warmup = (DEFAULT_WARMUP if long else 0) if num_warmup == "auto" else int(num_warmup)
    if adaptation is not None and warmup == 0:
        raise ConfigError(
            "adapt needs a warm-up to adapt in: set num_warmup to a hundred transitions or more"
        )
    differentiable = getattr(target, "differentiable", True)
    if isinstance(warm_start, Adam) and warm_start.num_steps and not differentiable:
        raise ConfigError(
            "Adam needs gradients, but the target is not differentiable: set warm_start=None"
        )
    start: Adam | None = (
        (Adam() if differentiable else None) if warm_start == "auto" else warm_start
    )  # type: ignore[assignment]
    if refresh != "auto" and renewed is not None and warmup == 0:
        raise ConfigError(
            "refresh needs a warm-up: set num_warmup to a hundred transitions or more"
        )
    return Plan(chosen, num_draws, num_chains, warmup, thin, start, adaptation, seed, renewed)


def _checked(refresh: Any, target: Any, kernel: Any) -> Schedule | None:
    """The refresh; ConfigError where the kernel or the target cannot have one."""
    if refresh is None:
        return None
    if not isinstance(refresh, Schedule):
        raise ConfigError(
            "refresh must be nw.Refresh(...), nw.SpectralRefresh(...), 'auto' or None, got "
            f"{refresh!r}"
        )
    if not hasattr(kernel, "preconditioner") or getattr(kernel, "scheme", "ei") == "em":
        raise ConfigError(
            f"{kernel} takes no preconditioner to refresh: use HMC, EllipticalSlice or "
            "Langevin(..., scheme='ei')"
        )
    if not getattr(target, "differentiable", True):
        raise ConfigError(
            "refresh computes a Gauss-Newton Gaussian from gradients, but the target is not "
            "differentiable: leave it out"
        )
    return refresh


def spec_of(target: Any, plan: Any) -> dict[str, Any]:
    """What a run is, as text and numbers: two runs of one specification have equal draws.

    Arguments:
        target: the posterior.
        plan: what the loop does.

    Returns:
        JSON-ready dict.
    """
    return {
        "target": repr(target),
        "microbatch": target.microbatch,
        "dtype": str(target.y.dtype),
        "device": str(target.y.device),
        "num_threads": torch.get_num_threads(),
        **{k: v if isinstance(v, int) else describe(v) for k, v in vars(plan).items()},
    }
