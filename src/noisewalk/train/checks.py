"""What the trainings' constructors check; each error names the value, what was got and what is allowed."""

import math

from ..errors import ConfigError
from ..priors.denoiser import NetworkDenoiser

MOST = 2**32 - 1
"""The largest whole number allowed: torch's CPU generator keeps 32 bits of a seed."""


def check_whole(name: str, value: int, lowest: int) -> None:
    """Check a count or a seed.

    Arguments:
        name: for the message.
        value: to be checked.
        lowest: the smallest allowed value.

    Raises:
        ConfigError: the value is no whole number, too small or above 2^32 - 1.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= MOST:
        raise ConfigError(f"{name} must be a whole number from {lowest} to {MOST}, got {value!r}")


def check_above(name: str, value: float, bound: float) -> None:
    """Check a real number.

    Arguments:
        name: for the message.
        value: to be checked.
        bound: what it must lie above.

    Raises:
        ConfigError: the value is no finite number above the bound.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not bound < value < math.inf:
        raise ConfigError(f"{name} must be a finite number above {bound:g}, got {value!r}")


def check_kind(name: str, denoiser: NetworkDenoiser, kind: str) -> None:
    """Check that a denoiser has the scaling that a loss is made for.

    Arguments:
        name: for the message.
        denoiser: to be checked.
        kind: what its kind must be.

    Raises:
        ConfigError: another kind.
    """
    if denoiser.kind != kind:
        raise ConfigError(f"{name} must be a denoiser of kind {kind!r}, got one of kind {denoiser.kind!r}")
