"""From a run folder to what a person looks at: report.html, summary.json and the three pictures."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._packages import locate
from ..errors import WeightsError
from ..evaluate.diagnostics.evidence import informative_epsilon, log_kappa
from ..evaluate.diagnostics.predictive import chi2_p_value
from ..evaluate.metrics import lpips, psnr, ssim
from ..evaluate.metrics.perceptual import ARCHIVES
from ..likelihoods import Gaussian, Laplace, StudentT
from ..likelihoods import parse as parse_likelihood
from ..operators import parse
from ..sampling.run import Run, open_run
from ..storage.store import open_store
from .checks import ESS_BAD, ESS_GOOD, MEMORY_BAD, R_HAT_GOOD
from .data import ReportData
from .html import render
from .images import write_images

SHOWN = 8
"""Draws shown per chain."""
LARGE_ERROR = 0.5
"""Standard error of a log evidence from which on its estimate is no more than a warning."""


def build_report(
    folder: str | Path, title: str | None = None, value_range: tuple[float, float] | None = None
) -> Path:
    """Write report.html, summary.json, samples.png, and the mean and the standard deviation as
    pictures and as numbers, into a run's folder.

    mean.npy and std.npy hold (C, H, W), or (image, C, H, W) of several images, in the unit that
    `value_range` gives.

    Arguments:
        folder: of the run, finished or not, from the command line or from
            `sample(..., store=folder)`.
        title: one line for people; None: the run's own.
        value_range: what -1 and 1 stand for; None: the run's own, (-1, 1) where it has none.

    Returns:
        Path of report.html.

    Raises:
        StoreError: there is no run with a draw.
        ConfigError: the images are not (C, H, W), or the range is none.
    """
    folder = Path(folder)
    data, summary = read_report_data(folder, title, value_range)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
    write_images(data, folder)
    _write_numbers(data, folder)
    path = folder / "report.html"
    path.write_text(render(data), encoding="utf-8")
    return path


def _write_numbers(data: list[ReportData], folder: Path) -> None:
    """The mean and the standard deviation in the user's unit."""
    low, high, _ = data[0].value_range
    for name, middle in (("mean", (low + high) / 2), ("std", 0.0)):
        values = np.stack([middle + data[0].scale * getattr(entry, name) for entry in data]).astype(
            np.float32
        )
        np.save(folder / f"{name}.npy", values[0] if len(values) == 1 else values)


def read_report_data(
    folder: Path, title: str | None = None, value_range: tuple[float, float] | None = None
) -> tuple[list[ReportData], dict[str, Any]]:
    """What the report shows, one entry per image.

    Arguments:
        folder: of the run.
        title: None: the run's own.
        value_range: None: the run's own.

    Returns:
        The entries, and the run's summary with scores where the truth is known; numbers that do not
        exist are None.
    """
    from ..errors import StoreError

    run, arrays = open_run(folder), open_store(folder).arrays
    if run.draws.shape[2] == 0:
        raise StoreError(
            f"{folder} has no draw yet: go on with --resume, or with the same nw.sample(..., "
            "store=...)"
        )
    given = {"title": title, "value_range": value_range}
    problem = {
        **run.spec.get("problem", {}),
        **{key: value for key, value in given.items() if value is not None},
    }
    run = replace(run, spec={**run.spec, "problem": problem})
    truth = arrays["truth"][...] if "truth" in arrays else None
    summary = {**run.summary(), **(_scores(run, truth) if truth is not None else {})}
    fit = _fit(run, arrays)
    if "likelihood" in run.spec.get("problem", {}):
        summary["likelihood"] = run.spec["problem"]["likelihood"]
    if fit.noise_level is not None:
        summary["noise_level"] = fit.noise_level
    if fit.log_kappa is not None:
        summary["log_kappa"] = fit.log_kappa
    if fit.p_value is not None:
        summary["chi2_p_value"] = fit.p_value
    told = {
        k: None if isinstance(v, float) and math.isnan(v) else v for k, v in summary.items()
    }  # an infinite R-hat says something
    shared = _Shared(run.mean, run.std, run.nll, run.lp, _shown(run.draws, SHOWN), fit)
    entries = [_entry(run, shared, arrays, told, truth, i) for i in range(run.draws.shape[0])]
    return entries, {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in told.items()
    }


class _Fit(NamedTuple):
    """How the draws stand to the measurement, averaged over them; None where the run does not say
    its operator and likelihood."""

    residual: Tensor | None = None
    """(image, *y) in units of the noise; None also where the noise has no variance."""
    chi2_std: Tensor | None = None
    """(image,) standard deviation of chi2 under the model."""
    noise_level: float | None = None
    """sigma_y, where the likelihood infers it."""
    log_kappa: float | None = None
    """Log condition number of the worst image, where the run has an evidence; an upper bound."""
    p_value: float | None = None
    """Posterior predictive p-value of chi2, of the image where it is most extreme; None where the
    noise is not Gaussian of a known size."""


class _Shared(NamedTuple):
    """What is read from the draws once for all images."""

    mean: Tensor
    std: Tensor
    nll: Tensor
    lp: Tensor
    shown: Tensor
    fit: _Fit


