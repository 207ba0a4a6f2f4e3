"""A run in numbers: verdict, cost and diagnostics, of the worst image where there are several."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..evaluate.diagnostics.boxes import OneImage
from ..evaluate.diagnostics.chains import image_diagnostics
from .evidence import LONG, Evidence, OfImage, evidence_of, log_posterior, of_image
from .scores import scores_of
from .verdict import verdict_of

if TYPE_CHECKING:
    from .run import Run

WORST: dict[str, Callable[..., Any]] = {
    "r_hat_max": torch.max,
    "r_hat_median": torch.max,
    "ess_bulk_min": torch.min,
    "ess_bulk_median": torch.min,
    "ess_tail_min": torch.min,
    "jump": torch.min,
}
"""Diagnostics of an image, and which of several images' values is told."""
TESTS = [
    "drift",
    "drift_bound",
    "drift_p",
    "memory",
    "memory_bound",
    "memory_p",
    "memory_largest",
    "memory_largest_p",
    "mcse_mean",
    "mcse_std",
]


def summary_of(run: "Run") -> dict[str, Any]:
    """The dict of `Run.summary`; NaN where there are too few draws to say: R-hat and ESS take
    `LONG` draws of each chain."""
    images, chains, draws = run.draws.shape[:3]
    step = _average(run, "step_size")
    diverged = draws and "diverging" in run.arrays
    worst, found = diagnosed(run)
    verdict, reason, cause = verdict_of(run, found)
    if draws < LONG:
        worst = {key: value if _told(key, value) else math.nan for key, value in worst.items()}
    return {
        "verdict": verdict,
        "verdict_reason": reason,
        "verdict_cause": cause,
        "num_images": images,
        "num_chains": chains,
        "num_draws": draws,
        "complete": run.complete,
        "nfe": run.nfe,
        "nfe_per_draw": run.nfe / max(1, images * chains * draws),
        "seconds": run.seconds,
        "acceptance_rate": _average(run, "acceptance_rate"),
        "divergences": int(run.arrays["diverging"][...].sum()) if diverged else 0,
        **worst,
        "r_hat_max_perfect": math.nan if draws < LONG else found.r_hat_perfect,
        **{key: vars(found)[key] for key in TESTS},
        "step_size": step,
        "langevin_time": draws * run.thin * step,
        **_evidence(run),
        "chi2": _average(run, "chi2"),
        **scores_of(run),
        "z_norm2_per_dim": _mean_square(run),
    }


def diagnosed(run: "Run") -> tuple[dict[str, float], Evidence]:
    """The diagnostics of the worst image, and the evidence of all; image by image."""
    images, _, draws = run.draws.shape[:3]
    each: list[dict[str, float]] = []
    shown: list[OfImage] = []
    lp: Tensor | None = log_posterior(run)
    for i in range(images if draws else 0):
        x = OneImage(run.draws, i)
        each.append(image_diagnostics(x))
        shown.append(of_image(run, x, None if lp is None else lp[i], i))
    worst = {
        key: float(pick(torch.tensor([one[key] for one in each]))) if each else math.nan
        for key, pick in WORST.items()
    }
    return worst, evidence_of(run, shown, lp, worst)


def _told(key: str, value: float) -> bool:
    """Whether a diagnostic says something of chains that are too short for R-hat and ESS: halves of
    them have no autocorrelation to speak of, but each may be stuck in its own place."""
    return key == "jump" or math.isinf(value)


def _evidence(run: "Run") -> dict[str, Any]:
    told: dict[str, Any] = {"log_evidence": None}
    if run.log_evidence is not None:
        told["log_evidence"] = float(run.log_evidence.sum())
    if run.log_evidence_error is not None:
        told["log_evidence_error"] = float(run.log_evidence_error.square().sum().sqrt())
    if run.memory is not None:
        told["memory"] = float(run.memory.max())
    return told


def _average(run: "Run", key: str) -> float:
    if not run.draws.shape[2] or key not in run.arrays:
        return float("nan")
    return float(run.arrays[key][...].to(torch.float64).mean())


def _mean_square(run: "Run") -> float:
    """|z|^2 per dimension, draw by draw."""
    draws = run.draws.shape[2]
    if not draws or "z" not in run.arrays:
        return float("nan")
    each = [run.z[:, :, k].to(torch.float64).square().mean() for k in range(draws)]
    return float(torch.stack(each).mean())
