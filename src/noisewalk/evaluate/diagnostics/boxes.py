"""Draws of one image, a box of pixels at a time: memory does not grow with the number of draws."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..._intake import plain
from ...errors import ConfigError

BLOCK = 1 << 18  # numbers of a box


class OneImage:
    """The draws (chain, draw, *x) of one image of a run's (image, chain, draw, *x), which are read
    where they are indexed."""

    def __init__(self, draws: Any, image: int) -> None:
        self._draws, self._image = draws, image
        self.shape: torch.Size = draws.shape[1:]

    def __getitem__(self, index: Any) -> Tensor:
        return self._draws[(self._image, *(index if isinstance(index, tuple) else (index,)))]


def indexed(draws: Any) -> Any:
    """Anybody's draws (chain, draw, ...) as what can be indexed; ConfigError for other shapes."""
    if isinstance(draws, OneImage):
        return draws
    x = plain("draws", draws)
    if x.ndim < 2 or x.is_complex() or 0 in (x.shape[0], *x.shape[2:]):
        found = f"{x.dtype} of shape {tuple(x.shape)}: put the chain axis first"
        raise ConfigError(
            f"draws must be a real array (chain, draw, ...) of some pixels, got {found}"
        )
    return x


def boxes(shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
    """The parts of an array of this shape, each of at most `most` entries, or of one."""
    if not shape:
        yield ()
        return
    inner = math.prod(shape[1:])
    step = max(1, most // max(1, inner))
    whole = [(slice(None),) * (len(shape) - 1)]
    for start in range(0, shape[0], step):
        for rest in whole if inner <= most else boxes(shape[1:], most):
            yield (slice(start, start + step), *rest)


def blocks(draws: Any) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
    """Every box of pixels, and its draws (chain, draw, *box)."""
    chains, length, *pixels = draws.shape
    for box in boxes(tuple(pixels), BLOCK // max(1, chains * length)):
        yield box, draws[(slice(None), slice(None), *box)]


def by_boxes(function: Callable[[Tensor], Tensor], draws: Any) -> Tensor:
    """What a function of draws (chain, draw, *box) gives, (..., *box), for all pixels (..., *x)."""
    out = None
    for box, block in blocks(draws):
        part = function(block)
        if out is None:
            lead = part.shape[: part.ndim - len(box)]
            out = part.new_empty((*lead, *draws.shape[2:]))
        place: tuple[Any, ...] = (..., *box)
        out[place] = part
    assert out is not None  # draws have a pixel
    return out
