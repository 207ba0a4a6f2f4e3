"""What a kernel of one's own must keep: checked once, and said in one sentence."""

import inspect
from typing import Any

from ..errors import ConfigError
from ..types import Info, Kernel, State

TAKES = "step(self, state, target, noise, carry=None)"
RETURNS = (
    "(state, info, carry): a nw.types.State of as many rows, a nw.types.Info whose "
    "acceptance_rate, accepted and diverging have one entry a row, and what the next transition "
    "gets as its carry (None: nothing)"
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
            f"{type(kernel).__name__}.step must take {TAKES}, and does not ({error})"
        ) from error
    return kernel


def checked(kernel: Kernel, out: Any, before: State) -> tuple[State, Info, Any]:
    """What a transition gave; ConfigError unless it is what `step` must return."""
    rows = len(before.z)
    right = (
        isinstance(out, tuple)
        and len(out) == 3
        and isinstance(out[0], State)
        and isinstance(out[1], Info)
        and [p.shape for p in out[0]] == [p.shape for p in before]
        and all(part.shape == (rows,) for part in out[1])
    )
    if not right:
        raise ConfigError(
            f"{type(kernel).__name__}.step must return {RETURNS}; here are {rows} rows, and it "
            f"returned {_shape_of(out)}"
        )
    return out


def _shape_of(out: Any) -> str:
    """The types, and the shapes of what has one, in a few words."""
    if isinstance(out, State | Info):
        shapes = {name: tuple(getattr(part, "shape", ())) for name, part in out._asdict().items()}
        return f"{type(out).__name__}{shapes}"
    if isinstance(out, tuple):
        return f"({', '.join(_shape_of(part) for part in out)})"
    return type(out).__name__
