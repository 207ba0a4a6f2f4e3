"""The margin of a prior: 0 where windows see all they need, wide where the network looks far."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.margins import measure
from noisewalk.priors.prior import Prior


class Box(nn.Module):
    """A mean over boxes that reach `reach` pixels far."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.weight = nn.Parameter(torch.ones(1), requires_grad=False)
        self.config = {"block_out_channels": (1, 1)}

    def forward(self, h: Tensor, t: Tensor, class_labels: Tensor | None = None) -> SimpleNamespace:
        side = 2 * self.reach + 1
        return SimpleNamespace(sample=F.avg_pool2d(h, side, 1, self.reach) * side)


def prior(reach: int, kind: str = "consistency") -> Prior:
    return Prior("box", {"kind": kind}, NetworkDenoiser(Box(reach), kind, (1, 16, 16)))


@pytest.mark.parametrize(("reach", "needed"), [(0, 0), (1, 2), (2, 2), (3, 4), (6, 6)])
def test_the_needed_margin_is_the_networks_reach(reach: int, needed: int) -> None:
    found = measure(prior(reach), window=32, num_images=3)
    assert found.margins == (0, 2, 4, 6, 8, 10, 12)
    assert found.needed == needed
    assert found.std > 0
    for margin, left, inside in zip(found.margins, found.rms, found.inside, strict=True):
        assert (left > 0) == (margin < reach)
        assert (inside > 0) == (margin + 2 < reach)


def test_only_what_has_windows_has_margins() -> None:
    with pytest.raises(ConfigError, match="box is a edm, whose maps have no windows"):
        measure(prior(1, "edm"))
    with pytest.raises(ConfigError, match="multiples of 2, got 33"):
        measure(prior(1), window=33)
    with pytest.raises(ConfigError, match="windows of 4 have no middle to compare: give 6"):
        measure(prior(1), window=4)


def test_a_windowed_map_is_the_whole_one_with_a_margin_of_the_reach() -> None:
    network: Any = prior(3)
    z = nw.noise.rows(0, 2).normal((1, 40, 64), nw.noise.INIT)
    exact = network.map(shape=(40, 64))(z)
    for margin, close in ((4, True), (0, False)):
        windowed = network.map(shape=(40, 64), window=24, margin=margin)
        assert (windowed.shape, windowed.data_shape, windowed.nfe) == ((1, 40, 64),) * 2 + (1,)
        error = float((windowed(z) - exact).abs().max())
        assert (error < 1e-5) == close
