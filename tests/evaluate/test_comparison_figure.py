"""Samplers side by side in one figure."""

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError


def test_a_row_an_entry_below_what_is_known():
    x = torch.randn(1, 3, 2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    found = nw.compare({"a": nw.Run(x), "b": nw.Run(0.1 * x)}, truth=x[:, 0, 0])
    figure = found.plot()
    shown = [axes for axes in figure.axes if axes.images]
    assert shown[0].get_title(loc="left") == "truth"
    assert [axes.get_ylabel() for axes in shown if axes.get_ylabel()] == ["a", "b"]
    hot = [axes for axes in shown if axes.get_title(loc="left") == "uncertainty"]
    assert len({axes.images[0].get_clim() for axes in hot}) == 1  # one scale for all


def test_vectors_and_crowds_are_refused():
    vectors = nw.compare({"a": nw.Run(torch.randn(1, 3, 4, 5))})
    with pytest.raises(ConfigError, match="no pictures"):
        vectors.plot()
    many = nw.compare({str(k): nw.Run(torch.zeros(1, 2, 2, 1, 2, 2)) for k in range(13)})
    with pytest.raises(ConfigError, match="12 at most"):
        many.plot()
