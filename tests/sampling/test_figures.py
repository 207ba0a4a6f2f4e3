"""Figures: every kind, what it says where there is nothing to draw, and no global state."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from picture_runs import exact

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.sampling.figures import _rank_shares


@pytest.fixture(scope="module")
def run():
    return nw.Run(*exact(images=2))


@pytest.mark.parametrize("kind", ["overview", "draws", "trace", "rank", "calibration", "pixel"])
def test_every_kind_is_a_figure_that_can_be_saved(run, kind, tmp_path):
    figure = run.plot(kind, image=1)
    figure.savefig(tmp_path / "a.png", dpi=30)
    assert figure.axes
    assert figure._repr_png_()[:4] == b"\x89PNG"


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.images]


def test_the_overview_shows_what_is_known(run):
    figure = run.plot()
    names = ["truth", "measurement", "mean", "uncertainty", "error of the mean"]
    assert [title.split(",")[0] for title in titles(figure)[:5]] == names
    assert "draw 5" in titles(figure)
    assert figure.get_suptitle().startswith(run.summary()["verdict"].capitalize())
    bare = nw.Run(run.draws[:1]).plot()
    assert titles(bare)[:2] == ["mean", "uncertainty"]


def test_curves_are_one_a_chain(run):
    assert [len(axes.lines) for axes in run.plot("trace").axes] == [4, 4, 4]
    single = nw.Run(run.draws[:1, :, :1]).plot("trace")
    assert [line.get_linestyle() for axes in single.axes for line in axes.lines] == ["None"] * 2


def test_the_ranks_of_chains_that_disagree_leave_the_band(run):
    def far(draws):
        axes = nw.Run(draws).plot("rank").axes[0]
        return max(np.abs(line.get_ydata()).max() for line in axes.lines)

    apart = run.draws[:1] + 3 * torch.arange(4.0)[None, :, None, None, None, None]
    assert far(run.draws[:1]) < far(apart)
    short = nw.Run(run.draws[:1, :, :2]).plot("rank")
    assert "need two chains" in short.axes[0].texts[0].get_text()


def test_the_pixel_is_the_most_uncertain_one_or_a_given_one(run):
    spread = run.std[0, 0]
    row, column = divmod(int(spread.argmax()), spread.shape[1])
    assert f"row {row}, column {column}:" in run.plot("pixel").axes[1].get_title(loc="left")
    assert "row 2, column 3:" in run.plot("pixel", pixel=(2, 3)).axes[1].get_title(loc="left")
    with pytest.raises(ConfigError, match="pixel"):
        run.plot("pixel", pixel=(99, 0))


def test_shares_of_ranks_sum_to_one():
    below, equal = torch.tensor([0, 3, 7]), torch.tensor([0, 2, 0])
    assert _rank_shares(below, equal, 7).sum() == pytest.approx(1.0)


def test_what_cannot_be_drawn_says_why(run):
    with pytest.raises(ConfigError, match="kind"):
        run.plot("histogram")
    with pytest.raises(ConfigError, match="truth"):
        nw.Run(run.draws).plot("calibration")
    with pytest.raises(ConfigError, match="no picture"):
        nw.Run(torch.zeros(1, 2, 3, 4)).plot()


def test_pyplot_is_not_touched():
    code = (
        "import sys, torch, noisewalk as nw; nw.Run(torch.randn(1, 2, 5, 1, 4, 4)).plot('draws');"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
