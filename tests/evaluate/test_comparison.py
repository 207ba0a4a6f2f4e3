"""The table: marks, texts, pandas, HTML."""

import sys

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import MissingExtraError
from noisewalk.evaluate.cells import Cell
from noisewalk.evaluate.comparison import COLUMNS

SHAPE = (1, 12, 12)


@pytest.fixture(scope="module")
def found():
    """A good sampler and one that is off and narrow, of two images."""
    noise = torch.Generator().manual_seed(0)
    truth = 0.3 * torch.randn(2, *SHAPE, generator=noise)
    near = truth[:, None, None] + 0.3 * torch.randn(2, 4, 8, *SHAPE, generator=noise)
    good = near + 0.3 * torch.randn(2, 1, 1, *SHAPE, generator=noise) * 0.3
    off = truth[:, None, None] * 0 + 0.7 + 0.01 * torch.randn(2, 4, 8, *SHAPE, generator=noise)
    runs = {"good": nw.Run(good, nfe=1000, seconds=1.0), "<off>|": nw.Run(off, nfe=2000)}
    return nw.compare(runs, truth=truth)


def test_the_best_is_marked_and_equals_are_not(found):
    for key in ("psnr", "ssim", "energy_score", "coverage", "nfe"):
        assert found.best(key) == {"good"}, key
    assert found.best("verdict") == found.best("seconds") == set()  # words, and one entry alone
    same = nw.compare(dict.fromkeys("ab", found.runs["good"]))
    assert same.best("psnr") == set()


def test_what_is_within_two_standard_errors_of_the_best_shares_the_mark(found):
    comparison = nw.compare(dict.fromkeys("abc", found.runs["good"]))
    for name, value in zip("abc", (20.0, 19.5, 10.0), strict=True):
        comparison.table[name]["psnr"] = Cell(value, 0.5)
    assert comparison.best("psnr") == {"a", "b"}


def test_markdown_has_one_row_an_entry_with_errors_and_reasons(found):
    lines = found.to_markdown().splitlines()
    assert [line.count("|") for line in lines[:2]] == [len(COLUMNS) + 2] * 2
    assert lines[2].startswith("| good |")
    assert lines[3].startswith("| <off>\\| |")
    assert "±" in lines[2]
    assert f"**{found._text('good', 'psnr')}**" in lines[2]
    assert any("chi-square" in line and "no target was given" in line for line in lines)


def test_pandas_has_one_row_an_entry_and_numbers(found):
    frame = found.to_pandas()
    assert list(frame.index) == ["good", "<off>|"]
    assert frame.loc["good", "psnr"] == found.table["good"]["psnr"].value
    assert frame.loc["good", "psnr_se"] > 0
    assert frame["chi2"].isna().all()
    assert {*COLUMNS, "drift_p", "memory_p"} <= set(frame.columns)


def test_without_pandas_the_extra_is_named(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="pandas"):
        found.to_pandas()


def test_a_notebook_shows_the_table_with_everything_escaped(found):
    page = found._repr_html_()
    assert "&lt;off&gt;|" in page
    assert "<off>" not in page
    assert page.count("<img") == 4
    assert "<b>" in page
    assert repr(found).startswith("Comparison(good: ")
