"""What is wrong with training images: too few, copies, copies of held-out ones, a wide empty frame.

Copies are exact: images whose pixels are all equal after loading. Two photographs of one scene and
turned copies are not found.
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain

from torch import Tensor

from ...errors import ConfigError
from ..mismatched_keys import listed

FEW = 1000
FRAME = 1 / 3  # least empty share that is warned of; 28 x 28 in 32 x 32 are below it


def check_images(
    images: Tensor,
    names: Sequence[str],
    held_out: Tensor | None = None,
    held_out_names: Sequence[str] = (),
) -> list[str]:
    """Warnings about uint8 training images; unusable ones and leaks are refused."""
    first = _first_of_each(images)
    if held_out is not None and (found := leaks(images, held_out)):
        pairs = [f"{held_out_names[i]} is {names[j]}" for i, j in found]
        shared = (
            f"{len(found)} of the {len(held_out)} held-out images are among the training images"
        )
        raise ConfigError(f"{shared}, take them out of one set: {listed(pairs, most=3)}")
    different = len(set(first))
    if different < 2:
        needs = "a prior needs at least two different images, and thousands to be of use"
        raise ConfigError(f"{needs}; got {len(images)}, all the same")
    warnings = []
    if copies := [f"{names[i]} of {names[j]}" for i, j in enumerate(first) if j != i]:
        warnings.append(
            f"{len(copies)} of {len(images)} images are copies of another one, which then weighs "
            f"more: {listed(copies, most=3)}"
        )
    if different < FEW:
        warnings.append(
            f"{different} different images are few: from fewer than about {FEW} a prior tends to "
            "repeat them instead of making new ones"
        )
    rows, columns = (int(images.amax((0, 1, axis)).count_nonzero()) for axis in (3, 2))
    height, width = images.shape[2:]
    if rows * columns < (1.0 - FRAME) * height * width:
        warnings.append(
            f"all images are empty but for {rows}x{columns} of their {height}x{width} pixels, and "
            "so samples will be: a smaller --size fits them"
        )
    return warnings


def leaks(images: Tensor, held_out: Tensor) -> list[tuple[int, int]]:
    """The index of each held-out image among the training images, with that of its equal."""
    first = _first_of_each(chain(images, held_out))[len(images) :]
    return [(i, j) for i, j in enumerate(first) if j < len(images)]


def _first_of_each(images: Iterable[Tensor]) -> list[int]:
    """For each image the index of the first one that it equals."""
    first: dict[bytes, int] = {}
    keys = (hashlib.blake2b(x.numpy().tobytes(), digest_size=16).digest() for x in images)
    return [first.setdefault(key, i) for i, key in enumerate(keys)]
