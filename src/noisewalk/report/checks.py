"""The key numbers of a run: what each says in plain words, and a mark by a stated threshold.

For a Gaussian likelihood with known sigma_y the truth's misfit m chi2 = sum((y - A(x))^2) /
sigma_y^2 over m observed entries follows chi-square(m), and so does that of a draw from the exact
posterior (y and a draw are then distributed as y and the truth): mean 1 and standard deviation
sqrt(2 / m) for chi2. The mean over draws spreads less, so the band below is on the safe side. Other
likelihoods have another standard deviation (`ReportData.chi2_std`) and no p-value, as their chi2
follows another distribution.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .data import ReportData

TRUST, TRUTH, COST, OTHER = (
    "Can it be trusted?",
    "How close to the truth?",
    "What did it cost?",
    "Other numbers",
)
GROUPS = (TRUST, TRUTH, COST, OTHER)
R_HAT_GOOD, R_HAT_BAD = 1.05, 1.2
ESS_GOOD, ESS_BAD = 400.0, 50.0
ACCEPTANCE_GOOD, ACCEPTANCE_BAD = 0.4, 0.1
MEMORY_GOOD, MEMORY_BAD = 0.3, 0.6

Value = float | int | str | None
Verdict = tuple[str, str]
"""A mark ("good", "warn", "bad" or "" for none) and a sentence in plain words."""
Row = tuple[str, str, str, Callable[[float], Verdict]]
"""Key, name, the reason if it is missing ("": then not shown), verdict."""


@dataclass(frozen=True)
class Check:
    """One number with its meaning.

    Arguments:
        key: name in the summary.
        group: one of `GROUPS`.
        name: as shown.
        value: the number; None: missing.
        text: what it says, or why it is missing.
        mark: "good", "warn", "bad", or "" where no threshold applies.
    """

    key: str
    group: str
    name: str
    value: Value
    text: str
    mark: str = ""


def checks(data: ReportData) -> list[Check]:
    """Read the summary.

    Arguments:
        data: the report's content.

    Returns:
        The known numbers in the order of `GROUPS`, missing ones with the reason, and then every
        other entry of the summary.
    """
    summary: dict[str, Value] = {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in data.summary.items()
    }
    images = summary.get("num_images")
    images = images if isinstance(images, int) else 1
    num_observed = int(data.measured.sum()) * images
    gaussian = data.likelihood.split(":")[0] == "gaussian"
    summary.setdefault(
        "chi2_p_value", _p_value_of(summary.get("chi2"), num_observed) if gaussian else None
    )
    plain = math.sqrt(2.0 / max(num_observed, 1)) if gaussian else None
    std = plain if data.chi2_std is None else data.chi2_std / math.sqrt(images)
    rows = (
        [(TRUST, *row) for row in _trust(data, num_observed, std)]
        + [(TRUTH, *row) for row in _truth(data, summary)]
        + [(COST, *row) for row in _COST]
    )
    out = [
        _check(group, key, name, why, judge, summary.get(key))
        for group, key, name, why, judge in rows
        if key in summary or why
    ]
    known = {c.key for c in out}
    return out + [
        _check(
            OTHER, key, _OTHER.get(key, key.replace("_", " ")), "not given", _said(""), summary[key]
        )
        for key in summary
        if key not in known
    ]


def worst(found: list[Check]) -> str:
    """The worst mark among checks.

    Arguments:
        found: checks.

    Returns:
        "bad", "warn" or "good"; "" if none carries a mark.
    """
    return next(
        (mark for mark in ("bad", "warn", "good") if any(c.mark == mark for c in found)), ""
    )


def _r_hat(value: float) -> Verdict:
    text = (
        "Spread between chains against spread within them, at the worst pixel; 1 when they agree. "
        f"Good up to {R_HAT_GOOD}. "
    )
    if math.isinf(value):
        return (
            "bad",
            text
            + "Each chain is stuck at a place of its own: the draws say nothing of the posterior.",
        )
    if value <= R_HAT_GOOD:
        return "good", text + "The chains tell the same story."
    mark = "warn" if value <= R_HAT_BAD else "bad"
    return (
        mark,
        text
        + (
            "The chains have not mixed: means and uncertainties still depend on where they "
            "started. Run longer."
        ),
    )


def _enough(ess: float) -> str:
    return "good" if ess >= ESS_GOOD else "warn" if ess >= ESS_BAD else "bad"


def _ess(value: float) -> Verdict:
    text = (
        "Effective sample size: independent draws that the chains are worth at the worst pixel. "
        f"Good from {ESS_GOOD:.0f}, too few below {ESS_BAD:.0f}. "
    )
    return _enough(value), text + (
        (
            f"The mean map is known to {_digits(100 / math.sqrt(value))}\u00a0% of the uncertainty "
            "shown."
        )
        if value > 0
        else ""
    )


def _ess_tail(value: float) -> Verdict:
    text = (
        "The same for the ends of the intervals, the 5\u00a0% and 95\u00a0% quantiles. Good from "
        f"{ESS_GOOD:.0f}, too few below {ESS_BAD:.0f}."
    )
    return _enough(value), text


def _acceptance_without_step(value: float) -> Verdict:
    return (
        "",
        "One over the number of points tried until one is accepted: slice sampling has no step "
        "size, and a small share only means more network calls.",
    )


def _acceptance(value: float) -> Verdict:
    mark = "good" if value >= ACCEPTANCE_GOOD else "warn" if value >= ACCEPTANCE_BAD else "bad"
    text = (
        "Share of proposals that a Metropolis test accepts; for an unadjusted kernel, how nearly "
        "exact its steps are. "
    )
    text += f"Good from {ACCEPTANCE_GOOD}, bad below {ACCEPTANCE_BAD}. "
    return mark, text + ("" if mark == "good" else "The step is too large for this problem.")


def _memory(value: float) -> Verdict:
    mark = "good" if value <= MEMORY_GOOD else "warn" if value <= MEMORY_BAD else "bad"
    text = (
        "How much the particles' places after their moves have to do with where resampling put "
        "them: a correlation, at the worst temperature. "
    )
    text += f"Good up to {MEMORY_GOOD}, bad above {MEMORY_BAD}. "
    return mark, text + (
        ""
        if mark == "good"
        else (
            "Copies stay together, or the posterior is in separate modes, which no move joins. "
            "Compare the log evidence of two seeds."
        )
    )


def _diverging(value: float) -> Verdict:
    return ("good" if value == 0 else "bad"), "Proposals that were not finite. Good: none."


def _chi2(num_observed: int, std: float | None) -> Callable[[float], Verdict]:
    def judge(value: float) -> Verdict:
        text = (
            "Squared residual y − A(x) per entry, in units of the noise; 1 when the draws explain "
            "the measurement up to noise. "
        )
        if std is None:
            return "", text + "How far it may be from 1 under this likelihood is not known here."
        if not math.isfinite(std):
            return "", text + "The noise has outliers of any size, so that no band can be given."
        band = 2.0 * std
        mark = (
            "good"
            if abs(value - 1.0) <= band
            else "warn"
            if abs(value - 1.0) <= 2.0 * band
            else "bad"
        )
        text += (
            f"With {num_observed} observed entries, 95\u00a0% of the time an exact posterior lies "
            f"in {max(0.0, 1.0 - band):.3f} to {1.0 + band:.3f}. "
        )
        above = "Too large: the draws miss the measurement, or the noise is set too small."
        below = "Too small: the draws follow the noise, or the noise is set too large."
        return mark, text + ("" if mark == "good" else above if value > 1 else below)

    return judge


def _p_value(value: float) -> Verdict:
    tail = 2.0 * min(value, 1.0 - value)
    mark = "good" if tail >= 0.05 else "warn" if tail >= 0.0001 else "bad"
    return (
        mark,
        "Chance that pure noise leaves a larger residual. Good from 0.025 to 0.975; near 0 the "
        "draws miss the measurement, near 1 they follow its noise.",
    )


def _p_value_of(chi2: Value, num_observed: int) -> float | None:
    """The p-value at the mean of chi2 over the draws."""
    import torch

    from ..evaluate.diagnostics.predictive import chi2_p_value

    if not isinstance(chi2, int | float) or not (
        math.isfinite(chi2) and chi2 >= 0 and num_observed > 0
    ):
        return None
    return float(chi2_p_value(torch.tensor([chi2], dtype=torch.float64), num_observed))


def _said(text: str) -> Callable[[float], Verdict]:
    return lambda _: ("", text)


def _trust(data: ReportData, num_observed: int, std: float | None) -> list[Row]:
    draws = _SEVERAL if data.nll.shape[1] > 1 else _SEVERAL + "; here each chain is one particle"
    chains = "needs two chains or more" if len(data.nll) == 1 else draws
    return [
        ("r_hat_max", "R-hat", chains, _r_hat),
        ("ess_bulk_min", "ESS, bulk", draws, _ess),
        ("ess_tail_min", "ESS, tail", draws, _ess_tail),
        ("memory", "Memory of the particles", "", _memory),
        (
            "acceptance_rate",
            "Acceptance",
            "this run has no accept step to report",
            _acceptance if data.has_step else _acceptance_without_step,
        ),
        ("divergences", "Diverging proposals", "", _diverging),
        ("chi2", "Residual χ²", _VARIANCE, _chi2(num_observed, std)),
        ("chi2_p_value", "χ² p-value", _GAUSSIAN, _p_value),
    ]


def _truth(data: ReportData, summary: dict[str, Value]) -> list[Row]:
    why = "the truth is not known" if data.truth is None else "not computed for this run"
    rows = []
    for metric, (name, text) in _METRICS.items():
        there = [of for of in _OF if metric + of in summary]
        for of in there or ([""] if metric != "lpips" else []):
            meant = "_mean" if of == "" and metric + "_draws" in summary else of
            rows.append((metric + of, name + _OF[meant][0], why, _said(text + _OF[meant][1])))
    return rows


_SEVERAL = "needs at least four draws in each chain"
_VARIANCE = "needs a likelihood whose noise has a known variance"
_GAUSSIAN = "needs a Gaussian likelihood with a known sigma_y"
_OTHER = {
    "complete": "All draws taken",
    "num_images": "Images",
    "num_chains": "Chains",
    "num_draws": "Draws per chain",
    "r_hat_median": "R-hat, median",
    "ess_bulk_median": "ESS, median",
    "step_size": "Step size",
    "z_norm2_per_dim": "|z|² per dimension",
    "log_evidence": "Log evidence",
    "log_evidence_error": "Its standard error",
    "log_kappa": "Log condition number, at most",
    "likelihood": "Likelihood",
    "noise_level": "Noise level that the draws tell, pixels in [-1, 1]",
}
_METRICS = {
    "psnr": (
        "PSNR",
        "Peak signal-to-noise ratio in decibels: pixelwise closeness, higher is better.",
    ),
    "ssim": ("SSIM", "Structural similarity: local structure, 1 is identical."),
    "lpips": (
        "LPIPS",
        "Distance as a network (AlexNet) sees it: lower is better; computed where its weights "
        "are (noisewalk priors get lpips-alex).",
    ),
}
_OF = {
    "_mean": (" of the mean", " The mean is the best point estimate in this sense."),
    "_draws": (
        " of the draws",
        " Averaged over single draws, which keep texture and therefore score below their mean.",
    ),
    "": ("", ""),
}
_COST: tuple[Row, ...] = (
    (
        "nfe",
        "Network calls",
        "not counted",
        _said("All network evaluations, warm start and rejected moves included."),
    ),
    (
        "nfe_per_draw",
        "Network calls per kept draw",
        "not counted",
        _said("The price of one more draw."),
    ),
    ("seconds", "Time", "not measured", _said("Wall-clock time of the run.")),
    (
        "jump",
        "Jump",
        _SEVERAL,
        _said(
            "How far consecutive draws move: 1 as far as independent draws, near 0 when the "
            "chain crawls."
        ),
    ),
    (
        "langevin_time",
        "Langevin time",
        "this kernel has no step size",
        _said("Steps times step size, Nτ. The prior relaxes in a time of about 1."),
    ),
)


def _check(
    group: str, key: str, name: str, why: str, judge: Callable[[float], Verdict], value: Value
) -> Check:
    if value is None:
        return Check(key, group, name, None, why[:1].upper() + why[1:] + ".")
    if isinstance(value, str):
        return Check(key, group, name, value, "")
    if not math.isfinite(value) and not (key == "r_hat_max" and value > 0):
        return Check(
            key,
            group,
            name,
            None,
            f"Not a finite number ({value}): too few draws, or draws that do not vary.",
        )
    mark, text = judge(float(value))
    return Check(key, group, name, value, text.strip(), mark)


def _digits(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"
