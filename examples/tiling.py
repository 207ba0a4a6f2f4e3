"""How a map larger than a prior's images is divided into overlapping tiles."""

from itertools import pairwise
from typing import NamedTuple

from noisewalk.errors import ConfigError


class Tile(NamedTuple):
    """One tile, as slices (rows, columns) of the map."""

    number: int
    """Its place in the order of rows."""
    window: tuple[slice, slice]
    """What it covers, side x side."""
    core: tuple[slice, slice]
    """The part of the window that is nearer to its middle than to any other tile's; the cores cover
    the map once."""


def starts(length: int, side: int, overlap: int) -> list[int]:
    """Where the tiles along one axis start; the last one is moved back to end with the map and may
    overlap its neighbour by more.

    Arguments:
        length: of the map along the axis.
        side: of a tile.
        overlap: what neighbours share, 0 to side - 1.

    Returns:
        First rows or columns, ascending.

    Raises:
        ConfigError: a map smaller than a tile, or another overlap.
    """
    if not 0 <= overlap < side:
        raise ConfigError(
            f"tiles of {side} pixels can overlap by 0 to {side - 1} pixels, got {overlap}"
        )
    if length < side:
        raise ConfigError(
            f"a map of {length} pixels is smaller than a tile of {side}: take a larger part"
        )
    return [*range(0, length - side, side - overlap), length - side]


def divide(shape: tuple[int, ...], side: int, overlap: int) -> list[Tile]:
    """The tiles of a map in the order of rows.

    Arguments:
        shape: (H, W) of the map.
        side: of a tile.
        overlap: what neighbours share.

    Returns:
        The tiles; around every pixel of a core its window has overlap // 2 pixels or more, or the
        map's edge.

    Raises:
        ConfigError: a map smaller than a tile, or an overlap that tiles cannot have.
    """
    axes = []
    for length in shape:
        at = starts(length, side, overlap)
        borders = [0, *((a + b + side) // 2 for a, b in pairwise(at)), length]
        axes.append([(slice(a, a + side), slice(*borders[k : k + 2])) for k, a in enumerate(at)])
    pairs = [(row, column) for row in axes[0] for column in axes[1]]
    return [
        Tile(number, (row[0], column[0]), (row[1], column[1]))
        for number, (row, column) in enumerate(pairs)
    ]
