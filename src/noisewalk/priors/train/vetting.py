"""What training images show before a training: too few of them, copies among them, copies of images
that are held out, a wide empty frame.

Copies are exact: images whose pixels are all equal after loading (same hash). Two photographs of
one scene are not found, nor are turned copies.
"""

import hashlib
from collections.abc import Sequence

from torch import Tensor

from ...errors import ConfigError

FEW = 1000
"""Below this many different images a warning says that they are likely to be learnt by heart."""
NAMED = 3
"""Pairs that a message names."""
FRAME = 1 / 3
"""Of the area, from which on an empty frame is warned of: 28 x 28 pixels in 32 x 32 are below, 32 x
32 in 64 x 64 above it."""


def vet(
    images: Tensor,
    names: Sequence[str],
    held_out: Tensor | None = None,
    held_out_names: Sequence[str] = (),
) -> list[str]:
    """Check training images, and that none of the held-out ones is among them.

    Arguments:
        images: (N, C, H, W) uint8.
        names: N names for messages.
        held_out: (M, C, H, W) uint8 of the same size, images that must not be trained on.
        held_out_names: their M names.

    Returns:
        Warnings: few images, copies, a wide empty frame.

    Raises:
        ConfigError: fewer than two different images, or held-out images among them.
    """
    first: dict[bytes, int] = {}
    copies = []
    for i, key in enumerate(_hashes(images)):
        if (before := first.setdefault(key, i)) != i:
            copies.append(f"{names[i]} of {names[before]}")
    if held_out is not None and (found := leaks(images, held_out)):
        pairs = [f"{held_out_names[i]} is {names[j]}" for i, j in found]
        raise ConfigError(
            f"{len(found)} of the {len(held_out)} held-out images are among the training "
            f"images, take them out of one set: {_some(pairs)}"
        )
    if len(first) < 2:
        raise ConfigError(
            "a prior needs at least two different images, and thousands to be of use; got "
            f"{len(images)}, all the same"
        )
    warnings = []
    if copies:
        warnings.append(
            f"{len(copies)} of {len(images)} images are copies of another one, which then "
            f"weighs more: {_some(copies)}"
        )
    if len(first) < FEW:
        warnings.append(
            f"{len(first)} different images are few: from fewer than about {FEW} a prior tends "
            "to repeat them instead of making new ones"
        )
    rows, columns = (int(images.amax((0, 1, axis)).count_nonzero()) for axis in (3, 2))
    if rows * columns < (1.0 - FRAME) * images[0, 0].numel():
        height, width = images.shape[2:]
        warnings.append(
            f"all images are empty but for {rows}x{columns} of their {height}x{width} pixels, "
            "and so samples will be: a smaller --size fits them"
        )
    return warnings


def leaks(images: Tensor, held_out: Tensor) -> list[tuple[int, int]]:
    """Held-out images that are among the training images.

    Arguments:
        images: (N, C, H, W) uint8.
        held_out: (M, C, H, W) uint8 of the same size.

    Returns:
        Index of each such held-out image, and of the first training image that it equals.
    """
    first: dict[bytes, int] = {}
    for i, key in enumerate(_hashes(images)):
        first.setdefault(key, i)
    return [(i, first[key]) for i, key in enumerate(_hashes(held_out)) if key in first]


def _hashes(images: Tensor) -> list[bytes]:
    return [hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in images]


def _some(found: list[str]) -> str:
    return "; ".join(found[:NAMED]) + (
        f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    )
