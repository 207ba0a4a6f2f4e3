"""The report page: one file with every picture, style and script inside.

It answers in the order in which a person asks: may I use this, what does it look like, what does it
mean, what are the numbers, how was it made.
"""

import string
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from . import images, sections
from .checks import GROUPS, OTHER, Check, checks, worst
from .data import ReportData, as_list
from .layers import PAGE_BYTES, payload
from .sentences import next_step, of_several, plain_code, sentence
from .text import shown

PLAIN = string.ascii_letters + string.digits + "_-"
MARKS = {"good": "good", "warn": "check", "bad": "bad"}
ANSWERS = {"good": "You may", "warn": "Not yet", "bad": "Do not"}


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
    parts, budget = enumerate(zip(several, found, strict=True), 1), PAGE_BYTES / len(several)
    articles = "".join(_article(*part, f"image-{i}", many, budget) for i, part in parts)
    index = _index(several, found) if many else ""
    script = files(__package__).joinpath("page.js").read_text(encoding="utf-8")
    title = f"{len(several)} images" if many else several[0].title
    main = f'<main>\n{index}{articles}</main>\n<div id="readout" hidden></div>\n'
    return document(title, f"{main}<script>\n{script}</script>")


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
        thumb = images.data_uri(images.thumbnail(sections.small(one)))
        mark = overall(one, its)
        answer = f'<b class="mark {mark}">{ANSWERS[mark]}</b>' if mark else ""
        items += (
            f'<li><a href="#image-{i}"><img src="{thumb}" alt="" width="64" height="64">'
            f"<span>{escape(one.label or one.title)}<br>{answer}</span></a></li>"
        )
    heading = of_several([one.summary for one in several])
    brand = '<p class="brand">noisewalk</p>'
    nav = f'<nav aria-label="Images"><ol>{items}</ol></nav>'
    return f'<header class="top">{brand}<h1>{escape(heading)}</h1></header>\n{nav}\n'


def _article(
    data: ReportData, found: list[Check], anchor: str, numbered: bool, budget: float
) -> str:
    level = 2 if numbered else 1
    label = escape(data.label or data.title)
    brand = f"Image {anchor.rpartition('-')[2]}" if numbered else "noisewalk"
    mark, told = overall(data, found), sentence(data.summary, data.r_hat)
    heading = f"<h{level}>{escape(told) or label}</h{level}>"
    follow = next_step(data.summary) if told else ""
    follow = f'<p class="next">{plain_code(follow)}</p>' if follow else ""
    count = f"{data.nll.size} possible image{'s' if data.nll.size > 1 else ''}"
    top = f'<p class="brand">{brand} · {label} · {count} for one measurement</p>{heading}{follow}'
    bodies = (
        ("Pictures", "pictures", sections.result(data)),
        ("Look closer", "closer", sections.CLOSER),
        ("What this means", "meaning", sections.meaning(data)),
        ("Does it fit the measurement?", "fit", sections.fit(data)),
        ("Numbers", "numbers", _numbers(found, anchor)),
        ("Chains", "traces", sections.traces(data)),
        ("Settings", "settings", sections.settings(data)),
        ("Files", "files", sections.downloads(data)),
    )
    parts = [
        f'<article class="report" id="{anchor}">',
        f'<header class="top verdict {mark}">{top}</header>',
        *(_section(title, body, anchor, name, level) for title, name, body in bodies),
        f'<script type="application/json" class="held">{payload(data, budget)}</script>',
    ]
    return "\n".join(p for p in parts if p) + "\n</article>\n"


def _section(title: str, body: str, anchor: str, name: str, level: int) -> str:
    if not body:
        return ""
    label, tag = f"{anchor}-{name}", f"h{level + 1}"
    heading = f'<{tag} id="{label}">{title}</{tag}>'
    return f'<section class="{name}" aria-labelledby="{label}">{heading}\n{body}</section>'


def _mark(mark: str) -> str:
    return f' <span class="mark {mark}">{MARKS[mark]}</span>' if mark else ""


def _id(anchor: str, key: str) -> str:
    return f"{anchor}-{''.join(c if c in PLAIN else '-' for c in key)}"


def _numbers(found: list[Check], anchor: str) -> str:
    out = ""
    for group in GROUPS:
        its = [check for check in found if check.group == group]
        if rows := "".join(_row(check, anchor, group == OTHER) for check in its):
            caption = f"<caption>{escape(group)}</caption>"
            out += f'<table class="numbers">{caption}<tbody>{rows}</tbody></table>'
    return out


def _row(check: Check, anchor: str, plain: bool) -> str:
    value = escape(shown(check.key, check.value))
    if check.value is not None:
        value = f'<data value="{escape(str(check.value))}">{value}</data>'
    text = "" if plain else f"<td>{escape(check.text)}</td>"
    return (
        f'<tr id="{_id(anchor, check.key)}"><th scope="row">{escape(check.name)}</th>'
        f'<td class="value">{value}{_mark(check.mark)}</td>{text}</tr>'
    )
