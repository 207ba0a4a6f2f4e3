"""The report page: one file with every picture, style and script inside."""

import string
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from . import images, sections
from .checks import GROUPS, Check, checks, worst
from .data import ReportData, as_list
from .panels import display_width
from .pixel_readout import payload
from .text import shown

PLAIN = string.ascii_letters + string.digits + "_-"
MARKS = {"good": "good", "warn": "check", "bad": "bad"}


def render(data: ReportData | Sequence[ReportData]) -> str:
    """Make the report page.

    Arguments:
        data: one restored image, or several, each with its own part below an index.

    Returns:
        A self-contained HTML document.

    Raises:
        ConfigError: the sequence is empty.

    Example:
        >>> import numpy as np, noisewalk as nw
        >>> x, shown = np.zeros((2, 5, 1, 8, 8)), {"title": "Grey", "summary": {}}
        >>> arrays = {"measurement": x[0, 0], "mean": x[0, 0], "std": x[0, 0], "samples": x}
        >>> data = nw.report.ReportData(nll=np.zeros((2, 5)), **arrays, **shown)
        >>> "<title>Grey · noisewalk</title>" in nw.report.render(data)
        True
    """
    several = as_list(data)
    found, many = [checks(one) for one in several], len(several) > 1
    parts = enumerate(zip(several, found, strict=True), 1)
    articles = "".join(_article(*part, f"image-{i}", many) for i, part in parts)
    index = _index(several, found) if many else ""
    width = min(1432, max(1112, *(5 * display_width(one) + 4 * 24 + 56 for one in several)))
    script = files(__package__).joinpath("page.js").read_text(encoding="utf-8")
    title = f"{len(several)} images" if many else several[0].title
    main = f'<main>\n{index}{articles}</main>\n<div id="readout" hidden></div>\n'
    style = f' style="--page:{width}px"'
    return document(title, f"{main}<script>\n{script}</script>", style)


def document(title: str, body: str, attributes: str = "") -> str:
    """A self-contained HTML document in the style of the report."""
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)} · noisewalk</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body{attributes}>\n{body}\n</body>\n</html>\n"
    )


def overall(data: ReportData, found: list[Check]) -> str:
    """The mark of a whole image: its run's verdict; without one the worst of its checks, and not
    good where there are notes."""
    if found and found[0].key == "verdict":
        return found[0].mark
    mark = worst(found)
    return "warn" if data.notes and mark != "bad" else mark


def _index(several: list[ReportData], found: list[list[Check]]) -> str:
    items = ""
    for i, (one, its) in enumerate(zip(several, found, strict=True), 1):
        thumb = images.data_uri(images.thumbnail(images.picture(images.tile(one.mean))))
        items += (
            f'<li><a href="#image-{i}"><img src="{thumb}" alt="" width="64" height="64">'
            f"<span>{escape(one.title)}<br>{_mark(overall(one, its))}</span></a></li>"
        )
    heading = f'<p class="brand">noisewalk · run report</p><h1>{len(several)} images</h1>'
    nav = f'<nav aria-label="Images"><ol>{items}</ol></nav>'
    return f'<header class="top">{heading}</header>\n{nav}\n'


def _article(data: ReportData, found: list[Check], anchor: str, numbered: bool) -> str:
    level = 2 if numbered else 1
    brand = f"Image {anchor.rpartition('-')[2]}" if numbered else "noisewalk · run report"
    heading = f'<p class="brand">{brand}</p><h{level}>{escape(data.title)}</h{level}>'
    chains = ("Chains", "chains", sections.chains(data, anchor, level + 2))
    if data.one_each:
        chains = (f"{data.row_name}s", "chains", sections.one_each(data))
    bodies = (
        ("Result", "result", sections.result(data)),
        ("Compare", "compare", sections.VIEWER),
        ("Key numbers", "numbers", _numbers(found, anchor)),
        ("Errors and residuals", "errors", sections.errors(data)),
        ("Traces", "traces", sections.traces(data)),
        chains,
        ("Settings", "settings", sections.settings(data)),
    )
    parts = [
        f'<article class="report" id="{anchor}">',
        f'<header class="top">{heading}{_ruling(found)}{_chips(found, anchor)}</header>',
        _notes(data),
        *(_section(title, body, anchor, name, level) for title, name, body in bodies),
    ]
    if pixels := payload(data):
        parts.append(f'<script type="application/json" class="pixels">{pixels}</script>')
    return "\n".join(p for p in parts if p) + "\n</article>\n"


def _section(title: str, body: str, anchor: str, name: str, level: int) -> str:
    if not body:
        return ""
    label, tag = f"{anchor}-{name}", f"h{level + 1}"
    kind = ' class="viewer"' if name == "compare" else ""
    heading = f'<{tag} id="{label}">{title}</{tag}>'
    return f'<section{kind} aria-labelledby="{label}">{heading}\n{body}</section>'


def _notes(data: ReportData) -> str:
    told = "".join(f"<li>{escape(str(note))}</li>" for note in (*data.notes, *data.remarks))
    if not told:
        return ""
    return f'<aside class="notes" role="note" aria-label="Read this first"><ul>{told}</ul></aside>'


def _mark(mark: str) -> str:
    return f'<span class="mark {mark}">{MARKS[mark]}</span>' if mark else ""


def _id(anchor: str, key: str) -> str:
    return f"{anchor}-{''.join(c if c in PLAIN else '-' for c in key)}"


def _ruling(found: list[Check]) -> str:
    """The run's verdict with its reason."""
    if not found or found[0].key != "verdict":
        return ""
    word = f'<span class="mark {found[0].mark}">{escape(str(found[0].value))}</span>'
    return f'<p class="ruling">{word} {escape(found[0].text)}</p>'


def _chips(found: list[Check], anchor: str) -> str:
    chips = "".join(
        f'<li><a class="chip {c.mark}" href="#{_id(anchor, c.key)}">{escape(c.name)} '
        f"<b>{escape(shown(c.key, c.value))}</b> {_mark(c.mark)}</a></li>"
        for c in (check for check in found if check.mark and check.key != "verdict")
    )
    return f'<ul class="chips" aria-label="Checks">{chips}</ul>' if chips else ""


def _numbers(found: list[Check], anchor: str) -> str:
    out = ""
    for group in GROUPS:
        if rows := "".join(_row(check, anchor) for check in found if check.group == group):
            caption = f"<caption>{escape(group)}</caption>"
            out += f'<table class="numbers">{caption}<tbody>{rows}</tbody></table>'
    return out


def _row(check: Check, anchor: str) -> str:
    value = escape(shown(check.key, check.value))
    if check.value is not None:
        value = f'<data value="{escape(str(check.value))}">{value}</data>'
    return (
        f'<tr id="{_id(anchor, check.key)}"><th scope="row">{escape(check.name)}</th>'
        f'<td class="value">{value}</td><td class="verdict">{_mark(check.mark)}</td>'
        f"<td>{escape(check.text)}</td></tr>"
    )
