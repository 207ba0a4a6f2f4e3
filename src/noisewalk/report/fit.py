"""How the draws of a run fit its measurement, averaged over the draws."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..evaluate.diagnostics.evidence import log_kappa
from ..evaluate.diagnostics.predictive import chi2_p_value
from ..sampling.run import Run
from .model import Model


class Fit(NamedTuple):
    """The fit; None or empty where the run does not tell its operator and its likelihood.

    `residual`, (image, *y), is in units of the noise, and None where the noise has no variance.
    `chi2_std`, (image,), is the standard deviation of chi2 under the model. `numbers` go into the
    summary, as far as they exist: noise_level, which is sigma_y where the likelihood infers it;
    log_kappa, an upper bound for the worst image of a run with an evidence; and chi2_p_value, the
    posterior predictive one of the image where it is most extreme.
    """

    residual: Tensor | None = None
    chi2_std: Tensor | None = None
    numbers: Mapping[str, float] = {}


def fit_of(run: Run, y: Tensor, model: Model, observed: Tensor | None) -> Fit:
    """Compare A(x) of every draw with the measurement, one draw at a time: a stored run may be
    larger than memory."""
    A, likelihood = model.operator, model.likelihood
    if A is None or likelihood is None:
        return Fit()
    images, chains, count = run.draws.shape[:3]
    ys = y.repeat_interleave(chains, 0)
    seen = None if observed is None else observed.repeat_interleave(chains, 0)
    residual = torch.zeros(y.shape, dtype=torch.float64)
    std, levels = torch.zeros(images, dtype=torch.float64), []
    for k in range(count):
        mean = A(run.draws[:, :, k].flatten(0, 1))
        one = likelihood.residual(mean, ys, seen)
        residual += one.reshape(images, chains, *y.shape[1:]).mean(1) / count
        std += likelihood.residual_chi2_std(mean, seen).reshape(images, chains).mean(1) / count
        if (level := likelihood.noise_level(mean, ys, seen)) is not None:
            levels.append(float(level.mean()))
    numbers = {
        "noise_level": sum(levels) / count if levels else None,
        "log_kappa": _kappa(run, likelihood.sup_log_likelihood(y, observed)),
        "chi2_p_value": _p_value(run) if model.chi2_is_exact else None,
    }
    known = {name: value for name, value in numbers.items() if value is not None}
    return Fit(residual if residual.isfinite().all() else None, std, known)


def _kappa(run: Run, sup: Any) -> float | None:
    if run.log_evidence is None or sup is None:
        return None
    return float(log_kappa(run.log_evidence, sup).max())


def _p_value(run: Run) -> float | None:
    if run.num_observed is None:
        return None
    each = zip(run.arrays["chi2"][...].flatten(1), run.num_observed.tolist(), strict=True)
    found = [float(chi2_p_value(values, int(observed))) for values, observed in each]
    return max(found, key=lambda p: abs(p - 0.5))
