"""The sections of one image's report, each as the HTML below its heading."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

import numpy as np

from ..sampling.maps import expected_coverage
from ..sampling.verdict import DOUBT
from . import panels, plots
from .data import ReportData
from .layers import samples_of
from .sentences import plain_code

MEAN = (
    "The best single estimate. It is smoother than a real image, because it averages over all that "
    "is not known."
)
SPREAD = "How far the draws spread. Where it is bright, the measurement leaves open what is there."
NOT_YET = "Do not use it from this run."
DRAWS = (
    "Each draw is an image that explains the measurement. What all draws share is known; what "
    "differs between them is not."
)
ENDS = "Each draw is where a chain of this run has ended, which is not yet an image to rely on."
NUM_ABOVE = 3  # draws below the headline pictures
TOOLS = (
    '<div class="tools"><div class="bands" role="tablist" aria-label="Band"></div>'
    '<div class="contrast" role="group" aria-label="Contrast"><span>Contrast</span>'
    '<button type="button" data-ends="stretch">Stretched</button>'
    '<button type="button" data-ends="ends">Full range</button>'
    '<label>Black <input type="range" class="low" min="0" max="1000"></label>'
    '<label>White <input type="range" class="high" min="0" max="1000"></label></div></div>'
)
CLOSER = (
    '<div class="stage"><div class="still"><div class="frame"><div class="pane" tabindex="0" '
    'role="application" aria-label="Picture. The arrow keys move from pixel to pixel."></div>'
    '</div><div class="bar"></div>'
    '<div class="event"><label>Above <input type="range" min="0" max="1000"></label>'
    '<output></output></div><div class="flip"><button type="button" class="play">Play</button>'
    '<input type="range" min="0" value="0" step="1" aria-label="Draw"><output></output></div>'
    '<p class="note about"></p></div>'
    '<div class="side"><div class="layers" role="group" aria-label="Map"></div>'
    '<div class="pixel" aria-live="polite"><h4 class="where"></h4><dl class="values"></dl>'
    '<figure class="histogram"><figcaption></figcaption></figure>'
    '<figure class="profile"><figcaption><span></span> <button type="button">Column</button>'
    "</figcaption></figure></div></div></div>"
)
"""The script fills both; without a script they stay hidden."""


def result(data: ReportData) -> str:
    """The headline pictures and three draws."""
    flat, known = samples_of(data), data.truth is not None
    kind = "row known" if known else "row"
    head = f'<div class="{kind}">{"".join(panels.headline(data))}</div>'
    draws = ""
    for i, x in enumerate(flat[:NUM_ABOVE]):
        draws += panels.image(data, f"Draw {i + 1}", x, "", f"draw {i}")
    if draws:
        draws = f'<div class="{kind} draws">{draws}<p class="lead">{_draws(data)}</p></div>'
    return f"{TOOLS}{head}{draws}"


def meaning(data: ReportData) -> str:
    """What the pictures mean, and why the verdict is as it is."""
    said = [("Mean", MEAN), ("Uncertainty", SPREAD), ("Draws", _draws(data))]
    if data.summary.get("verdict") == DOUBT:
        said = [(name, f"{text} {NOT_YET}") for name, text in said[:2]] + said[2:]
    if data.truth is not None:
        text = "Where the mean is wrong. A right uncertainty map is bright in the same places."
        said.append(("Error", f"{text} {_coverage(data)}".strip()))
    if not data.measured.all():
        said.append(("Hatched", "These entries of the measurement were not observed."))
    if reason := data.summary.get("verdict_reason"):
        said.insert(0, ("Why", str(reason)))
    told = [*((str(note), "warn") for note in data.notes), *((str(r), "") for r in data.remarks)]
    notes = "".join(f'<li class="{kind}">{escape(note)}</li>' for note, kind in told)
    notes = f'<ul class="notes">{notes}</ul>' if notes else ""
    rows = "".join(f"<dt>{name}</dt><dd>{plain_code(text)}</dd>" for name, text in said)
    return f'{notes}<dl class="said">{rows}</dl>'


def _draws(data: ReportData) -> str:
    return ENDS if data.summary.get("verdict") == DOUBT else DRAWS


def _coverage(data: ReportData) -> str:
    """How often the intervals hold the truth, beside how often right ones would."""
    if data.truth is None or data.quantiles is None or data.nll.size < 2:
        return ""
    low, _, high = data.quantiles
    varies = data.std > 0
    if not varies.any():
        return ""
    share = np.mean(((low <= data.truth) & (data.truth <= high))[varies])
    percent = f"{100 * share:.0f}\u00a0%"
    ends = "from the 5\u00a0% to the 95\u00a0% quantile of the draws"
    text = f"The interval {ends} holds the truth in {percent} of the pixels."
    if not data.one_each:
        return text
    expected = 100 * expected_coverage(data.nll.size)
    return (
        f"{text} With {data.nll.size} right draws it is {expected:.0f}\u00a0%, averaged over many "
        "images: few draws seldom lie as far out as these quantiles. One image tells little, "
        "because neighbouring pixels err together."
    )


def fit(data: ReportData) -> str:
    """The measurement, what the mean predicts for it, and the residual."""
    rest = "".join(panels.fit(data))
    return f'<div class="row">{panels.measurement(data)}{rest}</div>' if rest else ""


def traces(data: ReportData) -> str:
    """Misfit, log posterior and acceptance over the draws of at most eight chains."""
    chains, length = data.nll.shape
    if length < 2:
        return ""
    some = np.unique(np.linspace(0, chains - 1, min(chains, plots.COLOURS)).round().astype(int))
    note = "The curves of all chains should have the same level and spread, without a drift."
    out = _trace("Misfit, −log p(y | x)", note, data.nll[some])
    if data.log_posterior is not None:
        note = "The same with the prior included."
        out += _trace("Log posterior, log p(z | y) + constant", note, data.log_posterior[some])
    if data.acceptance_rate is not None:
        window = 2 * (length // 40) + 1
        smooth = plots.running_mean(np.asarray(data.acceptance_rate[some], np.float64), window)
        note = f"Running mean over {window} draws." if window > 1 else ""
        out += _trace("Acceptance", note, smooth, (0.0, 1.0))
    keys = "".join(f'<li><i class="key c{i}"></i>chain {c + 1}</li>' for i, c in enumerate(some))
    more = f'<li class="note">of {chains} chains</li>' if chains > len(some) else ""
    return f'<ul class="legend">{keys}{more}</ul>{out}'


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
            elif not _is_unset(value):
                head = f'<th scope="row">{escape(str(name))}</th>'
                rows += f"<tr>{head}<td>{_setting(value)}</td></tr>"
        if rows:
            tables += f"<table><caption>{escape(str(group))}</caption><tbody>{rows}</tbody></table>"
    return f'{command}<div class="tables">{tables}</div>' if command or tables else ""


def downloads(data: ReportData) -> str:
    """Links to the files of the run."""
    items = "".join(
        f'<li><a href="{escape(quote(name))}" download>{escape(name.rpartition("/")[2])}</a></li>'
        for name in data.files
    )
    if not items:
        return ""
    return (
        f'<ul class="downloads">{items}</ul><p class="note">The links lead to the files beside '
        "this page, which itself needs none of them.</p>"
    )


def _trace(name: str, note: str, values: np.ndarray, limits: Sequence[float] = ()) -> str:
    plot = plots.trace(np.asarray(values, np.float64), name, limits=limits)
    return (
        f'<figure class="trace"><figcaption>{escape(name)} <span class="note">{escape(note)}'
        f"</span></figcaption>{plot}</figure>"
    )


def _is_unset(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _setting(value: Any) -> str:
    """A setting as HTML: an object's facts as a call, other facts a line each."""
    if isinstance(value, Mapping) and "name" not in value:
        given = {name: one for name, one in value.items() if not _is_unset(one)}
        lines = (f"{escape(str(name))}: {_setting(one)}" for name, one in given.items())
        return "<br>".join(lines) or "none"
    return escape(_call(value))


def _call(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if not isinstance(value, Mapping) or "name" not in value:
        return str(value)
    if "text" in value:  # of a run of format 1
        return str(value["text"])
    fields = [f"{key}={_call(one)}" for key, one in value.items() if key != "name"]
    return f"{value['name']}({', '.join(fields)})" if fields else str(value["name"])


def small(data: ReportData) -> np.ndarray:
    """The mean as a picture for an index."""
    return panels.still(data, data.mean)
