"""How the draws of a run fit its measurement, averaged over the draws."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..evaluate.diagnostics.evidence import log_kappa
from ..evaluate.diagnostics.predictive import chi2_p_value
from ..sampling.run import Run
from .model import Model


class Fit(NamedTuple):
    """The fit; None or empty where the run does not tell its operator and its likelihood."""

    residual: Tensor | None = None  # (image, *y), in units of the noise
    chi2_std: Tensor | None = None  # (image,): standard deviation of chi2 under the model
    predicted: Tensor | None = None  # (image, *y): A(mean)
    numbers: Mapping[str, float] = {}  # for the summary: of the worst or most extreme image


def fit_of(run: Run, mean: Tensor, y: Tensor, model: Model, observed: Tensor | None) -> Fit:
    """Compare A(x) of every draw, and of their mean, with the measurement."""
    A, likelihood = model.operator, model.likelihood
    if A is None or likelihood is None:
        return Fit()
    images, chains, count = run.draws.shape[:3]
    ys = y.repeat_interleave(chains, 0)
    seen = None if observed is None else observed.repeat_interleave(chains, 0)
    residual = torch.zeros(y.shape, dtype=torch.float64)
    std, levels = torch.zeros(images, dtype=torch.float64), []
    for k in range(count):  # one draw at a time: a stored run may be larger than memory
        of_draw = A(run.draws[:, :, k].flatten(0, 1))
        one = likelihood.residual(of_draw, ys, seen)
        residual += one.reshape(images, chains, *y.shape[1:]).mean(1) / count
        std += likelihood.residual_chi2_std(of_draw, seen).reshape(images, chains).mean(1) / count
        if (level := likelihood.noise_level(of_draw, ys, seen)) is not None:
            levels.append(float(level.mean()))
    numbers = {"noise_level": sum(levels) / count} if levels else {}
    evidence, sup = run.log_evidence, likelihood.sup_log_likelihood(y, observed)
    if evidence is not None and sup is not None:
        numbers["log_kappa"] = float(log_kappa(evidence, sup).max())
    if model.chi2_is_exact and run.num_observed is not None:
        each = zip(run.arrays["chi2"][...].flatten(1), run.num_observed.tolist(), strict=True)
        p_values = [float(chi2_p_value(values, int(entries))) for values, entries in each]
        numbers["chi2_p_value"] = max(p_values, key=lambda p: abs(p - 0.5))
    predicted = None if model.counts else A(mean)
    return Fit(residual if residual.isfinite().all() else None, std, predicted, numbers)
