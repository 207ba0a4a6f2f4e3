"""The page of a batch: a row for every file, whatever of its run there is."""

import json
import re
from pathlib import Path

from noisewalk.report.index import DONE, FAILED, RUNNING, Line, is_own, write_index

LINES = [
    Line("a", "in/a.npy", DONE),
    Line("b", "in/<b>.npy", FAILED, "it is <damaged>"),
    Line("c", "in/c.npy", RUNNING),
    Line("d é", "in/d é.npy"),
]


def page(folder: Path, lines: list[Line]) -> str:
    return write_index(folder, "4 files & a prior", lines).read_text(encoding="utf-8")


def test_a_row_shows_how_each_file_goes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    told = {"verdict": "check", "verdict_reason": "too few chains", "chi2": 1.25, "nfe": 1234}
    (tmp_path / "a" / "summary.json").write_text(json.dumps({**told, "seconds": None}))
    text = page(tmp_path, LINES)
    assert "4 files &amp; a prior" in text
    assert "1 done, 1 failed, 1 running, 1 waiting" in text
    rows = re.findall(r"<tr>(<td.*?)</tr>", text)
    assert len(rows) == 4
    assert '<a href="a/report.html">in/a.npy</a>' in rows[0]
    assert '<img src="a/mean.png"' in rows[0]
    assert '<span class="mark warn">check</span>' in rows[0]
    assert 'data-sort="1.25">1.25<' in rows[0]
    assert 'data-sort="1234">1,234<' in rows[0]
    assert "too few chains" in rows[0]
    assert "in/&lt;b&gt;.npy" in rows[1]
    assert "it is &lt;damaged&gt;" in rows[1]
    assert "<img" not in rows[1] + rows[2] + rows[3]
    assert not list(tmp_path.glob("*.partial*"))


def test_every_column_can_be_sorted(tmp_path: Path) -> None:
    text = page(tmp_path, LINES)
    heads = re.findall(r"<th scope=\"col\"><button>(.*?)</button>", text)
    cells = re.findall(r"<td data-sort=", text)
    assert len(cells) == len(heads) * len(LINES)
    assert "aria-sort" in text


def test_a_damaged_summary_is_no_summary(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for content in ("{", "[1]", ""):
        (tmp_path / "a" / "summary.json").write_text(content)
        assert 'href="a/' not in page(tmp_path, LINES)


def test_only_an_index_of_its_own_is_written_over(tmp_path: Path) -> None:
    index = tmp_path / "index.html"
    assert is_own(index)
    page(tmp_path, LINES)
    assert is_own(index)
    index.write_bytes(b"<h1>My site \xff</h1>")
    assert not is_own(index)
