"""Law: a cell's settings say all that made it, and a bench is of values that make sense."""

import pytest

from noisewalk.errors import ConfigError
from noisewalk.evaluate.paper.grid import Grid
from noisewalk.evaluate.paper.methods import METHODS

GRID = Grid(("sr", "hdr"), ("cmedit", "dps-dm", "lgd-cm", "ours1-em"), 10, 2)


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


def test_a_value_out_of_range_is_refused(make_bench):
    least = {"num_samples": 0, "num_steps": 1, "adam_steps": -1, "num_warmup": -1, "seed": -1}
    for name, value in least.items():
        with pytest.raises(ConfigError, match=name):
            make_bench(**{name: value})


def test_a_diffusion_model_is_no_prior_of_a_bench(make_bench):
    with pytest.raises(ConfigError, match="consistency"):
        make_bench(prior=make_bench().teacher)
