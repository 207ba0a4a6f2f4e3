"""What a run shows of itself: drift, memory, Monte Carlo error, fit and stuck chains."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ..evaluate.diagnostics.across import (
    Tested,
    drift,
    largest_memory,
    memory,
    monte_carlo_error,
    p_value,
    projected,
)
from ..evaluate.diagnostics.boxes import blocks
from ..evaluate.diagnostics.chains import NUM_PROJECTIONS, halves, perfect_r_hat
from ..evaluate.diagnostics.predictive import chi2_p_value
from ..likelihoods.parser import CLASSES

if TYPE_CHECKING:
    from .run import Run

LONG = 20  # draws a chain from which on it is judged by its halves
OUTLIER, OUTLIER_FLOOR = 5.0, 12.0
"""Standard deviations and nats from the median chain's log posterior at which a chain is stuck."""
SEVERAL = 8  # transitions after which a chain that never accepted is stuck


class OfImage(NamedTuple):
    """What the chains of one image show together; None without two states of each."""

    drift: Tested | None
    memory: Tested | None
    largest: Tested | None
    error: tuple[float, float]
    finite: bool


@dataclass(frozen=True)
class Evidence:
    """The numbers that a verdict rests on; NaN where the run cannot tell.

    Sizes and bounds are of the worst image, p-values of all images together; `fit_p` is the
    two-sided p-value of `chi2` of the worst image, times the images.
    """

    drift: float
    drift_bound: float
    drift_p: float
    memory: float
    memory_bound: float
    memory_p: float
    memory_largest: float
    memory_largest_p: float
    mcse_mean: float
    mcse_std: float
    r_hat_max: float
    r_hat_perfect: float
    ess: float
    chi2: float
    fit_p: float
    stuck: str


def of_image(run: "Run", draws: Any, lp: Tensor | None, image: int) -> OfImage:
    """What one image's draws (chain, draw, *x), of log posterior (chain, draw), show."""
    chains, count = draws.shape[:2]
    finite = all(bool(block.isfinite().all()) for _, block in blocks(draws))
    if run.log_evidence is not None or chains < 2 or not finite:  # particles are not independent
        return OfImage(None, None, None, (math.nan, math.nan), finite)
    error = monte_carlo_error(draws)
    early, density, std = None, None, None
    if count >= LONG:
        half = count // 2
        early, last, std = halves(draws)
        density = None if lp is None else (lp[:, :half].mean(1), lp[:, half:].mean(1))
    elif run.early_x is not None:
        early, last = run.early_x[image], draws[:, -1]
        if run.early_lp is not None and lp is not None:
            density = run.early_lp[image], lp[:, -1]
    if early is None:
        return OfImage(None, None, None, error, finite)
    sides = projected(early, last)
    kept = memory(early, last, image, sides)
    moved = drift(early, last, density, kept.size, std, image, sides)
    return OfImage(moved, kept, largest_memory(early, last, image, sides), error, finite)


def evidence_of(
    run: "Run", images: list[OfImage], lp: Tensor | None, worst: dict[str, float]
) -> Evidence:
    """The evidence of a run from that of its images, its log posteriors (image, chain, draw) and
    its diagnostics."""
    drifts = [one.drift for one in images if one.drift is not None]
    memories = [one.memory for one in images if one.memory is not None]
    largest = [one.largest for one in images if one.largest is not None]
    shape, ess = run.draws.shape, worst["ess_bulk_median"]
    looked_at = math.prod(shape[3:]) + NUM_PROJECTIONS
    chi2, fit_p = _fit(run)
    return Evidence(
        drift=_most([one.size for one in drifts]),
        drift_bound=_most([one.bound for one in drifts]),
        drift_p=p_value(drifts),
        memory=_most([one.size for one in memories]),
        memory_bound=_most([one.bound for one in memories]),
        memory_p=p_value(memories),
        memory_largest=_most([one.size for one in largest]),
        memory_largest_p=p_value(largest),
        mcse_mean=_most([one.error[0] for one in images]),
        mcse_std=_most([one.error[1] for one in images]),
        r_hat_max=worst["r_hat_max"],
        r_hat_perfect=perfect_r_hat(shape[1], shape[2], ess, looked_at),
        ess=ess,
        chi2=chi2,
        fit_p=fit_p,
        stuck=_stuck(run, lp, worst["r_hat_max"], all(one.finite for one in images)),
    )


def transitions_of(run: "Run") -> int:
    """Transitions of a chain since the adaptation has stopped."""
    settling = run.spec.get("plan", {}).get("num_settling", 0)
    return int(settling) + int(run.draws.shape[2]) * run.thin


def log_posterior(run: "Run") -> Tensor | None:
    """`Run.lp`; None for the draws of another sampler."""
    return run.lp if {"z", "nll"} <= run.arrays.keys() and run.draws.shape[2] else None


def _most(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).max()) if values else math.nan


def _fit(run: "Run") -> tuple[float, float]:
    """Chi-square of the image that fits worst and its p-value, where the law is known."""
    facts = run.spec.get("likelihood", {})
    exact = {cls.__name__ for cls in CLASSES.values() if cls.chi2_is_exact}
    known = isinstance(facts, dict) and facts.get("name") in exact
    if not known or run.num_observed is None or "chi2" not in run.arrays:
        return math.nan, math.nan
    chi2 = run.arrays["chi2"][...].to(torch.float64).flatten(1).mean(1)
    counts = [max(1, int(m)) for m in run.num_observed]
    above = [chi2_p_value(c[None], m) for c, m in zip(chi2, counts, strict=True)]
    p = 2 * torch.stack([torch.minimum(one, 1 - one) for one in above])
    worst = int(p.argmin())
    return float(chi2[worst]), min(1.0, float(p[worst]) * len(p))


def _stuck(run: "Run", lp: Tensor | None, r_hat: float, finite: bool) -> str:
    """What shows that chains are stuck, as a sentence; "" if nothing does."""
    chains = run.draws.shape[0] * run.draws.shape[1]
    if not finite:
        return "Some draws are not finite."
    if math.isinf(r_hat):
        return "The chains are stuck, each in its own place."
    if run.log_evidence is not None:
        return ""
    if "accepted" in run.arrays and transitions_of(run) >= SEVERAL:
        still = ~run.arrays["accepted"][...].any(2)
        if still.any():
            count, diverging = int(still.sum()), run.arrays["diverging"][...].all(2)
            why = " and had proposals that were not finite" if (diverging & still).any() else ""
            return f"{count} of {chains} chains never accepted a proposal{why}."
    far = 0 if lp is None else _outliers(lp, run.z.shape[3:])
    verb = "is" if far == 1 else "are"
    told = f"{far} of {chains} chains {verb} stuck far from the others"
    return f"{told}, by their log posterior." if far else ""


def _outliers(lp: Tensor, shape: Any) -> int:
    """Chains whose log posterior is far from their image's median; a posterior like a Gaussian of d
    dimensions has a standard deviation of sqrt(d / 2)."""
    if lp.shape[1] < 3:
        return 0
    level = lp[..., lp.shape[2] // 2 :].mean(2)
    away = (level - level.median(1, keepdim=True).values).abs()
    robust = 1.4826 * away.median(1, keepdim=True).values
    scale = robust.clamp(min=math.sqrt(math.prod(shape) / 2))
    return int((away > (OUTLIER * scale).clamp(min=OUTLIER_FLOOR)).sum())
