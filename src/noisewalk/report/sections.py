"""The sections of one image's report, each as the HTML below its heading."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from . import images, panels, plots
from .data import ReportData
from .text import number

MOST_DRAWS_ABOVE = 5  # under the headline pictures; the chains' sections hold all of them
VIEWER = (
    '<div class="stage"><div class="still"><div class="pane linked"></div>'
    '<div class="layers" role="group" aria-label="Picture on the left"></div></div>'
    '<div class="film"><div class="pane linked"></div><div class="flip">'
    '<button type="button" class="play">Play</button>'
    '<input type="range" min="0" value="0" step="1" aria-label="Draw"><output></output></div>'
    '</div><div class="note hint"></div></div>'
)
"""The script fills it from the pictures of the page; without a script it stays hidden."""


def result(data: ReportData) -> str:
    """The headline pictures and the first draws."""
    flat = data.samples.swapaxes(0, 1).reshape(-1, *data.mean.shape)[:MOST_DRAWS_ABOVE]
    chains, width, strip = len(data.samples), panels.display_width(data), ""
    for i, x in enumerate(flat):
        chain, draw = i % chains + 1, i // chains + 1
        one = f"{data.row_name} {i + 1}"
        name = one if data.one_each else f"Chain {chain}, draw {draw}"
        strip += _draw(x, name, width)
    if strip:
        strip = (
            '<div class="strip"><p class="lead">Each draw is a plausible truth. What all draws '
            "share is known; what differs between them is not.</p>"
            f'<div class="row" style="--w:{width}px">{strip}</div></div>'
        )
    low, high, unit = data.value_range
    shown = f"{number(low)} … {number(high)} {unit}".rstrip()
    note = f"The pictures are clipped to {shown} for display; the numbers are not clipped."
    note += "" if data.measured.all() else " Hatched entries are not observed."
    head = f'<div class="row" style="--w:{width}px">{"".join(panels.headline(data))}</div>'
    return f'{head}{strip}<p class="note">{escape(note)}</p>'


def errors(data: ReportData) -> str:
    """The errors against the truth and the residual, as far as they are known."""
    row = "".join(panels.standardized(data)) + panels.residual(data)
    said = ""
    if shares := panels.within(data):
        one, two = (f"{100 * share:.0f}\u00a0%" for share in shares)
        said = (
            '<p class="lead">The truth lies within one standard deviation of the mean in '
            f"{one} of the pixels, and within two in {two}. Over many images, a calibrated "
            "Gaussian posterior gives about 68\u00a0% and 95\u00a0%.</p>"
        )
    return f'{said}<div class="panels">{row}</div>' if row else ""


def traces(data: ReportData) -> str:
    """Misfit, log posterior and acceptance over the draws."""
    chains, length = data.nll.shape
    if length < 2:
        return '<p class="missing">– There is one draw per chain, and so no trace to show.</p>'
    note = "The curves of all chains should have the same level and spread, without a drift."
    out = _trace("Misfit, −log p(y | x)", note, data.nll)
    if data.log_posterior is not None:
        note = "The same with the prior included."
        out += _trace("Log posterior, log p(z | y) + constant", note, data.log_posterior)
    if data.acceptance_rate is not None:
        window = 2 * (length // 40) + 1
        smooth = plots.running_mean(np.asarray(data.acceptance_rate, np.float64), window)
        note = f"Running mean over {window} draws." if window > 1 else ""
        out += _trace("Acceptance", note, smooth, (0.0, 1.0))
    if chains > plots.COLOURS:
        return out
    keys = "".join(f"<li>{_key(i)}chain {i + 1}</li>" for i in range(chains))
    return f'<ul class="legend">{keys}</ul>{out}'


def one_each(data: ReportData) -> str:
    """The one draw of every chain, or every particle."""
    names = [f"{data.row_name} {i + 1}" for i in range(len(data.samples))]
    return _small(data, data.samples[:, 0], names)


def chains(data: ReportData, anchor: str, level: int) -> str:
    """A section for each chain, with its draws."""
    out = ""
    for i, samples in enumerate(data.samples):
        label, title = f"{anchor}-chain-{i + 1}", f"Chain {i + 1}"
        draws = _small(data, samples, [f"{title}, draw {j + 1}" for j in range(len(samples))])
        key = _key(i) if len(data.samples) <= plots.COLOURS else ""
        out += (
            f'<section class="chain" aria-labelledby="{label}"><h{level} id="{label}">{key}{title}'
            f'</h{level}><p class="note">{escape("; ".join(_facts(data, i)))}</p>{draws}</section>'
        )
    return out


def settings(data: ReportData) -> str:
    """The command line, and the settings as tables."""
    command = tables = ""
    for group, pairs in data.settings:
        rows = ""
        for name, value in pairs:
            if name == "command":
                command += (
                    f'<div class="command"><pre><code>{escape(str(value))}</code></pre>'
                    '<button type="button" class="copy">Copy</button></div>'
                )
            else:
                head = f'<th scope="row">{escape(str(name))}</th>'
                rows += f"<tr>{head}<td>{_setting(value)}</td></tr>"
        if rows:
            tables += f"<table><caption>{escape(str(group))}</caption><tbody>{rows}</tbody></table>"
    return f'{command}<div class="tables">{tables}</div>' if command or tables else ""


def _draw(x: np.ndarray, name: str, width: int, listed: bool = False) -> str:
    """One draw; those that are listed are what the script plays."""
    pixels = images.picture(images.tile(x))
    height, across = pixels.shape[:2]
    attribute = f' data-draw="{escape(name)}"' if listed else ""
    linked = " linked" if x.shape[0] in (1, 3) else ""
    caption = escape(name.rpartition(", ")[2] if listed else name)
    return (
        f'<figure class="panel draw" style="--w:{width}px"><div class="pane{linked}">'
        f'<img src="{images.data_uri(pixels)}" alt="{escape(name)}" class="{panels.grain(pixels)}" '
        f'width="{across}" height="{height}"{attribute}></div><figcaption>{caption}</figcaption>'
        "</figure>"
    )


def _small(data: ReportData, samples: np.ndarray, names: list[str]) -> str:
    width = panels.display_width(data, 96)
    draws = (_draw(x, name, width, listed=True) for x, name in zip(samples, names, strict=True))
    return f'<div class="panels small">{"".join(draws)}</div>'


def _trace(name: str, note: str, values: np.ndarray, limits: Sequence[float] = ()) -> str:
    plot = plots.trace(np.asarray(values, np.float64), name, limits=limits)
    return (
        f'<figure class="trace"><figcaption>{escape(name)} <span class="note">{escape(note)}'
        f"</span></figcaption>{plot}</figure>"
    )


def _key(chain: int) -> str:
    return f'<i class="key c{chain % plots.COLOURS}"></i>'


def _facts(data: ReportData, i: int) -> Iterator[str]:
    nll = np.asarray(data.nll[i], np.float64)
    finite = nll[np.isfinite(nll)]
    if finite.size:
        mean, std, last = map(float, (finite.mean(), finite.std(), finite[-1]))
        yield f"Misfit {number(mean)} ± {number(std, 2)}, last {number(last)}"
    if len(finite) < len(nll):
        yield f"{len(nll) - len(finite)} draws without a finite misfit"
    if data.acceptance_rate is not None and np.isfinite(data.acceptance_rate[i]).any():
        yield f"acceptance {number(float(np.nanmean(data.acceptance_rate[i])), 3)}"


def _setting(value: Any) -> str:
    """A setting as HTML: an object's facts as a call, other facts a line each."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return '– <span class="note">not set</span>'
    if isinstance(value, Mapping) and "name" not in value:
        lines = (f"{escape(str(name))}: {_setting(one)}" for name, one in value.items())
        return "<br>".join(lines) or "none"
    return escape(_call(value))


def _call(value: Any) -> str:
    if not isinstance(value, Mapping) or "name" not in value:
        return str(value)
    if "text" in value:  # of a run of format 1
        return str(value["text"])
    fields = [f"{key}={_call(one)}" for key, one in value.items() if key != "name"]
    return f"{value['name']}({', '.join(fields)})" if fields else str(value["name"])
