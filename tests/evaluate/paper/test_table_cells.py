"""Law: cells of other settings are refused, and samples that are there are not drawn again."""

from dataclasses import replace

import pytest

from noisewalk.errors import ConfigError
from noisewalk.evaluate.paper import grid as module
from noisewalk.evaluate.paper.grid import Grid, block_nfe, pending


def test_other_settings_in_one_folder_are_refused(make_bench, complete):
    bench = make_bench()
    complete(bench, Grid(("sr",), ("ours1-em",), 1, 1))
    with pytest.raises(ConfigError, match="seed"):
        pending(replace(bench, seed=1), Grid(("sr",), ("ours1-em",), 1, 1))


def test_the_first_samples_of_a_larger_grid_are_those_of_a_smaller_one(
    make_bench, tmp_path, monkeypatch, complete, stored
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
    for key, (cell, _) in stored(shared, grid).items():
        other = stored(drawn, grid)[key][0]
        assert cell.pop("first_of") == 6
        assert cell["settings"] == other["settings"]
        assert cell["nfe"] == other["nfe"]
        values = [name for name, value in other.items() if isinstance(value, float)]
        assert [cell[name] for name in values] == pytest.approx(
            [other[name] for name in values], rel=1e-4
        )


def test_the_exact_kernel_and_what_is_missing_are_drawn_anew(
    make_bench, tmp_path, complete, stored
):
    grid = Grid(("sr",), ("ours1-em", "ours1-exact"), 2, 2)
    large = make_bench(num_samples=6, out=tmp_path / "large")
    complete(large, Grid(("sr",), ("ours1-em", "ours1-exact"), 1, 1))
    bench = make_bench(samples_of=large.out)
    assert [block_nfe(bench, *block) > 0 for block in pending(bench, grid)] == [True, True]
    complete(bench, grid)
    assert [
        "first_of" in stored(bench, grid)["sr", name, i][0]
        for name in grid.methods
        for i in range(2)
    ] == [True, False, False, False]
    more = make_bench(num_samples=7, out=tmp_path / "more", samples_of=large.out)
    complete(more, Grid(("sr",), ("ours1-em",), 1, 1))
    assert (
        "first_of" not in stored(more, Grid(("sr",), ("ours1-em",), 1, 1))["sr", "ours1-em", 0][0]
    )


def test_samples_of_other_settings_are_refused(make_bench, tmp_path, complete):
    grid = Grid(("sr",), ("ours1-em",), 1, 1)
    complete(make_bench(adam_steps=3, out=tmp_path / "other"), grid)
    with pytest.raises(ConfigError, match="another preset"):
        complete(make_bench(samples_of=tmp_path / "other"), grid)
