"""Law: a grid ends with the same cells however often it was interrupted, and counts what it did."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from noisewalk.errors import ConfigError, DivergedError
from noisewalk.evaluate.paper import bench as bench_module
from noisewalk.evaluate.paper import grid as module
from noisewalk.evaluate.paper import runs
from noisewalk.evaluate.paper.cells import path_of, read_cell
from noisewalk.evaluate.paper.grid import Grid, block_nfe, fill, pending
from noisewalk.evaluate.paper.methods import METHODS
from noisewalk.evaluate.paper.runs import draw, expected_nfe

GRID = Grid(
    ("sr", "hdr"), ("dps-dm", "lgd-cm", "cmedit", "ours1-em", "ours2-ei", "ours1-exact"), 10, 2
)


def complete(bench, grid=GRID):
    for _ in fill(bench, pending(bench, grid)):
        pass


def cells(bench, grid=GRID):
    """Every stored number but the time it took."""
    out = {}
    for task, method, images in grid.blocks(bench):
        for i in images:
            cell = read_cell(bench, task, method, i)
            with np.load(path_of(bench, task.name, method.name, i).with_suffix(".npz")) as held:
                arrays = {name: held[name].tobytes() for name in held.files}
            out[task.name, method.name, i] = {**cell, "seconds": 0.0, "cpu_seconds": 0.0}, arrays
    return out


def test_an_interrupted_grid_ends_like_an_uninterrupted_one(make_bench, tmp_path, monkeypatch):
    whole = make_bench(out=tmp_path / "whole")
    complete(whole)
    broken = replace(whole, out=tmp_path / "broken")
    calls = iter(range(100))

    def interrupted(*args):
        if next(calls) in (2, 7):
            raise KeyboardInterrupt
        return draw(*args)

    monkeypatch.setattr(module, "draw", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            complete(broken)
    path_of(broken, "sr", "dps-dm", 3).unlink()  # a block of which one cell was lost
    complete(broken)
    assert pending(broken, GRID) == []
    assert cells(broken) == cells(whole)


def test_stored_cells_are_not_computed_again(make_bench, monkeypatch):
    bench = make_bench()
    complete(bench)
    monkeypatch.setattr(module, "draw", lambda *args: pytest.fail("computed again"))
    complete(bench)


def test_more_images_keep_the_first_ones(make_bench):
    bench, small = make_bench(), replace(GRID, num_images=8)
    complete(bench, small)
    before = cells(bench, small)
    complete(bench)
    assert {key: value for key, value in cells(bench).items() if key in before} == before


@pytest.mark.parametrize("name", ["dps-dm", "mpgd-cm", "lgd-cm", "cmedit", "ours1-em", "ours2-ei"])
def test_the_expected_cost_is_the_real_one(make_bench, name):
    bench = make_bench()
    complete(bench, Grid(("sr",), (name,), 2, 2))
    cell = read_cell(bench, bench.tasks["sr"], METHODS[name], 1)
    assert cell["nfe"] == expected_nfe(bench, METHODS[name], "sr")


def test_images_have_their_own_noise(make_bench):
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


def test_other_settings_in_one_folder_are_refused(make_bench):
    bench = make_bench()
    complete(bench, Grid(("sr",), ("ours1-em",), 1, 1))
    with pytest.raises(ConfigError, match="seed"):
        pending(replace(bench, seed=1), Grid(("sr",), ("ours1-em",), 1, 1))


def test_no_adam_steps_are_other_settings_than_its_own(make_bench):
    """And so are other weights of the same name, and another midpoint."""
    bench = make_bench(adam_steps=None)
    exact, two, task = METHODS["ours1-exact"], METHODS["ours2-em"], bench.tasks["sr"]
    assert bench.settings(exact, task, 0) != make_bench(adam_steps=0).settings(exact, task, 0)
    assert make_bench().settings(two, task, 0) == make_bench().settings(two, task, 0)
    other, moved = make_bench(), make_bench()
    next(other.prior.denoiser.network.parameters()).data.add_(1e-3)
    moved.prior.card["midpoint"] = 0.7
    assert other.settings(two, task, 0)["network"] != make_bench().settings(two, task, 0)["network"]
    assert moved.settings(two, task, 0)["network"] != make_bench().settings(two, task, 0)["network"]


def test_a_cell_scored_by_other_rules_is_scored_again_from_its_samples(make_bench, monkeypatch):
    bench, grid = make_bench(), Grid(("sr", "phase"), ("ours1-em", "ours1-exact"), 2, 2)
    complete(bench, grid)
    before = cells(bench, grid)
    monkeypatch.setattr(bench_module, "RULES", -1)
    assert len(pending(bench, grid)) == 4
    monkeypatch.setattr(module, "draw", lambda *args: pytest.fail("computed again"))
    complete(bench, grid)
    assert pending(bench, grid) == []
    for key, (cell, arrays) in cells(bench, grid).items():
        assert cell["settings"]["scored"][-1] == -1
        assert arrays == before[key][1]
        same = [name for name, value in before[key][0].items() if isinstance(value, float)]
        assert {"psnr", "chi2", "coverage", "nfe"} <= set(same)
        assert [cell[name] for name in same] == pytest.approx(
            [before[key][0][name] for name in same], rel=1e-9
        )


def test_the_first_samples_of_a_larger_grid_are_those_of_a_smaller_one(
    make_bench, tmp_path, monkeypatch
):
    grid = Grid(
        ("sr", "phase"), ("dps-dm", "mpgd-cm", "lgd-cm", "cmedit", "ours1-em", "ours2-ei"), 3, 1
    )
    large = make_bench(num_samples=6, diversity=True, out=tmp_path / "large")
    drawn, shared = (
        make_bench(out=tmp_path / "drawn"),
        make_bench(out=tmp_path / "shared", samples_of=large.out),
    )
    complete(large, grid)
    complete(drawn, grid)
    monkeypatch.setattr(module, "draw", lambda *args: pytest.fail("drawn again"))
    assert sum(block_nfe(shared, *block) for block in pending(shared, grid)) == 0
    complete(shared, grid)
    assert pending(shared, grid) == []
    for key, (cell, _) in cells(shared, grid).items():
        other = cells(drawn, grid)[key][0]
        assert cell.pop("first_of") == 6
        assert cell["settings"] == other["settings"]
        assert cell["nfe"] == other["nfe"]
        values = [name for name, value in other.items() if isinstance(value, float)]
        assert [cell[name] for name in values] == pytest.approx(
            [other[name] for name in values], rel=1e-4
        )


def test_the_exact_kernel_and_what_is_missing_are_drawn_anew(make_bench, tmp_path):
    grid = Grid(("sr",), ("ours1-em", "ours1-exact"), 2, 2)
    large = make_bench(num_samples=6, out=tmp_path / "large")
    complete(large, Grid(("sr",), ("ours1-em", "ours1-exact"), 1, 1))
    bench = make_bench(samples_of=large.out)
    assert [block_nfe(bench, *block) > 0 for block in pending(bench, grid)] == [True, True]
    complete(bench, grid)
    assert [
        "first_of" in cells(bench, grid)["sr", name, i][0]
        for name in grid.methods
        for i in range(2)
    ] == [True, False, False, False]
    more = make_bench(num_samples=7, out=tmp_path / "more", samples_of=large.out)
    complete(more, Grid(("sr",), ("ours1-em",), 1, 1))
    assert "first_of" not in cells(more, Grid(("sr",), ("ours1-em",), 1, 1))["sr", "ours1-em", 0][0]


def test_samples_of_other_settings_are_refused(make_bench, tmp_path):
    grid = Grid(("sr",), ("ours1-em",), 1, 1)
    complete(make_bench(adam_steps=3, out=tmp_path / "other"), grid)
    with pytest.raises(ConfigError, match="another preset"):
        complete(make_bench(samples_of=tmp_path / "other"), grid)


def test_a_block_that_another_process_has_filled_is_not_computed(make_bench, monkeypatch):
    bench, grid = make_bench(), Grid(("sr",), ("ours1-em",), 3, 1)
    blocks = pending(bench, grid)
    complete(bench, grid)
    monkeypatch.setattr(module, "draw", lambda *args: pytest.fail("computed again"))
    for _ in fill(bench, blocks):
        pass


def test_the_settings_of_an_exact_cell_name_its_kernel(make_bench):
    bench = make_bench()
    texts = [
        bench.settings(METHODS[name], bench.tasks["sr"], 0)["preset"]
        for name in ("ours1-exact", "ours2-exact")
    ]
    assert ["8 leapfrogs" in texts[0], "5 leapfrogs" in texts[1]] == [True, True]


def test_rows_that_cannot_be_are_left_out_with_a_reason(make_bench):
    bench = make_bench(teacher=None)
    assert "teacher" in bench.missing(METHODS["dps-dm"], "sr")
    assert "N/A" in bench.missing(METHODS["cmedit"], "blur")
    assert bench.missing(METHODS["ours1-em"], "sr") == ""
    assert {m.name for _, m, _ in GRID.blocks(bench)} == set(GRID.methods) - {"dps-dm"}
    del bench.prior.card["midpoint"]
    assert "midpoint" in bench.missing(METHODS["ours2-exact"], "sr")


def test_a_diverged_block_is_a_cell_that_says_so(make_bench, monkeypatch):
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
def test_an_image_that_fails_costs_its_block_nothing(make_bench, monkeypatch, error):
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


def test_a_run_that_was_cut_short_is_no_cell(make_bench, monkeypatch):
    monkeypatch.setattr(
        runs, "sample", lambda *args, **settings: type("Run", (), {"complete": False})
    )
    bench = make_bench()
    with pytest.raises(KeyboardInterrupt):
        draw(bench, bench.tasks["sr"], METHODS["ours1-em"], torch.zeros(1, 1, 4, 4), 0)


@pytest.mark.parametrize(
    "change",
    [{"num_samples": 0}, {"num_steps": 1}, {"adam_steps": -1}, {"num_warmup": -1}, {"seed": -1}],
)
def test_a_value_out_of_range_is_refused(make_bench, change):
    with pytest.raises(ConfigError):
        make_bench(**change)


def test_a_diffusion_model_is_no_prior_of_a_bench(make_bench):
    with pytest.raises(ConfigError, match="consistency"):
        make_bench(prior=make_bench().teacher)
