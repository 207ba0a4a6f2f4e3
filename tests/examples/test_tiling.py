"""Tiles cover a map, and their cores partition it."""

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

import noisewalk as nw

Load = Callable[[str], ModuleType]


@pytest.mark.parametrize(
    ("shape", "side", "overlap"),
    [
        ((64, 64), 64, 32),
        ((512, 512), 64, 32),
        ((100, 71), 64, 8),
        ((65, 64), 64, 0),
        ((40, 33), 8, 7),
    ],
)
def test_cores_cover_the_map_once_and_lie_in_their_windows(
    example: Load, shape: tuple[int, int], side: int, overlap: int
) -> None:
    tiles = example("tiling").divide(shape, side, overlap)
    count = torch.zeros(shape)
    for k, tile in enumerate(tiles):
        assert tile.number == k
        count[tile.core] += 1
        for window, core, length in zip(tile.window, tile.core, shape, strict=True):
            assert (window.stop - window.start, window.start >= 0, window.stop <= length) == (
                side,
                True,
                True,
            )
            assert core.start - window.start >= overlap // 2 or core.start == 0
            assert window.stop - core.stop >= overlap // 2 or core.stop == length
    assert torch.equal(count, torch.ones(shape))


@pytest.mark.parametrize(
    ("length", "overlap", "match"),
    [
        (63, 32, "smaller than a tile"),
        (64, 64, "overlap by 0 to 63"),
        (64, -1, "overlap by 0 to 63"),
    ],
)
def test_what_cannot_be_divided(example: Load, length: int, overlap: int, match: str) -> None:
    with pytest.raises(nw.errors.ConfigError, match=match):
        example("tiling").divide((length, 128), 64, overlap)
