"""Law: a grid ends with the same cells however often it was interrupted, and counts what it did."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from noisewalk.errors import ConfigError, DivergedError
from noisewalk.evaluate.paper import bench as bench_module
from noisewalk.evaluate.paper import grid as module
from noisewalk.evaluate.paper.grid import Grid, fill, pending
from noisewalk.evaluate.paper.methods import METHODS
from noisewalk.evaluate.paper.runs import draw
from noisewalk.evaluate.paper.table_cells import path_of, read_cell

GRID = Grid(
    ("sr", "hdr"), ("dps-dm", "lgd-cm", "cmedit", "ours1-em", "ours2-ei", "ours1-exact"), 10, 2
)


def test_an_interrupted_grid_ends_like_an_uninterrupted_one(
    make_bench, tmp_path, monkeypatch, complete, stored
):
    whole = make_bench(out=tmp_path / "whole")
    complete(whole, GRID)
    broken = replace(whole, out=tmp_path / "broken")
    calls = iter(range(100))

    def interrupted(*args):
        if next(calls) in (2, 7):
            raise KeyboardInterrupt
        return draw(*args)

    monkeypatch.setattr(module, "draw", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            complete(broken, GRID)
    path_of(broken, "sr", "dps-dm", 3).unlink()  # a block of which one cell was lost
    complete(broken, GRID)
    assert pending(broken, GRID) == []
    assert stored(broken, GRID) == stored(whole, GRID)


def test_stored_cells_are_not_computed_again(make_bench, monkeypatch, complete):
    bench = make_bench()
    complete(bench, GRID)
    monkeypatch.setattr(module, "draw", lambda *args: pytest.fail("computed again"))
    complete(bench, GRID)


def test_more_images_keep_the_first_ones(make_bench, complete, stored):
    bench, small = make_bench(), replace(GRID, num_images=8)
    complete(bench, small)
    before = stored(bench, small)
    complete(bench, GRID)
    assert {key: value for key, value in stored(bench, GRID).items() if key in before} == before


def test_images_have_their_own_noise(make_bench, complete):
    """Two equal images of one grid, in one block and in two, get other measurements and other
    samples."""
    bench = make_bench()
    bench = replace(bench, images=bench.images[:1].expand(10, -1, -1, -1).contiguous())
    grid = Grid(("sr",), ("dps-cm", "ours1-em"), 10, 1)
    complete(bench, grid)
    for method in grid.methods:
        held = [np.load(path_of(bench, "sr", method, i).with_suffix(".npz")) for i in range(10)]
        for name in ("y", "draws"):
            assert len({arrays[name].tobytes() for arrays in held}) == 10


def test_a_cell_scored_by_other_rules_is_scored_again_from_its_samples(
    make_bench, monkeypatch, complete, stored
):
    bench, grid = make_bench(), Grid(("sr", "phase"), ("ours1-em", "ours1-exact"), 2, 2)
    complete(bench, grid)
    before = stored(bench, grid)
    monkeypatch.setattr(bench_module, "RULES", -1)
    assert len(pending(bench, grid)) == 4
    monkeypatch.setattr(module, "draw", lambda *args: pytest.fail("computed again"))
    complete(bench, grid)
    assert pending(bench, grid) == []
    for key, (cell, arrays) in stored(bench, grid).items():
        assert cell["settings"]["scored"][-1] == -1
        assert arrays == before[key][1]
        same = [name for name, value in before[key][0].items() if isinstance(value, float)]
        assert {"psnr", "chi2", "coverage", "nfe"} <= set(same)
        assert [cell[name] for name in same] == pytest.approx(
            [before[key][0][name] for name in same], rel=1e-9
        )


def test_a_block_that_another_process_has_filled_is_not_computed(make_bench, monkeypatch, complete):
    bench, grid = make_bench(), Grid(("sr",), ("ours1-em",), 3, 1)
    blocks = pending(bench, grid)
    complete(bench, grid)
    monkeypatch.setattr(module, "draw", lambda *args: pytest.fail("computed again"))
    for _ in fill(bench, blocks):
        pass


def test_a_diverged_block_is_a_cell_that_says_so(make_bench, monkeypatch, complete):
    def diverge(*args):
        raise DivergedError("every chain has diverged")

    bench, grid = make_bench(), Grid(("sr",), ("ours1-em",), 1, 1)
    monkeypatch.setattr(module, "draw", diverge)
    complete(bench, grid)
    cell = json.loads(path_of(bench, "sr", "ours1-em", 0).read_text())
    assert (cell["failed"], cell["finite"], cell["psnr"]) == (
        "every chain has diverged",
        False,
        None,
    )


@pytest.mark.parametrize(
    "error",
    [
        DivergedError("lost"),
        ConfigError("was the warm start finite?"),
        torch.linalg.LinAlgError("no basis"),
    ],
    ids=repr,
)
def test_an_image_that_fails_costs_its_block_nothing(make_bench, monkeypatch, error, complete):
    def sometimes(bench, task, method, y, first):
        if first <= 1 < first + len(y):
            raise error
        return draw(bench, task, method, y, first)

    bench, grid = make_bench(), Grid(("sr",), ("ours1-exact",), 3, 3)
    monkeypatch.setattr(module, "draw", sometimes)
    complete(bench, grid)
    held = [read_cell(bench, bench.tasks["sr"], METHODS["ours1-exact"], i) for i in range(3)]
    assert [cell["finite"] for cell in held] == [True, False, True]
    assert held[1]["failed"] == str(error)
