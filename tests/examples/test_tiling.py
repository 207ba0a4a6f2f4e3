"""Tiles cover a map, cores partition it, and the order starts where most is known."""

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


def test_order_closes_gaps_from_their_rims(example: Load) -> None:
    tiling = example("tiling")
    tiles = tiling.divide((16, 40), 16, 8)  # four tiles side by side
    hidden = torch.zeros(16, 40, dtype=torch.bool)
    hidden[:, 4:] = True  # only the left rim is known
    assert [tile.number for tile in tiling.best_known_first(tiles, hidden)] == [0, 1, 2, 3]
    assert int(hidden.sum()) == 16 * 36  # the caller's mask is left as it was


def test_tiles_without_gaps_are_left_out(example: Load) -> None:
    tiling = example("tiling")
    tiles = tiling.divide((16, 40), 16, 8)
    hidden = torch.zeros(16, 40, dtype=torch.bool)
    hidden[3, 39] = True
    assert [tile.number for tile in tiling.best_known_first(tiles, hidden)] == [3]
