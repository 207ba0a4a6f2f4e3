"""The page of a batch: a row for each file, with its picture, its verdict and its numbers."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from .files import write_files
from .html import document
from .verdicts import MARKS

WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"
COLUMNS = ("image", "file", "status", "verdict", "reason", "chi2", "network calls", "seconds")
ORDER = {"do not trust": 0, "check": 1, "trust": 2}
"""How a sorted column has the verdicts: those to look at first."""

BRAND = "noisewalk · batch"
STYLE = """
.batch { border-collapse: collapse; width: 100%; }
.batch th button { all: unset; cursor: pointer; font-weight: 600; }
.batch th button::after { content: " \\2195"; opacity: 0.4; }
.batch th, .batch td { text-align: left; padding: 6px 10px; vertical-align: middle; }
.batch tbody tr { border-top: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
.batch img { width: 64px; height: 64px; object-fit: contain; image-rendering: pixelated; }
"""
SCRIPT = """
for (const button of document.querySelectorAll(".batch th button")) {
  button.addEventListener("click", () => {
    const table = button.closest("table"), head = button.closest("th");
    const up = head.getAttribute("aria-sort") !== "ascending";
    const value = row => row.cells[head.cellIndex].dataset.sort;
    const compare = (a, b) => {
      const x = value(a), y = value(b), empty = (x === "") - (y === "");
      if (empty) return empty;
      const numbers = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
      return (up ? 1 : -1) * (numbers ? x - y : x.localeCompare(y));
    };
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  });
}
"""


class Line(NamedTuple):
    """One file of a batch, as the page shows it."""

    folder: str  # of its run, in that of the page
    source: str
    status: str = WAITING
    reason: str = ""  # why it has failed


def is_own(page: Path) -> bool:
    """Whether nothing of somebody else's is lost where an index is written."""
    return not page.exists() or BRAND in page.read_text(encoding="utf-8", errors="replace")


def write_index(folder: Path, title: str, lines: Sequence[Line]) -> Path:
    """Write index.html into the folder of a batch, whole, whatever of its runs there is."""
    rows = "".join(_row(folder, line) for line in lines)
    heads = "".join(f'<th scope="col"><button>{name}</button></th>' for name in COLUMNS)
    counted = [f"{sum(x.status == s for x in lines)} {s}" for s in (DONE, FAILED, RUNNING, WAITING)]
    body = (
        f'<main>\n<header class="top"><p class="brand">{BRAND}</p>'
        f"<h1>{escape(title)}</h1><p>{', '.join(counted)}</p></header>\n"
        f'<table class="batch"><thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table>'
        f"\n</main>\n<style>{STYLE}</style>\n<script>{SCRIPT}</script>"
    )
    write_files(folder, {"index.html": document(title, body).encode("utf-8", "backslashreplace")})
    return folder / "index.html"


def _row(folder: Path, line: Line) -> str:
    """A file's row: the link leads to its report where there is one."""
    summary = _summary(folder / line.folder / "summary.json")
    place = quote(line.folder.encode("utf-8", "surrogateescape"))
    name, picture = escape(line.source), ""
    if summary:
        name = f'<a href="{place}/report.html">{name}</a>'
        picture = (
            f'<img src="{place}/mean.png" alt="the mean of {escape(line.source)}" loading="lazy">'
        )
    verdict = str(summary.get("verdict") or "")
    mark = f'<span class="mark {MARKS[verdict]}">{verdict}</span>' if verdict in MARKS else ""
    failed = line.status == FAILED
    reason = line.reason if failed else str(summary.get("verdict_reason") or "")
    status = f'<span class="mark bad">{FAILED}</span>' if failed else line.status
    cells = [
        (picture, line.source),
        (name, line.source),
        (status, line.status),
        (mark, ORDER.get(verdict, "")),
        (escape(reason), reason),
        *(_number(summary.get(key)) for key in ("chi2", "nfe", "seconds")),
    ]
    return (
        "<tr>" + "".join(f'<td data-sort="{escape(str(s))}">{t}</td>' for t, s in cells) + "</tr>\n"
    )


def _number(value: Any) -> tuple[str, Any]:
    return (f"{value:,.4g}", value) if isinstance(value, int | float) else ("", "")


def _summary(path: Path) -> dict[str, Any]:
    """What a run sums up to; nothing where it has no report yet."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