def _fit(run: Run, arrays: Mapping[str, Any]) -> _Fit:
    problem = run.spec.get("problem", {})
    if run.y is None or not {"operator", "likelihood"} <= problem.keys():
        return _Fit()
    held = {name: array[...][0] for name, array in arrays.items() if name.startswith("operator_")}
    A = parse(problem["operator"], tuple(run.draws.shape[3:]), held)
    likelihood: Any = parse_likelihood(problem["likelihood"], problem.get("sigma_y"))
    images, chains, count = run.draws.shape[:3]
    y, observed = (
        v.repeat_interleave(chains, 0) if v is not None else None
        for v in (run.y, arrays["observed"][...] if "observed" in arrays else None)
    )
    residual, std, level = (
        torch.zeros(run.y.shape, dtype=torch.float64),
        torch.zeros(images, dtype=torch.float64),
        0.0,
    )
    for k in range(count):  # one draw at a time: a stored run may be larger than memory
        mean = A(run.draws[:, :, k].flatten(0, 1))
        residual += (
            likelihood.residual(mean, y, observed).reshape(images, chains, *run.y.shape[1:]).mean(1)
            / count
        )
        std += likelihood.residual_chi2_std(mean, observed).reshape(images, chains).mean(1) / count
        told = likelihood.noise_level(mean, y, observed)
        level = None if told is None else level + float(told.mean()) / count
    kappa = None
    if run.log_evidence is not None and isinstance(
        likelihood, (Gaussian, Laplace, StudentT)
    ):  # y itself is the most likely A(x)
        best = torch.nan_to_num(run.y)
        kappa = float(
            log_kappa(
                run.log_evidence,
                -likelihood.nll(
                    best, best, arrays["observed"][...] if "observed" in arrays else None
                ),
            ).max()
        )
    p_value = None
    if isinstance(likelihood, Gaussian) and run.num_observed is not None:
        each = zip(run.arrays["chi2"][...].flatten(1), run.num_observed.tolist(), strict=True)
        p_value = max(
            (float(chi2_p_value(values, int(count))) for values, count in each),
            key=lambda p: abs(p - 0.5),
        )
    return _Fit(
        residual if residual.isfinite().all() else None,
        std,
        level,
        kappa,
        p_value,
    )


def _scores(run: Run, truth: Tensor) -> dict[str, float]:
    """PSNR and SSIM of the mean and, averaged, of single draws."""
    mean, draws = run.mean, _shown(run.draws, 25)
    if mean.ndim != 4 or min(mean.shape[2:]) < 11:
        return {}
    singles = draws.flatten(0, 2)
    truths = truth.repeat_interleave(draws.shape[1] * draws.shape[2], 0)
    return {
        **_lpips(mean, truth, singles, truths),
        "psnr": float(psnr(mean, truth).mean()),
        "ssim": float(ssim(mean, truth).mean()),
        "psnr_draws": float(psnr(singles, truths).mean()),
        "ssim_draws": float(ssim(singles, truths).mean()),
    }


def _lpips(mean: Tensor, truth: Tensor, singles: Tensor, truths: Tensor) -> dict[str, float]:
    """LPIPS (alex), where the images are large enough and its weights are here: a report downloads
    nothing."""
    if min(mean.shape[2:]) < 31 or mean.shape[1] not in (1, 3):
        return {}
    try:
        locate(**ARCHIVES["alex"])
    except WeightsError:
        return {}
    return {
        "lpips": float(lpips(mean, truth).mean()),
        "lpips_draws": float(lpips(singles, truths).mean()),
    }


def _shown(draws: Any, count: int) -> Tensor:
    total = draws.shape[2]
    index = sorted({round(i) for i in np.linspace(0, total - 1, min(count, total))})
    return torch.stack([draws[:, :, k] for k in index], 2)


def _entry(
    run: Run,
    shared: _Shared,
    arrays: Mapping[str, Any],
    summary: dict[str, Any],
    truth: Tensor | None,
    i: int,
) -> ReportData:
    problem = run.spec["problem"]
    own_scale = "operator" not in problem and tuple(arrays["y"].shape[1:]) != tuple(
        run.draws.shape[3:]
    )  # of an operator that only its owner knows
    likelihood = _likelihood_of(run)
    low, high = problem.get("value_range", (-1.0, 1.0))
    observed = arrays["observed"][i].numpy() if "observed" in arrays else None
    title = problem.get("title", "noisewalk run")
    return ReportData(
        title=title if run.draws.shape[0] == 1 else f"{title} (image {i})",
        truth=None if truth is None else truth[i].numpy(),
        measurement=arrays["y"][i].numpy(),
        observed=observed,
        mean=shared.mean[i].numpy(),
        std=shared.std[i].numpy(),
        samples=shared.shown[i].numpy(),
        residual=None if shared.fit.residual is None else shared.fit.residual[i].numpy(),
        nll=shared.nll[i].numpy(),
        log_posterior=shared.lp[i].numpy(),
        acceptance_rate=run.arrays["acceptance_rate"][i].numpy(),
        summary=summary,
        settings=_settings(run, problem),
        value_range=(float(low), float(high), ""),
        notes=_notes(run, summary),
        remarks=_remarks(run, summary),
        has_step="EllipticalSlice" not in str(run.spec.get("kernel", "")),
        likelihood=likelihood,
        chi2_std=None if shared.fit.chi2_std is None else float(shared.fit.chi2_std[i]),
        measurement_unit="counts"
        if likelihood.startswith("poisson")
        else ""
        if own_scale
        else None,
    )


