"""Law: a cell's settings say all that made it, and a bench is of values that make sense."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from noisewalk.errors import ConfigError
from noisewalk.evaluate.paper.grid import Grid, pending
from noisewalk.evaluate.paper.methods import METHODS
from noisewalk.evaluate.paper.table_cells import path_of, read_arrays, read_cell
from noisewalk.maps.per_image import Labels

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


def test_each_image_is_restored_by_networks_of_its_own_class(make_bench, complete):
    """Whatever the classes of the other images are: exactly as where all have its class."""
    grid = Grid(("sr",), ("dps-dm", "ours1-em", "ours2-exact"), 2, 2)

    def cells(folder, label):
        plain = make_bench()
        networks = {name: classed(getattr(plain, name), label) for name in ("prior", "teacher")}
        labelled = make_bench(out=folder, label=label, **networks)
        complete(labelled, grid)
        assert pending(labelled, grid) == []
        held = {}
        for task, method, images in grid.blocks(labelled):
            for i in images:
                cell = read_cell(labelled, task, method, i)
                assert cell["settings"]["label"] == label[i]
                draws = read_arrays(path_of(labelled, task.name, method.name, i))["draws"]
                held[method.name, i] = draws, cell["settings"]
        return held

    root = make_bench().out
    mixed = cells(root / "mixed", (0, 1) + (0,) * 8)
    for label in (0, 1):
        same_for_all = cells(root / str(label), (label,) * 10)
        for (method, i), (draws, settings) in same_for_all.items():
            found, said = mixed[method, i]
            assert np.array_equal(found, draws) == (said == settings) == (i == label), (method, i)


class Classed(nn.Module):
    """A network whose images are brighter by their class."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, h, t, class_labels=None):
        brighter = 0.3 * class_labels.view(-1, 1, 1, 1)
        return SimpleNamespace(sample=self.inner(h, t).sample + brighter)


def classed(made, label):
    """A prior with a class for each image."""
    changes = {"network": Classed(made.denoiser.network), "label": Labels(label)}
    return replace(made, denoiser=replace(made.denoiser, **changes))
