"""What the trainings' constructors check; each error names the value, what was got and what is
allowed."""

import math
from collections.abc import Sequence

from ...errors import ConfigError
from ..denoiser import NetworkDenoiser

GROUPS = 32
"""Groups of the network's group norms, and channels of an attention head: every width is a multiple
of it."""
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
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not bound < value < math.inf
    ):
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
        raise ConfigError(
            f"{name} must be a denoiser of kind {kind!r}, got one of kind {denoiser.kind!r}"
        )


def check_network(
    size: int, widths: Sequence[int], attention: Sequence[int], unshuffle: int
) -> None:
    """Check what a new network is made from.

    Arguments:
        size: image side.
        widths: channels of each level.
        attention: indices of the levels with self-attention.
        unshuffle: pixel-unshuffle factor.

    Raises:
        ConfigError: no level, a width that the norms cannot share out, attention on a level that is
            not there, or a side that cannot be halved so often.
    """
    if not widths:
        raise ConfigError("widths must name the channels of at least one level, such as 64,96,128")
    for width in widths:
        if (
            isinstance(width, bool)
            or not isinstance(width, int)
            or width < GROUPS
            or width % GROUPS
        ):
            raise ConfigError(
                f"widths must be multiples of {GROUPS}, such as 64,96,128, got "
                f"{','.join(map(str, widths))}"
            )
    if absent := [i for i in attention if i not in range(len(widths))]:
        raise ConfigError(
            f"attention must name levels from 0 to {len(widths) - 1}, one for each of the "
            f"widths, got {','.join(map(str, absent))}"
        )
    check_whole("size", size, 1)
    check_whole("unshuffle", unshuffle, 1)
    factor = unshuffle * 2 ** (len(widths) - 1)
    if size % factor:
        raise ConfigError(
            f"size must be a multiple of {factor} (unshuffle {unshuffle}, halved "
            f"{len(widths) - 1} times between {len(widths)} widths), got {size}: "
            "choose another size, fewer widths or a smaller unshuffle"
        )
