"""A run as ArviZ sees it."""

import sys

import pytest
import torch
from affine_runs import KERNEL, settings, target

import noisewalk as nw
from noisewalk.errors import MissingExtraError


def test_the_tree_holds_the_runs_own_numbers_with_the_chains_first() -> None:
    pytest.importorskip("arviz_base")
    run = nw.sample(target(), KERNEL, **settings())
    tree = run.to_arviz()
    assert tree["posterior"]["x"].dims == ("chain", "draw", "image", "x_0")
    x = torch.from_numpy(tree["posterior"]["x"].values)
    assert torch.equal(x, run.draws[...].permute(1, 2, 0, 3))
    lp = torch.from_numpy(tree["sample_stats"]["lp"].values)
    assert torch.equal(lp, run.lp.permute(1, 2, 0))
    assert tree["sample_stats"]["diverging"].shape == (3, 6, 2)
    assert torch.equal(torch.from_numpy(tree["observed_data"]["y"].values), run.y)


def test_without_arviz_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arviz_base", None)
    with pytest.raises(MissingExtraError, match=r"arviz-base.*noisewalk\[arviz\]"):
        nw.Run({"x": torch.zeros(1, 2, 4, 3)}, nfe=0, seconds=0.0).to_arviz()
