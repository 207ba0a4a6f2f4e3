"""Checks that a kernel of the user's own takes and returns what `types.Kernel` says."""

import inspect
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError
from ..types import Info, Kernel, State

TAKES = "step(self, state, target, noise, carry=None)"
RETURNS = (
    "(state, info, carry): a nw.types.State with the shapes and types of the one it was given, a "
    "nw.types.Info whose acceptance_rate (float), accepted and diverging (bool) have one entry a "
    "row, and the carry of the next transition, a tensor or None"
)


def check_kernel(kernel: Any) -> Kernel:
    """The kernel; ConfigError unless it is one and its `step` takes what a step is given."""
    if isinstance(kernel, type) or not isinstance(kernel, Kernel):
        raise ConfigError(
            "kernel must be an object of a subclass of nw.Kernel, such as nw.HMC(0.1, 8), or None, "
            f"got {kernel!r}; a kernel of your own defines {TAKES} and returns {RETURNS}"
        )
    try:
        inspect.signature(kernel.step).bind(None, None, None, None)
    except TypeError as error:
        raise ConfigError(
            f"{type(kernel).__name__}.step must be {TAKES}; its arguments differ: {error}"
        ) from error
    try:
        if kernel.step_size is not None:
            replace(kernel, step_size=kernel.step_size)  # type: ignore[type-var]
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{type(kernel).__name__} has a step_size, which a warm-up replaces: make the class a "
            f"dataclass, @dataclass(frozen=True), with step_size as a field ({error})"
        ) from error
    return kernel


def checked(kernel: Kernel, out: Any, before: State) -> tuple[State, Info, Any]:
    """What a transition gave; ConfigError unless it is what `step` must return."""
    rows = len(before.z)
    of_info = Info(torch.zeros(rows), *[torch.zeros(rows, dtype=torch.bool)] * 2)
    right = (
        isinstance(out, tuple)
        and len(out) == 3
        and isinstance(out[0], State)
        and isinstance(out[1], Info)
        and all(_like(part, old) for part, old in zip(out[0], before, strict=True))
        and all(_like(part, one) for part, one in zip(out[1][1:], of_info[1:], strict=True))
        and _like(out[1].acceptance_rate, of_info[0], any_float=True)
        and (out[2] is None or isinstance(out[2], Tensor) or type(out[2]) is dict)
    )
    if not right:
        raise ConfigError(
            f"{type(kernel).__name__}.step must return {RETURNS}; here are {rows} rows, and it "
            f"returned {_shape_of(out)}"
        )
    return out


def _like(part: Any, old: Tensor, any_float: bool = False) -> bool:
    if not isinstance(part, Tensor) or part.shape != old.shape:
        return False
    return part.is_floating_point() if any_float else part.dtype == old.dtype


def _shape_of(out: Any) -> str:
    """The types, and the shapes of what has one, in a few words."""
    if isinstance(out, State | Info):
        parts = (f"{name} {_shape_of(part)}" for name, part in out._asdict().items())
        return f"{type(out).__name__}({', '.join(parts)})"
    if isinstance(out, Tensor):
        return f"{str(out.dtype).removeprefix('torch.')} {tuple(out.shape)}"
    if isinstance(out, tuple):
        return f"({', '.join(_shape_of(part) for part in out)})"
    return type(out).__name__
