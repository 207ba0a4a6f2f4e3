"""Law: the sheets show what was stored."""

from dataclasses import replace

import numpy as np
import pytest

from noisewalk.errors import ConfigError
from noisewalk.evaluate.paper.grid import Grid
from noisewalk.evaluate.paper.image_sheets import FIGURES, boxes, draw_sheet, sheets_of


def test_boxes_mark_the_most_and_least_certain_windows():
    std, mean = np.zeros((16, 16)), np.tile(np.arange(16.0) % 2, (1, 16, 1))
    std[:] = 0.5
    std[8:12, 8:12], std[0:4, 0:4] = 1.0, 0.1
    (top, left, side, colour), red = boxes(std, mean)
    assert (top, left, side, colour) == (0, 0, 4, "lime")
    assert red == (8, 8, 4, "red")


@pytest.mark.parametrize("name", ["figure4", "figure5", "figuresA"])
def test_sheets_are_drawn_from_stored_samples(drawn, complete, make_bench, tmp_path, name):
    bench = make_bench()
    label, sheet = list(FIGURES[name].items())[-1]
    kept = replace(
        sheet,
        tasks=sheet.tasks[:1],
        methods=tuple(m for m in sheet.methods if "exact" not in m)[-2:],
    )
    with pytest.raises(FileNotFoundError):
        draw_sheet(bench, kept, 1, 1, tmp_path / "early.png")
    complete(bench, Grid(kept.tasks, kept.methods, 1, 1))
    draw_sheet(bench, kept, 1, 1, tmp_path / f"{label}.png")
    assert drawn(tmp_path / f"{label}.png")


def test_sheets_that_a_prior_cannot_make_are_left_out(make_bench, capsys):
    bench = make_bench(teacher=None)
    assert sheets_of(bench, FIGURES["figuresA"]) == FIGURES["figuresA"]
    with pytest.raises(ConfigError, match="figure4: none of the cells exists for tiny"):
        sheets_of(bench, {"figure4": replace(FIGURES["figure4"]["figure4"], methods=("dps-dm",))})
    capsys.readouterr()
    imagenet = replace(bench, prior=replace(bench.prior, name="cd_imagenet64_lpips"))
    kept = sheets_of(imagenet, FIGURES["figuresA"])
    assert list(kept) == [
        "figureA03",
        "figureA02",
        "figureA06",
        "figureA07",
        "figureA08",
        "figureA12",
        "figureA13",
        "figureA14",
    ]
    assert kept["figureA03"] == FIGURES["figuresA"]["figureA01"]
    assert capsys.readouterr().out.splitlines() == [
        f"  figureA{k} is not made: the paper has no settings (N/A)"
        for k in ("04", "05", "09", "10", "11")
    ]
