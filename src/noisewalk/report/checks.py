"""The list of a run's numbers: each with its name, its group and its verdict."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..evaluate.diagnostics.predictive import chi2_p_value
from ..sampling.evidence import LONG
from . import verdicts
from .data import ReportData
from .text import Value
from .verdicts import MARKS, Judge, said

TRUST, TRUTH, COST, OTHER = GROUPS = (
    "Can the draws be trusted?",
    "How close are they to the truth?",
    "What did they cost?",
    "Other numbers",
)
Row = tuple[str, str, str, Judge]  # key, name, the reason if missing ("": not shown), judge


@dataclass(frozen=True)
class Check:
    """A number, None if missing, with what it says or why it is missing; mark "": no threshold."""

    key: str
    group: str
    name: str
    value: Value
    text: str
    mark: str = ""


def checks(data: ReportData) -> list[Check]:
    """The known numbers in the order of `GROUPS`, then the rest of the summary; of those that are
    missing, R-hat and ESS alone, with the reason."""
    items = data.summary.items()
    summary = {k: v.item() if isinstance(v, np.generic) else v for k, v in items}
    images = given if isinstance(given := summary.get("num_images"), int) else 1
    num_observed = int(data.measured.sum()) * images
    std = None if data.chi2_std is None else data.chi2_std / math.sqrt(images)
    if data.chi2_is_exact:
        std = math.sqrt(2.0 / max(num_observed, 1)) if std is None else std
        summary.setdefault("chi2_p_value", _p_value_of(summary.get("chi2"), num_observed))
    summary.setdefault("chi2_p_value", None)
    trust = _trust(data, verdicts.chi2(num_observed, std), summary)
    truth = _truth(data, summary)
    groups = {TRUST: trust, TRUTH: truth, COST: _COST}
    placed = [(group, row) for group, rows in groups.items() for row in rows]
    wanted = [(group, row) for group, row in placed if row[0] in summary or row[2]]
    told = _TOLD if summary.get("log_evidence") is None else _TOLD | _OF_CHAINS
    rest = [key for key in summary if key not in {row[0] for _, row in wanted} | told]
    names = {key: _OTHER.get(key, key.replace("_", " ").capitalize()) for key in rest}
    wanted += [(OTHER, (key, names[key], "Not given.", said(""))) for key in rest]
    all_found = [_check(group, *row, summary.get(row[0])) for group, row in wanted]
    kept = () if summary.get("log_evidence") is not None else _TOLD_MISSING
    found = [one for one in all_found if one.value is not None or one.key in kept]
    if summary.get("verdict") is None:
        return found
    judged = summary["verdict"], str(summary.get("verdict_reason") or "")
    ruling = Check("verdict", TRUST, "Verdict", *judged, MARKS.get(str(judged[0]), ""))
    return [ruling, *(_one_voice(check, ruling) for check in found)]


def _one_voice(check: Check, ruling: Check) -> Check:
    """A check as it stands under the verdict, which has weighed all of them: where it trusts the
    draws, no number of the same group warns."""
    quiet = ruling.mark == "good" and check.group == TRUST and check.mark in ("warn", "bad")
    return replace(check, mark="") if quiet else check


def worst(found: list[Check]) -> str:
    """The worst mark among checks; "" if none carries a mark."""
    marks = {check.mark for check in found}
    return next((mark for mark in ("bad", "warn", "good") if mark in marks), "")


def _check(group: str, key: str, name: str, why: str, judge: Judge, value: Value) -> Check:
    if value is None:
        return Check(key, group, name, None, why)
    if isinstance(value, str):
        return Check(key, group, name, value, "")
    if not math.isfinite(value) and not (key == "r_hat_max" and value > 0):
        why = why if key in _TOLD_MISSING else "Not a finite number."
        return Check(key, group, name, None, why)
    mark, text = judge(float(value))
    return Check(key, group, name, value, text.strip(), mark)


def _p_value_of(chi2: Value, num_observed: int) -> float | None:
    """The p-value at the mean of chi2 over the draws."""
    if not isinstance(chi2, int | float) or not (0 <= chi2 < math.inf and num_observed > 0):
        return None
    return float(chi2_p_value(torch.tensor([chi2], dtype=torch.float64), num_observed))


def _trust(data: ReportData, chi2: Judge, summary: dict[str, Value]) -> list[Row]:
    length = data.nll.shape[1]
    draws = f"{_SEVERAL} Here each has {'one' if length == 1 else length}."
    draws = draws if length < LONG else "The draws do not vary, or are not finite."
    chains = "Needs at least two chains." if len(data.nll) == 1 else draws
    acceptance = verdicts.acceptance(data.has_step)
    r_hat: Judge = verdicts.r_hat
    ess: Judge = verdicts.ess
    tail: Judge = verdicts.ess_tail
    across: list[Row] = [("memory", "Memory of the particles", "", verdicts.memory)]
    if summary.get("verdict") is not None:
        r_hat = verdicts.r_hat_beside(summary.get("r_hat_max_perfect"))
        ess, tail = verdicts.unmarked(ess), verdicts.unmarked(tail)
    if summary.get("verdict") is not None and summary.get("log_evidence") is None:
        get = summary.get
        drift = verdicts.drift(get("drift_bound"), get("drift_p"))
        single = get("memory_largest"), get("memory_largest_p")
        kept = verdicts.chain_memory(get("memory_bound"), get("memory_p"), *single)
        across = [
            ("drift", "Drift", _EARLY, drift),
            ("memory", "Memory of the chains", _EARLY, kept),
            ("mcse_mean", "Monte Carlo error", _TWO, verdicts.mcse(get("mcse_std"))),
        ]
    return [
        *across,
        ("r_hat_max", "R-hat", chains, r_hat),
        ("ess_bulk_min", "ESS, bulk", draws, ess),
        ("ess_tail_min", "ESS, tail", draws, tail),
        ("acceptance_rate", "Acceptance", "This run has no accept step.", acceptance),
        ("divergences", "Diverging proposals", "", verdicts.divergences),
        ("chi2", "Residual χ²", "Needs noise with a known variance.", chi2),
        ("chi2_p_value", "χ² p-value", _GAUSSIAN, verdicts.p_value_beside(summary.get("chi2"))),
    ]


def _truth(data: ReportData, summary: dict[str, Value]) -> Iterator[Row]:
    why = "The truth is not known." if data.truth is None else "Not computed for this run."
    for metric, (name, text) in _METRICS.items():
        there = [of for of in _OF if metric + of in summary]
        for of in there or ([""] if metric != "lpips" else []):
            meant = "_mean" if of == "" and metric + "_draws" in summary else of
            yield metric + of, name + _OF[meant][0], why, said(text + _OF[meant][1])
    for key, (name, text) in _SPREAD.items():
        yield key, name, "", said(text)


_TOLD = {
    *("verdict", "verdict_reason", "verdict_cause", "r_hat_max_perfect", "mcse_std"),
    *("drift_bound", "drift_p", "memory_bound", "memory_p", "memory_largest", "memory_largest_p"),
}  # in the words of other rows
_TOLD_MISSING = ("r_hat_max", "ess_bulk_min", "ess_tail_min")
_OF_CHAINS = {"drift", "mcse_mean"}  # not of particles
_EARLY = "Needs two chains with an early state, or long ones."
_TWO = "Needs at least two chains."
_SEVERAL = f"Needs at least {LONG} draws in each chain."
_GAUSSIAN = "Needs a Gaussian likelihood with a known sigma_y."
_OTHER = {
    "complete": "All draws taken",
    "num_images": "Images",
    "num_chains": "Chains",
    "num_draws": "Draws per chain",
    "r_hat_median": "R-hat, median",
    "ess_bulk_median": "ESS, median",
    "step_size": "Step size, adapted if there was a warm-up",
    "z_norm2_per_dim": "|z|² per dimension",
    "log_evidence": "Log evidence",
    "log_evidence_error": "Standard error of the log evidence",
    "log_kappa": "Log condition number, upper bound",
    "likelihood": "Likelihood",
    "noise_level": "Noise level inferred from the draws, for pixels in [-1, 1]",
}
_METRICS = {
    "psnr": ("PSNR", "Peak signal-to-noise ratio in decibels, pixel by pixel. Higher is better."),
    "ssim": ("SSIM", "Structural similarity of local patches. It is 1 for identical images."),
    "lpips": ("LPIPS", "Perceptual distance, measured with a network. Lower is better."),
}
_SPREAD = {
    "energy_score": (
        "Energy score",
        "How near the draws are to the truth, and how honest their spread: the mean distance to it "
        "less half of that between draws. Lower is better.",
    ),
    "coverage": (
        "Coverage",
        "The share of the pixels whose truth lies, in grey levels, between two of the draws.",
    ),
    "coverage_nominal": (
        "Coverage, nominal",
        "The share that right draws have between these two, over many images.",
    ),
}
_OF = {
    "_mean": (" of the mean", " This is the score of the mean of the draws."),
    "_draws": (" of the draws", " This is the average score of single draws."),
    "": ("", ""),
}
_NFE = "All network evaluations, including the warm start and rejected moves."
_PER_DRAW = "All network calls divided by the number of kept draws."
_JUMP = "How far consecutive draws move: 1 for independent draws, near 0 for slow chains."
_TIME = "The number of steps times the step size, Nτ. The prior relaxes in a time of about 1."
_COST: list[Row] = [
    ("nfe", "Network calls", "Not counted.", said(_NFE)),
    ("nfe_per_draw", "Network calls per kept draw", "Not counted.", said(_PER_DRAW)),
    ("seconds", "Time", "Not measured.", said("Wall-clock time of the run.")),
    ("jump", "Jump", _SEVERAL, said(_JUMP)),
    ("langevin_time", "Langevin time", "This kernel has no step size.", said(_TIME)),
]
