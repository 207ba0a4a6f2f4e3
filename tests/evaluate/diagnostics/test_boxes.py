"""Draws, a box of pixels at a time."""

import math

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.evaluate.diagnostics import boxes
from noisewalk.evaluate.diagnostics.boxes import OneImage, blocks, by_boxes, indexed


@pytest.mark.parametrize("shape", [(), (7,), (3, 5, 4), (1, 2, 2, 3)])
@pytest.mark.parametrize("most", [0, 1, 3, 11, 1000])
def test_boxes_hold_every_entry_once_and_no_more_than_asked(shape, most):
    seen = torch.zeros(shape)
    for box in boxes.boxes(shape, most):
        seen[box] += 1
        assert seen[box].numel() <= max(1, most)
    assert bool((seen == 1).all())


@pytest.mark.parametrize("block", [1, 40, 1 << 20])
def test_a_statistic_by_boxes_is_that_of_all_pixels(block, monkeypatch):
    monkeypatch.setattr(boxes, "BLOCK", block)
    x = torch.randn(2, 6, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    got = by_boxes(lambda part: torch.stack([part.amax((0, 1)), part.sum((0, 1))]), x)
    torch.testing.assert_close(got, torch.stack([x.amax((0, 1)), x.sum((0, 1))]))
    sizes = [part.numel() for _, part in blocks(x)]
    assert sum(sizes) == x.numel()
    assert max(sizes) <= max(block, 12)


def test_one_image_reads_what_is_indexed_and_no_more():
    class Counted:
        shape = torch.Size((3, 2, 50, 1, 8, 8))

        def __init__(self):
            self.most, self.held = 0, torch.arange(math.prod(self.shape)).reshape(self.shape)

        def __getitem__(self, index):
            found = self.held[index]
            self.most = max(self.most, found.numel())
            return found

    draws = Counted()
    one = OneImage(draws, 1)
    assert one.shape == (2, 50, 1, 8, 8)
    assert torch.equal(one[:, -1], draws.held[1, :, -1])
    assert torch.equal(one[1], draws.held[1, 1])
    draws.most = 0
    assert sum(part.numel() for _, part in blocks(one)) == 2 * 50 * 64
    assert draws.most == 2 * 50 * 64  # they fit in one box
    assert indexed(one) is one


@pytest.mark.parametrize("shape", [(5,), (0, 4, 2), (2, 4, 0)])
def test_draws_of_other_shapes_are_refused(shape):
    with pytest.raises(ConfigError, match="put the chain axis first"):
        indexed(torch.zeros(shape))
