"""The draws of a run as one piece of HTML: a stack to look through, the mean, the uncertainty."""

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from .._pictures import heat, over_channels, shades, upper
from ..report.images import data_uri
from ..report.sentences import next_step, plain_code, sentence
from ..report.verdicts import MARKS
from ..sampling.export import origin_of
from .preview import Preview

if TYPE_CHECKING:
    from ..sampling.run import Run

MOST_DRAWS = 48  # in the stack
MOST_VALUES = 48 * 128 * 128  # of the stack: larger images come with fewer draws


@dataclass(frozen=True)
class View:
    """The draws of a run so far."""

    num_draws: int
    html: str
    verdict: str


def view_of(run: "Run", preview: Preview) -> View:
    """The pictures and the verdict of a run that has at least one draw."""
    summary = run.summary()
    draws = np.asarray(run.draws[...][0].cpu()).swapaxes(0, 1)  # early draws first
    draws = draws.reshape(-1, *draws.shape[2:])
    flip = bool(run.spec.get("problem", {}).get("bottom_up"))
    mean, std = (np.asarray(x[0].cpu()) for x in (run.mean, run.std))
    if flip:
        draws, mean, std = draws[..., ::-1, :], mean[..., ::-1, :], std[..., ::-1, :]
    html = stack(draws, mean, std, preview, *_unit(run))
    return View(len(draws), html, verdict_html(summary, len(draws)))


def verdict_html(summary: dict[str, Any], num_draws: int, todo: str = "") -> str:
    """The verdict in a sentence, and what follows from it; `todo` is said unless all is well."""
    mark = MARKS.get(str(summary.get("verdict")), "warn")
    told = f"<p>{plain_code(sentence(summary))}</p><p>{plain_code(next_step(summary))}</p>"
    count = f'<p class="nw-count">{num_draws} draws so far.</p>' if num_draws else ""
    count = f"<p>{escape(todo)}</p>" if todo and mark != "good" else count
    return f'<section class="nw-verdict nw-{mark}" aria-label="Verdict">{told}{count}</section>'


def stack(
    draws: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    preview: Preview,
    middle: float = 0.0,
    half: float = 1.0,
    unit: str = "",
) -> str:
    """HTML that page.js makes a viewer of: draws (N, C, H, W) below each other in one picture."""
    ends = preview.low, preview.high
    most = max(4, min(MOST_DRAWS, MOST_VALUES // mean[0].size))
    chosen = np.linspace(0, len(draws) - 1, min(len(draws), most)).round().astype(int)
    frames = [shades(draws[k], *ends) for k in chosen]
    height, width = frames[0].shape[:2]
    spread = over_channels(std)
    top = upper(spread)
    black, white = (middle + half * end for end in ends)
    compared = {"measurement": preview.y, "mean": data_uri(shades(mean, *ends))}
    if preview.truth is not None:
        compared["truth"] = preview.truth
    hidden = "".join(
        f'<img class="nw-other" data-name="{k}" alt="" src="{v}">' for k, v in compared.items()
    )
    holds = "".join(
        f'<button type="button" class="nw-hold" data-name="{k}">Hold: {k}</button>'
        for k in compared
    )
    count = len(frames)
    return (
        f'<div class="nw-viewer" data-count="{count}" data-width="{width}" data-height="{height}" '
        f'data-black="{black:.9g}" data-white="{white:.9g}" data-unit="{escape(unit)}">'
        f'<img class="nw-source" alt="" src="{data_uri(np.concatenate(frames))}">{hidden}'
        '<div class="nw-panes"><figure><canvas tabindex="0" role="application" aria-label="A draw. '
        'Arrow keys choose a pixel."></canvas><figcaption class="nw-name"></figcaption></figure>'
        f'<figure><img class="nw-spread" alt="Uncertainty: bright where the image is not known" '
        f'src="{data_uri(heat(spread, top))}"><figcaption>Uncertainty: 0 '
        f'<span class="nw-bar" aria-hidden="true"></span> {top * half:.3g} {escape(unit)}'
        "</figcaption></figure></div>"
        f'<div class="nw-row"><label>Draw <input type="range" class="nw-slide" min="1" '
        f'max="{count}" value="1"></label>'
        f'<button type="button" class="nw-blink" aria-pressed="false">Blink</button>{holds}</div>'
        '<div class="nw-pixel" aria-live="polite"></div></div>'
    )


def _unit(run: "Run") -> tuple[float, float, str]:
    """What 0 and a difference of 1 stand for, and the unit."""
    scale, unit, _ = origin_of(run, None)
    return float(scale.middle), float(scale.half), unit
