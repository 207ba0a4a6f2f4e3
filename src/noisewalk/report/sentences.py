"""What a report says of its run in plain words: may the uncertainty map be used, and what next."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from ..sampling.verdict import CHECK, DOUBT, TRUST
from .verdicts import MARKS, R_HAT_BAD

YES = (
    "You may use the uncertainty map: the draws have passed their tests, and where the map is "
    "bright, the image is not known."
)
AS_WELL = "You may use the mean as well. It is the best single estimate of the image."
OPENINGS = {
    CHECK: "Do not rely on the uncertainty map yet",
    DOUBT: "Do not use the uncertainty map",
}
CAUSES = {
    "empty": "there are no draws yet",
    "short": "this run is too short to tell whether the map is right",
    "particles": "one run of particles cannot tell whether the map is right",
    "unfinished": "the run is not finished",
    "foreign": "it is not known how these draws were made",
    "unadjusted": "this sampler has an error that its chains cannot show",
    "stuck": "some chains are stuck",
    "calibration": "it has failed the calibration on problems like this one",
    "misfit": "the restored images do not fit the measurement",
    "moving": "the chains were still moving when the run ended",
    "memory": "the chains still remember where they started",
    "mixing": "the chains disagree about the image",
}
ADVICE = {
    "calibration": "Run longer chains, and calibrate again.",
    "misfit": (
        "Check the noise level, the value range and the operator. If they are right, run it again "
        "with randomised starts, another seed and a longer warm-up, `--start randomized --seed 1 "
        "--num-warmup 32`. If chi-square stays where it is, the prior cannot produce this "
        "measurement: `--representation-error card` allows for what a prior is known to miss."
    ),
}
"""Where the last sentence of the verdict's reason does not say what to do."""


def sentence(summary: Mapping[str, Any], r_hat: np.ndarray | None = None) -> str:
    """The verdict of a run as one sentence; "" for numbers without a verdict."""
    verdict = summary.get("verdict")
    if verdict == TRUST:
        return YES
    if verdict not in OPENINGS:
        return ""
    cause = str(summary.get("verdict_cause"))
    why = CAUSES.get(cause, "the chains have not settled" if verdict == DOUBT else CAUSES["short"])
    return f"{OPENINGS[verdict]}: {why}{_share(r_hat) if cause == 'mixing' else ''}."


def next_step(summary: Mapping[str, Any]) -> str:
    """What follows from the verdict: what to do, from the last sentence of its reason."""
    if summary.get("verdict") == TRUST:
        return AS_WELL
    told = str(summary.get("verdict_reason") or "").removesuffix(".")
    last = told.rsplit(". ", 1)[-1]
    if last.startswith("--"):
        last = f"Run it again with {last.removesuffix(' would be enough')}"
    todo = ADVICE.get(str(summary.get("verdict_cause")), f"{last}." if last else "")
    return f"What to do next: {todo[:1].lower()}{todo[1:]}" if todo else ""


def of_several(summaries: Sequence[Mapping[str, Any]]) -> str:
    """The verdict of several images as one sentence."""
    count, good = len(summaries), sum(one.get("verdict") == TRUST for one in summaries)
    if not all(one.get("verdict") in MARKS for one in summaries):
        return f"{count} images"
    if good == count:
        both = "both" if count == 2 else f"all {count}"
        return f"You may use the uncertainty maps of {both} images."
    if not good:
        return f"Do not use the uncertainty maps of these {count} images yet."
    return f"You may use the uncertainty maps of {good} of these {count} images."


def _share(r_hat: np.ndarray | None) -> str:
    """In how many pixels the chains disagree."""
    if r_hat is None or not np.isfinite(r_hat).any():
        return ""
    worst = np.nanmax(np.where(np.isnan(r_hat), -np.inf, r_hat), axis=0)
    share = float(np.mean(worst > R_HAT_BAD))
    return f", in {max(1, round(100 * share))}\u00a0% of the pixels" if share else ""


def plain_code(text: str) -> str:
    """A text as HTML, with options and what stands between backticks as code."""
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        words = (escape(word) for word in parts[i].split(" "))
        parts[i] = " ".join(f"<code>{w}</code>" if w.startswith("--") else w for w in words)
    return "".join(f"<code>{escape(p)}</code>" if i % 2 else p for i, p in enumerate(parts))
