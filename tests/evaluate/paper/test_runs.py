"""Law: a run costs what was expected."""

import pytest
import torch

from noisewalk.evaluate.paper import runs
from noisewalk.evaluate.paper.grid import Grid
from noisewalk.evaluate.paper.methods import METHODS
from noisewalk.evaluate.paper.runs import draw, expected_nfe
from noisewalk.evaluate.paper.table_cells import read_cell


def test_the_expected_cost_is_the_real_one(make_bench, complete):
    bench = make_bench()
    for name in ("dps-dm", "mpgd-cm", "lgd-cm", "cmedit", "ours1-em", "ours2-ei"):
        complete(bench, Grid(("sr",), (name,), 2, 2))
        cell = read_cell(bench, bench.tasks["sr"], METHODS[name], 1)
        assert cell["nfe"] == expected_nfe(bench, METHODS[name], "sr")


def test_a_run_that_was_cut_short_is_no_cell(make_bench, monkeypatch):
    monkeypatch.setattr(
        runs, "sample", lambda *args, **settings: type("Run", (), {"complete": False})
    )
    bench = make_bench()
    with pytest.raises(KeyboardInterrupt):
        draw(bench, bench.tasks["sr"], METHODS["ours1-em"], torch.zeros(1, 1, 4, 4), 0)
