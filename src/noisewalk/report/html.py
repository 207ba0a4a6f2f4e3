"""The report page: one file with every picture, style and script inside, readable without a script
and in print."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from . import images, panels, plots
from .checks import GROUPS, Check, checks, worst
from .data import ReportData, as_list
from .text import number, shown

MARKS = {"good": "good", "warn": "check", "bad": "bad"}
MOST_DRAWS_ABOVE = 5
"""Draws under the headline pictures; the chains' sections hold all of them."""


def render(data: ReportData | Sequence[ReportData]) -> str:
    """Make the page.

    Arguments:
        data: one restored image, or several: then each has its own part and the page starts with an
            index.

    Returns:
        A self-contained HTML document.

    Raises:
        ConfigError: the sequence is empty.
    """
    several = as_list(data)
    found = [checks(one) for one in several]
    title = several[0].title if len(several) == 1 else f"{len(several)} images"
    index = _index(several, found) if len(several) > 1 else ""
    articles = "".join(
        _article(one, its, f"image-{i + 1}", len(several) > 1)
        for i, (one, its) in enumerate(zip(several, found, strict=True))
    )
    here = files(__package__)
    page = min(1432, max(1112, *(5 * panels.display_width(one) + 4 * 24 + 56 for one in several)))
    style, script = (
        here.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta '
        'name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{escape(title)} · '
        "noisewalk</title>\n"
        f'<style>\n{style}</style>\n</head>\n<body style="--page:{page}px">\n'
        f'<main>\n{index}{articles}</main>\n<div id="readout" '
        f"hidden></div>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _index(several: list[ReportData], found: list[list[Check]]) -> str:
    items = ""
    for i, (one, its) in enumerate(zip(several, found, strict=True)):
        thumb = images.data_uri(images.thumbnail(images.picture(images.tile(one.mean))))
        said = f"<span>{escape(one.title)}<br>{_mark(_overall(one, its))}</span>"
        items += (
            f'<li><a href="#image-{i + 1}"><img src="{thumb}" alt="" width="64" '
            f'height="64">{said}</a></li>'
        )
    top = (
        f'<header class="top"><p class="brand">noisewalk · run report</p><h1>{len(several)} '
        "images</h1></header>"
    )
    return f'{top}\n<nav aria-label="Images"><ol>{items}</ol></nav>\n'


def _article(data: ReportData, found: list[Check], anchor: str, numbered: bool) -> str:
    level = 2 if numbered else 1
    brand = f"Image {anchor.rpartition('-')[2]}" if numbered else "noisewalk · run report"
    heading = (
        "<p "
        f'class="brand">{brand}</p><h{level}>{escape(data.title)}</h{level}>{_verdict(found, anchor)}'
    )
    parts = [
        f'<article class="report" id="{anchor}">\n<header class="top">{heading}</header>',
        _notes(data),
        _section("Result", _result(data), anchor, "result", level),
        _section("Compare", _viewer(), anchor, "compare", level, "viewer"),
        _section("Key numbers", _numbers(found, anchor), anchor, "numbers", level),
        _section("Errors and residuals", _errors(data), anchor, "errors", level),
        _section("Traces", _traces(data), anchor, "traces", level),
        _section(
            "Particles" if _particles(data) else "Chains",
            _chains(data, anchor, level),
            anchor,
            "chains",
            level,
        ),
        _section("Settings", _settings(data), anchor, "settings", level),
    ]
    payload = panels.payload(data)
    if payload:
        parts.append(f'<script type="application/json" class="pixels">{payload}</script>')
    return "\n".join(p for p in parts if p) + "\n</article>\n"


def _section(title: str, body: str, anchor: str, name: str, level: int, kind: str = "") -> str:
    if not body:
        return ""
    label = f"{anchor}-{name}"
    tag = f"h{level + 1}"
    return (
        f'<section{f" class={kind!r}" if kind else ""} aria-labelledby="{label}"><{tag} '
        f'id="{label}">{title}</{tag}>\n{body}</section>'
    )


def _notes(data: ReportData) -> str:
    told = [*data.notes, *data.remarks]
    if not told:
        return ""
    return (
        '<aside class="notes" role="note" aria-label="Read this '
        f'first"><ul>{"".join(f"<li>{escape(str(note))}</li>" for note in told)}</ul></aside>'
    )


def _overall(data: ReportData, found: list[Check]) -> str:
    mark = worst(found)
    return "warn" if data.notes and mark != "bad" else mark


def _mark(mark: str) -> str:
    return f'<span class="mark {mark}">{MARKS[mark]}</span>' if mark else ""


def _id(anchor: str, key: str) -> str:
    return f"{anchor}-{re.sub(r'[^A-Za-z0-9_-]', '-', key)}"


def _verdict(found: list[Check], anchor: str) -> str:
    judged = [c for c in found if c.mark]
    chips = "".join(
        (
            f'<li><a class="chip {c.mark}" href="#{_id(anchor, c.key)}">{escape(c.name)} '
            f"<b>{escape(shown(c.key, c.value))}</b> {_mark(c.mark)}</a></li>"
        )
        for c in judged
    )
    return f'<ul class="chips" aria-label="Checks">{chips}</ul>' if judged else ""


def _result(data: ReportData) -> str:
    flat = data.samples.swapaxes(0, 1).reshape(-1, *data.mean.shape)
    chains, width = len(data.samples), panels.display_width(data)
    names = [
        f"Particle {i + 1}"
        if _particles(data)
        else f"Chain {i % chains + 1}, draw {i // chains + 1}"
        for i in range(len(flat))
    ]
    draws = "".join(
        _draw(x, name, width, False)
        for x, name in zip(flat[:MOST_DRAWS_ABOVE], names, strict=False)
    )
    low, high, unit = data.value_range
    note = (
        f"Pictures are clipped to {number(low)} … {number(high)} {unit}".rstrip()
        + " for display; numbers use unclipped pixels."
    )
    note += "" if data.measured.all() else " Hatched: not observed."
    lead = (
        '<p class="lead">Each draw is a plausible truth: what all draws share is known, what '
        "differs is not.</p>"
    )
    strip = (
        f'<div class="strip">{lead}<div class="row" style="--w:{width}px">{draws}</div></div>'
        if draws
        else ""
    )
    return (
        f'<div class="row" style="--w:{width}px">{"".join(panels.headline(data))}</div>{strip}<p '
        f'class="note">{escape(note)}</p>'
    )


def _draw(x: np.ndarray, name: str, width: int, listed: bool) -> str:
    """One draw; those that are listed are what the script plays."""
    pixels = images.picture(images.tile(x))
    height, across = pixels.shape[:2]
    attribute = f' data-draw="{escape(name)}"' if listed else ""
    linked = " linked" if x.shape[0] in (1, 3) else ""
    image = (
        f'<img src="{images.data_uri(pixels)}" alt="{escape(name)}" class="{panels.grain(pixels)}" '
        f'width="{across}" height="{height}"{attribute}>'
    )
    caption = escape(name.rpartition(", ")[2] if listed else name)
    return (
        f'<figure class="panel draw" style="--w:{width}px"><div '
        f'class="pane{linked}">{image}</div><figcaption>{caption}</figcaption></figure>'
    )


def _viewer() -> str:
    """Filled by the script from the pictures of the page; hidden without it."""
    return (
        '<div class="stage"><div class="still"><div class="pane linked"></div><div '
        'class="layers" role="group" aria-label="Picture on the left"></div></div>'
        '<div class="film"><div class="pane linked"></div><div class="flip"><button '
        'type="button" class="play">Play</button>'
        '<input type="range" min="0" value="0" step="1" '
        'aria-label="Draw"><output></output></div></div><div class="note hint"></div></div>'
    )


def _numbers(found: list[Check], anchor: str) -> str:
    out = ""
    for group in GROUPS:
        rows = ""
        for c in (c for c in found if c.group == group):
            exact = (
                f'<data value="{escape(str(c.value))}">{escape(shown(c.key, c.value))}</data>'
                if c.value is not None
                else shown(c.key, None)
            )
            rows += (
                f'<tr id="{_id(anchor, c.key)}"><th scope="row">{escape(c.name)}</th><td '
                f'class="value">{exact}</td><td class="verdict">{_mark(c.mark)}</td>'
                f"<td>{escape(c.text)}</td></tr>"
            )
        if rows:
            out += (
                "<table "
                f'class="numbers"><caption>{escape(group)}</caption><tbody>{rows}</tbody></table>'
            )
    return out


def _errors(data: ReportData) -> str:
    row = "".join(panels.standardized(data)) + panels.residual(data)
    shares = panels.within(data)
    said = ""
    if shares:
        one, two = (f"{100 * s:.0f}\u00a0%" for s in shares)
        said = (
            f'<p class="lead">The truth lies within one uncertainty of the mean in {one} of '
            f"the pixels and within two in {two}; "
            "over many images, a calibrated Gaussian posterior gives about 68\u00a0% and "
            "95\u00a0%.</p>"
        )
    return f'{said}<div class="panels">{row}</div>' if row else ""


def _particles(data: ReportData) -> bool:
    return data.samples.shape[0] > 1 and data.nll.shape[1] == 1


def _traces(data: ReportData) -> str:
    chains, length = data.nll.shape
    if length < 2:
        return '<p class="missing">– One draw per chain: there is no trace to show.</p>'
    curves: list[tuple[str, str, Any, Any]] = [
        (
            "Misfit, −log p(y | x)",
            "Level and wobble should look alike in all chains, without drift.",
            data.nll,
            None,
        )
    ]
    if data.log_posterior is not None:
        curves.append(
            (
                "Log posterior, log p(z | y) + constant",
                "As above, prior included.",
                data.log_posterior,
                None,
            )
        )
    window = 2 * (length // 40) + 1
    if data.acceptance_rate is not None:
        smooth = plots.running_mean(np.asarray(data.acceptance_rate, np.float64), window)
        curves.append(
            (
                "Acceptance",
                f"Running mean over {window} draws." if window > 1 else "",
                smooth,
                (0.0, 1.0),
            )
        )
    out = ""
    for name, note, values, limits in curves:
        plot = plots.trace(np.asarray(values, np.float64), name, limits=limits)
        out += (
            f'<figure class="trace"><figcaption>{escape(name)} <span '
            f'class="note">{escape(note)}</span></figcaption>{plot}</figure>'
        )
    keys = (
        "".join(
            f'<li><i class="key c{i % plots.COLOURS}"></i>chain {i + 1}</li>' for i in range(chains)
        )
        if chains <= plots.COLOURS
        else ""
    )
    return f'<ul class="legend">{keys}</ul>{out}' if keys else out


def _chains(data: ReportData, anchor: str, level: int) -> str:
    width = panels.display_width(data, 96)
    if _particles(data):
        draws = "".join(
            _draw(x[0], f"Particle {i + 1}", width, True) for i, x in enumerate(data.samples)
        )
        return f'<div class="panels small">{draws}</div>'
    return "".join(
        _chain(data, i, f"{anchor}-chain-{i + 1}", level, width) for i in range(len(data.samples))
    )


def _chain(data: ReportData, i: int, anchor: str, level: int, width: int) -> str:
    tag = f"h{level + 2}"
    facts = "; ".join(_facts(data, i))
    draws = "".join(
        _draw(x, f"Chain {i + 1}, draw {j + 1}", width, True) for j, x in enumerate(data.samples[i])
    )
    key = f'<i class="key c{i % plots.COLOURS}"></i>' if len(data.samples) <= plots.COLOURS else ""
    return (
        f'<section class="chain" aria-labelledby="{anchor}"><{tag} id="{anchor}">{key}Chain '
        f'{i + 1}</{tag}><p class="note">{escape(facts)}</p>'
        f'<div class="panels small">{draws}</div></section>'
    )


def _facts(data: ReportData, i: int) -> Iterator[str]:
    nll = np.asarray(data.nll[i], np.float64)
    finite = nll[np.isfinite(nll)]
    if finite.size:
        yield (
            f"Misfit {number(float(finite.mean()))} ± {number(float(finite.std()), 2)}, last "
            f"{number(float(finite[-1]))}"
        )
    if len(finite) < len(nll):
        yield f"{len(nll) - len(finite)} draws without a finite misfit"
    if data.acceptance_rate is not None and np.isfinite(data.acceptance_rate[i]).any():
        yield f"acceptance {number(float(np.nanmean(data.acceptance_rate[i])), 3)}"


def _settings(data: ReportData) -> str:
    command = "".join(
        (
            f'<div class="command"><pre><code>{escape(str(value))}</code></pre><button '
            'type="button" class="copy">Copy</button></div>'
        )
        for _, pairs in data.settings
        for name, value in pairs
        if name == "command"
    )
    tables = ""
    for group, pairs in data.settings:
        rows = "".join(
            f'<tr><th scope="row">{escape(str(name))}</th><td>{_setting(value)}</td></tr>'
            for name, value in pairs
            if name != "command"
        )
        if rows:
            tables += f"<table><caption>{escape(str(group))}</caption><tbody>{rows}</tbody></table>"
    return f'{command}<div class="tables">{tables}</div>' if command or tables else ""


def _setting(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return '– <span class="note">not set</span>'
    if isinstance(value, Mapping):
        return (
            "<br>".join(f"{escape(str(name))}: {_setting(one)}" for name, one in value.items())
            or "none"
        )
    return escape(str(value))
