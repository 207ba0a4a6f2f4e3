"""A run in numbers: cost and diagnostics, of the worst image where there are several."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from ..evaluate.diagnostics.chains import image_diagnostics

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


def summary_of(run: "Run") -> dict[str, Any]:
    """The dict of `Run.summary`; NaN where there are too few draws to say."""
    images, chains, draws = run.draws.shape[:3]
    step = _average(run, "step_size")
    diverged = draws and "diverging" in run.arrays
    return {
        "num_images": images,
        "num_chains": chains,
        "num_draws": draws,
        "complete": run.complete,
        "nfe": run.nfe,
        "nfe_per_draw": run.nfe / max(1, images * chains * draws),
        "seconds": run.seconds,
        "acceptance_rate": _average(run, "acceptance_rate"),
        "divergences": int(run.arrays["diverging"][...].sum()) if diverged else 0,
        **_diagnostics(run),
        "step_size": step,
        "langevin_time": draws * run.thin * step,
        **_evidence(run),
        "chi2": _average(run, "chi2"),
        "z_norm2_per_dim": _mean_square(run),
    }


def _diagnostics(run: "Run") -> dict[str, float]:
    images, _, draws = run.draws.shape[:3]
    if not draws:
        return dict.fromkeys(WORST, float("nan"))
    found = [image_diagnostics(run.draws[i]) for i in range(images)]
    return {key: float(pick(torch.tensor([d[key] for d in found]))) for key, pick in WORST.items()}


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
