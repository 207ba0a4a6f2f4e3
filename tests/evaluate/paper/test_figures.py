"""Law: the figures show what was stored and measured."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from noisewalk.errors import ConfigError
from noisewalk.evaluate.paper import figure2 as module
from noisewalk.evaluate.paper.figure1 import figure1
from noisewalk.evaluate.paper.figure2 import estimate2, figure2
from noisewalk.evaluate.paper.grid import Grid, fill, pending
from noisewalk.evaluate.paper.sheets import FIGURES, boxes, draw_sheet, sheets_of


def drawn(path):
    """Whether a picture holds more than its ground."""
    pixels = np.asarray(Image.open(path).convert("L"))
    return pixels.std() > 1


def test_figure1_is_of_a_real_run(tmp_path):
    numbers = figure1(tmp_path / "figure1.png", num_draws=6)
    assert drawn(tmp_path / "figure1.png")
    assert numbers["nfe"] == 1 + 50 + 6


def test_boxes_mark_the_most_and_least_certain_windows():
    std, mean = np.zeros((16, 16)), np.tile(np.arange(16.0) % 2, (1, 16, 1))
    std[:] = 0.5
    std[8:12, 8:12], std[0:4, 0:4] = 1.0, 0.1
    (top, left, side, colour), red = boxes(std, mean)
    assert (top, left, side, colour) == (0, 0, 4, "lime")
    assert red == (8, 8, 4, "red")


@pytest.mark.parametrize("name", ["figure4", "figure5", "figuresA"])
def test_sheets_are_drawn_from_stored_samples(make_bench, tmp_path, name):
    bench = make_bench()
    label, sheet = list(FIGURES[name].items())[-1]
    kept = replace(
        sheet,
        tasks=sheet.tasks[:1],
        methods=tuple(m for m in sheet.methods if "exact" not in m)[-2:],
    )
    with pytest.raises(FileNotFoundError):
        draw_sheet(bench, kept, 1, 1, tmp_path / "early.png")
    for _ in fill(bench, pending(bench, Grid(kept.tasks, kept.methods, 1, 1))):
        pass
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


def test_effective_samples_are_shared_out_over_the_run(make_bench, monkeypatch):
    """A chain that makes one effective sample in four draws has made 2 of them after 8, whatever
    its first draws look like."""
    monkeypatch.setattr(
        module, "image_diagnostics", lambda x: {"ess_bulk_median": 0.25 * x.shape[1]}
    )
    found = module.exact_curve(make_bench(), (1, 2, 40))
    last = found["nfe"][1] - found["nfe"][0]
    assert found["samples"] == [1, 2]
    assert last == 4 * 4 * 8  # draws, chains and leapfrogs


def test_figure2_measures_what_it_says_and_keeps_it(make_bench):
    bench = make_bench(num_samples=10)
    assert "NFE about" in estimate2(bench, (1, 5, 10))
    ticks = list(figure2(bench, (1, 5, 10)))
    curves = [json.loads((bench.out / "figure2" / f"{k}.json").read_text()) for k in range(3)]
    guided, paper, exact = curves
    assert guided["nfe"] == [3, 15, 30]
    assert paper["nfe"] == [1 + 2 + n for n in (1, 5, 10)]  # one call per further draw
    assert sorted(paper["seconds"]) == paper["seconds"]
    assert exact["samples"] == [n for n in (1, 5, 10) if n <= (exact["ess"] or 0)]
    assert drawn(bench.out / "figure2.png")
    assert [t.done for t in ticks] == [0, 1, 2, 3]
    before = (bench.out / "figure2" / "0.json").stat().st_mtime_ns
    list(figure2(bench, (1, 5, 10)))
    assert (bench.out / "figure2" / "0.json").stat().st_mtime_ns == before