def _likelihood_of(run: Run) -> str:
    """The likelihood of a run as text, of one from Python by the name of its class."""
    named = re.search(r"\blikelihood=([\w.]*?)(\w+)(\(|#)", str(run.spec.get("target", "")))
    return run.spec["problem"].get("likelihood") or (
        named.group(2).lower() if named else "gaussian"
    )


def _settings(run: Run, problem: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, Any]]]]:
    groups = [("problem", list(problem.items()))] if problem else []
    groups.append(("run", [(k, v) for k, v in run.spec.items() if k not in ("problem", "command")]))
    if "command" in run.spec:
        groups.append(("reproduce", [("command", run.spec["command"])]))
    return groups


def _notes(run: Run, summary: Mapping[str, Any]) -> list[str]:
    """What a person must know before believing the pictures."""
    notes = []
    if not run.complete:
        notes.append(
            f"The run is not finished: {summary['num_draws']} draws a chain so far. Go on with "
            "--resume, or with the same nw.sample."
        )
    r_hat = summary["r_hat_max"]
    if run.log_evidence is None:
        if r_hat is None and run.draws.shape[1] == 1:
            notes.append(
                "One chain alone cannot tell whether chains agree: treat the uncertainty map "
                "as a lower bound, and run two or more."
            )
        elif r_hat is None:
            notes.append(
                "Too few draws, or draws that do not vary, to tell whether the chains agree: "
                "treat the uncertainty map as a lower bound."
            )
        elif math.isinf(r_hat):
            notes.append(
                "The chains are stuck, each at a place of its own (R-hat is infinite): these "
                "are no draws of the posterior. Use a smaller step."
            )
        elif r_hat > R_HAT_GOOD:
            notes.append(
                f"The chains have not mixed yet (largest R-hat {r_hat:.2f}, aim {R_HAT_GOOD}): "
                "the uncertainty map is too narrow. Draw longer chains."
            )
        elif (summary["ess_bulk_min"] or math.inf) < ESS_BAD:
            worth = (
                f"The draws are worth {summary['ess_bulk_min']:.0f} independent ones at the worst "
                f"pixel (aim {ESS_GOOD:.0f})"
            )
            notes.append(f"{worth}: the maps are rough. Draw longer chains.")
    if (summary.get("memory") or 0.0) > MEMORY_BAD:  # None where it is not finite
        notes.append(
            "The particles have hardly moved from where resampling put them (correlation "
            f"{summary['memory']:.2f} at the worst temperature): few are "
            "independent, and modes may be missing. Carry more particles (--num-particles) or "
            "let them move more (--num-moves 4,32). Where the posterior is "
            "in separate modes this correlation stays high, as no move joins them, and is no "
            "fault: then compare the log evidence of two seeds."
        )
    if summary["divergences"]:
        notes.append(
            f"{summary['divergences']} proposals were not finite and were refused: use a "
            "smaller step size."
        )
    if "adjust=False" in str(run.spec.get("kernel", "")):
        notes.append(
            "The kernel is unadjusted: its draws carry a bias of the order of the step size, "
            "which R-hat cannot see."
        )
    return notes


def _remarks(run: Run, summary: Mapping[str, Any]) -> list[str]:
    """What helps to read the pictures."""
    remarks = []
    if run.log_evidence is not None:
        error = summary.get("log_evidence_error")
        remarks.append(
            "Particles of tempered SMC, not chains: no R-hat. Log evidence "
            f"{summary['log_evidence']:.2f}{_plus_minus(error)}."
        )
    if summary.get("log_kappa") is not None:
        worst = None if run.log_evidence_error is None else float(run.log_evidence_error.max())
        remarks.append(_conditioning(summary["log_kappa"], worst))
    return remarks


def _plus_minus(error: float | None) -> str:
    """A standard error of the log evidence in words: from 0.5 on it says only that it is large."""
    return (
        ""
        if error is None
        else f" +- {error:.2f} (one standard error)"
        if error < LARGE_ERROR
        else " +- 0.5 or more: carry more particles"
    )


def _conditioning(value: float, error: float | None = None) -> str:
    """Is this posterior well-conditioned? The paper's Theorem 4.1 in one sentence."""
    epsilon = float(informative_epsilon(value))
    said = f"below {epsilon:.1g}" if epsilon > 1e-300 else "too small to write"
    verdict = (
        "well-conditioned" if value < 3.0 else "ill-conditioned: the prior's errors can matter"
    )
    said_of = f"log kappa at most {value:.1f}{_plus_minus(error)}, {verdict}"
    return (
        f"{said_of}: the bound 2 kappa eps on what they change says something only for eps {said} "
        "(total variation)."
    )
