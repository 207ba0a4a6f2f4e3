"""Law: a table holds means over images with their standard errors, of every row that exists, and no
more."""

from dataclasses import replace

import pytest
import torch

from noisewalk.evaluate.paper import tables
from noisewalk.evaluate.paper.methods import METHODS
from noisewalk.evaluate.paper.table_text import latex, markdown
from noisewalk.evaluate.paper.tables import collect


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


def test_a_row_that_cannot_be_is_na_and_says_why(made):
    _, grid, layout, _ = made
    bench = made[0]
    found = collect(replace(bench, teacher=None), grid, layout)
    assert found["rows"]["sr"]["dps-dm"] == {"missing": "tiny has no teacher"}
    text = markdown(found, layout)
    assert "DPS-DM: n/a, tiny has no teacher" in text
    assert "DPS-DM & n/a & n/a" in latex(found, layout)


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
