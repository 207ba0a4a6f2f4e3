"""Law: a table holds means over images with their standard errors, of every row that exists, and no
more."""

import json
import re

import pytest
import torch

from noisewalk.evaluate.paper import tables
from noisewalk.evaluate.paper.estimate import duration, estimate
from noisewalk.evaluate.paper.grid import Grid, fill, pending
from noisewalk.evaluate.paper.methods import METHODS
from noisewalk.evaluate.paper.table_text import latex, markdown, marks, write
from noisewalk.evaluate.paper.tables import TABLES, collect


@pytest.fixture
def made(make_bench, monkeypatch):
    """A small table 1, its features played by pixels."""
    played = lambda x, extractor: x.flatten(1)[:, :5].float()  # noqa: E731
    monkeypatch.setattr(tables, "features", played)
    monkeypatch.setattr("noisewalk.evaluate.paper.scores.features", played)
    bench, layout = make_bench(extractor="pixels"), TABLES["table1"]
    grid = Grid(("sr", "inpaint"), layout.methods, 4, 1)
    for _ in fill(bench, pending(bench, grid)):
        pass
    return bench, grid, layout, collect(bench, grid, layout)


def test_numbers_are_means_over_images_with_standard_errors(made):
    _, _, layout, found = made
    row = found["rows"]["sr"]["dps-dm"]
    for key in ("psnr", "ssim", "chi2", "coverage"):
        values = torch.tensor([cell[key] for cell in row["images"]], dtype=torch.float64)
        assert row[key] == pytest.approx([float(values.mean()), float(values.std()) / 2])
    seconds = sorted(cell["seconds"] for cell in row["images"])
    assert row["seconds"][0] == pytest.approx((seconds[1] + seconds[2]) / 2)
    assert row["seconds"][1] is None
    assert row["nfe"][0] == 3
    assert row["fd"][0] > 0
    assert row["fd"][1] is None
    assert {*layout.columns, *layout.beside} <= set(row)


def test_every_row_is_there_and_the_exact_ones_have_fewer_images(made):
    _, _, layout, found = made
    assert tuple(found["rows"]["sr"]) == layout.methods
    assert {name: row["num_images"] for name, row in found["rows"]["sr"].items()} == {
        name: 1 if METHODS[name].family == "exact" else 4 for name in layout.methods
    }
    assert "exact kernel (1-step): default kernel, 1 chains" in markdown(found, layout)


def test_the_best_are_marked_as_in_the_paper(made):
    found = made[3]
    rows = found["rows"]["sr"]
    cm = sorted(
        (n for n in rows if METHODS[n].backbone == "cm" and rows[n]["num_images"] == 4),
        key=lambda n: -rows[n]["psnr"][0],
    )
    dm = max((n for n in rows if METHODS[n].backbone == "dm"), key=lambda n: rows[n]["psnr"][0])
    assert marks(found, "sr", "psnr", 1) == {cm[0]: "best", cm[1]: "second", dm: "dm"}
    assert marks(found, "sr", "psnr", 0) == {}
    both = sorted(
        [*cm, *(n for n in rows if METHODS[n].backbone == "dm")], key=lambda n: -rows[n]["psnr"][0]
    )
    assert marks({**found, "overall": True}, "sr", "psnr", 1) == {
        both[0]: "best",
        both[1]: "second",
    }  # as in table 3


def test_the_files_hold_the_same_table(made, tmp_path):
    _, _, layout, found = made
    text = write(found, layout, tmp_path)
    assert (tmp_path / "table.md").read_text() == text
    assert json.loads((tmp_path / "table.json").read_text()) == found
    tex = (tmp_path / "table.tex").read_text()
    body = re.findall(r"^.*\\\\$", tex, re.M)
    assert len(body) == 2 + len(layout.methods)  # two lines of heads
    assert {line.count(" & ") for line in body[1:]} == {2 * len(layout.columns)}
    assert "20\\% Inpainting" in tex
    assert "FID" not in re.sub("not FID", "", text + tex)
    widths = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert sorted(set(widths)) == sorted({2 * len(layout.columns) + 2, len(layout.beside) + 2})


def test_a_row_that_cannot_be_is_na_and_says_why(made):
    _, grid, layout, _ = made
    bench = made[0]
    from dataclasses import replace

    found = collect(replace(bench, teacher=None), grid, layout)
    assert found["rows"]["sr"]["dps-dm"] == {"missing": "tiny has no teacher"}
    text = markdown(found, layout)
    assert "DPS-DM: n/a, tiny has no teacher" in text
    assert "DPS-DM & n/a & n/a" in latex(found, layout)


def test_the_estimate_says_what_is_left(make_bench):
    bench, grid = make_bench(), Grid(("sr",), ("dps-dm", "ours1-em"), 2, 1)
    line = estimate(bench, grid, pending(bench, grid))
    assert line.startswith(
        f"4 cells to compute, 0 stored; NFE about {2 * (4 * 3 + 1 + 2 + 4)}; about "
    )
    for _ in fill(bench, pending(bench, grid)):
        pass
    assert estimate(bench, grid, pending(bench, grid)) == "all 4 cells are stored"


def test_a_cosine_is_clips_similarity_in_clips_features_alone(make_bench):
    from noisewalk.evaluate.paper.table_text import heads_of

    columns = {**TABLES["table3"].columns, **TABLES["table3"].beside}
    found = {
        "extractor": "efficientnet-lite0",
        "extractors": {},
        "lpips_net": None,
        "nominal_coverage": 0.9,
    }
    assert heads_of(found, columns)["similarity"] == "cosine similarity (efficientnet-lite0)"
    assert (
        heads_of({**found, "extractor": "clip-vit-b32"}, columns)["similarity"] == "CLIP similarity"
    )
    several = heads_of(
        {**found, "extractors": {"similarity": "clip-vit-b32", "diversity_score": "resnet50"}},
        columns,
    )
    assert [several[key] for key in ("similarity", "diversity_score", "vendi")] == [
        "CLIP similarity",
        "DS (resnet50)",
        "Vendi (efficientnet-lite0)",
    ]
    assert heads_of(found, columns)["pairwise_lpips"] == "pairwise LPIPS (not computed)"


def test_a_frechet_distance_is_fid_in_inceptions_features_alone(made):
    _, _, layout, found = made
    assert "FD (pixels)" in markdown(found, layout)
    assert "features of pixels, not FID" in markdown(found, layout)
    assert "| FID |" not in markdown(found, layout)
    text = markdown({**found, "extractor": "inception-v3"}, layout)
    assert ": FID |" in text
    assert "FID and KID: features of inception-v3; against" in text


def test_a_medians_error_shrinks_with_the_number_of_images():
    few, many = (
        tables.median_and_se(
            torch.randn(n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        )
        for n in (50, 5000)
    )
    assert many[1] == pytest.approx((torch.pi / 2 / 5000) ** 0.5, rel=0.2)  # of normal numbers
    assert few[1] > 5 * many[1]
    one = tables.median_and_se(torch.tensor([3.0]))
    assert one[0] == 3.0
    assert one[1] != one[1]


def test_durations_are_for_people():
    assert [duration(s) for s in (3.2, 600, 9000)] == ["3 s", "10 min", "2.5 h"]
