"""A run as ArviZ sees it."""

import sys
import warnings

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
    assert tree["posterior"]["x"].attrs["units"] == "1"
    assert tree["sample_stats"]["lp"].attrs["units"] == "nat"
    x = torch.from_numpy(tree["posterior"]["x"].values)
    assert torch.equal(x, run.draws[...].permute(1, 2, 0, 3))
    lp = torch.from_numpy(tree["sample_stats"]["lp"].values)
    assert torch.equal(lp, run.lp.permute(1, 2, 0))
    assert tree["sample_stats"]["diverging"].shape == (3, 6, 2)
    assert torch.equal(torch.from_numpy(tree["observed_data"]["y"].values), run.y)


def test_many_chains_of_one_draw_are_no_reason_to_warn() -> None:
    pytest.importorskip("arviz_base")
    run = nw.Run({"x": torch.zeros(1, 12, 1, 2), "z": torch.zeros(1, 12, 1, 2)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run.to_arviz()["posterior"]["x"].shape == (12, 1, 1, 2)


def test_the_axes_of_images_are_named() -> None:
    pytest.importorskip("arviz_base")
    y = torch.zeros(1, 1, 2, 3)
    tree = nw.Run({"x": torch.zeros(1, 2, 4, 1, 2, 3)}, y=y).to_arviz()
    assert tree["posterior"]["x"].dims[2:] == ("image", "x_band", "x_row", "x_column")
    assert tree["observed_data"]["y"].dims == ("image", "y_band", "y_row", "y_column")


def test_arviz_plots_opens_the_tree_without_a_warning() -> None:
    plots = pytest.importorskip("arviz_plots")  # its version 0.8 needs a matplotlib before 3.11
    noise = torch.Generator().manual_seed(0)
    for shape in ((1, 4, 20, 1, 1, 2), (1, 12, 1, 1, 1, 2)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = nw.Run(torch.randn(shape, generator=noise)).to_arviz()
            plots.plot_forest(tree, backend="matplotlib")
            if shape[2] > 1:
                for name in ("plot_trace", "plot_rank", "plot_ess", "plot_autocorr"):
                    getattr(plots, name)(tree, backend="none")


def test_without_arviz_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arviz_base", None)
    with pytest.raises(MissingExtraError, match=r"arviz-base.*noisewalk\[arviz\]"):
        nw.Run({"x": torch.zeros(1, 2, 4, 3)}, nfe=0, seconds=0.0).to_arviz()


def test_half_precision_is_no_reason_to_fail() -> None:
    pytest.importorskip("arviz_base")
    x = torch.randn(1, 2, 6, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = torch.from_numpy(nw.Run(x).to_arviz()["posterior"]["x"].values)
    assert torch.equal(found, x.float().permute(1, 2, 0, 3))
