"""The one set of argument checks: each returns the value in its plain type or raises a ConfigError
that says what was got and what is allowed."""

import math
from numbers import Real
from operator import index
from typing import Any

from .errors import ConfigError

LARGEST = (1 << 63) - 1  # whole number that files and other programs hold
LARGEST_SEED = (1 << 56) - 1
"""Seeds are 56 bits: noise keys a slot into the rest of 64."""


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """The value as an int: Python and numpy integers and 0-d integer tensors are whole numbers."""
    found = _integer(value)
    top = LARGEST if most is None else most
    if found is None or not least <= found <= top:
        small = found is None or found < least
        allowed = f"of at least {least}" if most is None and small else f"from {least} to {top}"
        raise ConfigError(f"{name} must be a whole number {allowed}, got {value!r}")
    return found


def seed_of(value: Any, name: str = "seed") -> int:
    """The value as an int from 0 to 2^56 - 1."""
    return whole(name, value, 0, LARGEST_SEED)


def rows_of_call(value: Any) -> int:
    """The rows of one network call, from 1 to 2^31."""
    return whole("microbatch", value, 1, 1 << 31)


def real(
    name: str,
    value: Any,
    above: float = -math.inf,
    most: float = math.inf,
    least: float = -math.inf,
    below: float = math.inf,
) -> float:
    """The value as a finite float in the given range: Python and numpy numbers and 0-d tensors."""
    found = _number(value)
    inside = found is not None and above < found < below and least <= found <= most
    if found is None or not inside or not math.isfinite(found):
        bounds = [
            *([f"above {above:g}"] if above > -math.inf else []),
            *([f"of at least {least:g}"] if least > -math.inf else []),
            *([f"below {below:g}"] if below < math.inf else []),
            *([f"of at most {most:g}"] if most < math.inf else []),
        ]
        allowed = f"a finite number {' and '.join(bounds)}".strip()
        raise ConfigError(f"{name} must be {allowed}, got {value!r}")
    return found


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """The value, one of the allowed words."""
    if value not in allowed:
        raise ConfigError(f"unknown {name} {value!r}: choose one of {', '.join(allowed)}")
    return value


def _integer(value: Any) -> int | None:
    if isinstance(value, bool) or str(getattr(value, "dtype", "")).removeprefix("torch.") == "bool":
        return None
    if getattr(value, "ndim", 0):
        return None
    try:
        return index(value)  # numpy integers and 0-d integer tensors have __index__
    except (TypeError, ValueError):
        return None


def _number(value: Any) -> float | None:
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # numpy scalars, 0-d tensors
        item = value.item()
        return float(item) if isinstance(item, int | float) and item is not True else None
    return None
