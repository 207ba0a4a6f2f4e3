"""The numbers of one cell: an image's samples beside its truth.

Fidelity is averaged over the samples; the mean of the samples is scored beside it. Coverage is the
share of pixels whose true value lies between the smallest and the largest of n samples, nominally
(n - 1) / (n + 1). R-hat is the median over pixels that vary and projections, from chains cut in
halves: from as few draws as a table's it is above 1 even where all draws are independent.
"""

from typing import Any

import torch
from torch import Tensor

from ...posterior import NoisePosterior
from .. import metrics
from ..diagnostics.chains import image_diagnostics
from ..metrics import features
from ..metrics.pixel import WINDOW

FIDELITY = ("psnr", "ssim", "lpips", "psnr_mean", "chi2", "coverage", "coverage_varied", "r_hat")
DIVERSITY = ("diversity_score", "similarity", "pairwise_lpips", "pixel_std", "vendi")
NAMES = (*FIDELITY, *DIVERSITY)
CLUSTERS = 6  # the diversity score needs more samples than this
RULES = 3  # version of these rules: cells scored by others are scored again


def score(
    draws: Tensor, truth: Tensor, target: NoisePosterior, chained: bool, bench: Any
) -> tuple[dict[str, Any], Tensor | None]:
    """The numbers of an image's samples (chain, draw, *x), NaN if missing, and their features."""
    x = draws.flatten(0, 1)
    out: dict[str, Any] = dict.fromkeys(NAMES, float("nan"))
    out["finite"] = bool(x.isfinite().all())
    if not out["finite"]:
        return out, None
    out["psnr"] = _mean(metrics.psnr(x, truth))
    out["psnr_mean"] = _mean(metrics.psnr(x.mean(0, keepdim=True), truth))
    if min(truth.shape[-2:]) >= WINDOW:
        out["ssim"] = _mean(metrics.ssim(x, truth))
    if bench.lpips_net is not None:
        out["lpips"] = _mean(metrics.lpips(x, truth, bench.lpips_net))
    out["chi2"] = _mean(target.chi2(x))
    if len(x) > 1:
        inside = metrics.covered(x, truth)
        out["coverage"], out["coverage_varied"] = _mean(inside), _mean(inside[bench.varied])
    if chained:
        out["r_hat"] = _r_hat(draws)
    found = None if bench.extractor is None else features(x, bench.extractor)
    if bench.diversity and len(x) > 1:
        out |= _diversity(x, found, bench)
    return out, found


def r_hat_of_independent(num_chains: int, num_draws: int) -> float:
    """The R-hat column if all draws were independent; NaN for too few draws."""
    generator = torch.Generator().manual_seed(0)
    shape = num_chains, num_draws, 1, 32, 32
    return _r_hat(torch.randn(shape, generator=generator, dtype=torch.float64))


def turned(draws: Tensor, truth: Tensor) -> Tensor:
    """Samples (..., *x), turned by 180 degrees where nearer: phase retrieval cannot tell."""
    other = draws.flip(-2, -1)
    there, here = ((x - truth).square().flatten(-3).sum(-1) for x in (other, draws))
    return torch.where((there < here)[..., None, None, None], other, draws)


def _r_hat(draws: Tensor) -> float:
    """Of chains (chain, draw, *x); a chain alone is taken as two, its halves."""
    half = draws.shape[1] // 2
    if len(draws) == 1 and half == 0:
        return float("nan")
    chains = draws if len(draws) > 1 else draws[0, -2 * half :].unflatten(0, (2, half))
    return image_diagnostics(chains)["r_hat_median"]


def _diversity(x: Tensor, found: Tensor | None, bench: Any) -> dict[str, float]:
    out = {"pixel_std": _mean(metrics.pixel_std(x[None]))}
    if bench.lpips_net is not None:
        out["pairwise_lpips"] = _mean(metrics.pairwise_lpips(x[None], bench.lpips_net))
    if found is None:
        return out
    scores: dict[str, Any] = {"similarity": metrics.clip_similarity, "vendi": metrics.vendi_score}
    if len(x) > CLUSTERS:
        scores["diversity_score"] = metrics.diversity_score
    for name, function in scores.items():
        other = bench.extractors.get(name)
        seen = found if other is None else features(x, other)  # computed once where it is the same
        out[name] = _mean(function(x[None], lambda _, seen=seen: seen, batch_size=len(x)))
    return out


def _mean(values: Tensor) -> float:
    return float(values.detach().to(torch.float64).mean())
