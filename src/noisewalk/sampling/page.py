"""What the report of a run that is not stored needs: plain arrays and texts, image by image."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError, StoreError
from ..evaluate.diagnostics.boxes import OneImage
from ..likelihoods.base import complete
from ..storage.atomic import write_whole
from .maps import maps_of

if TYPE_CHECKING:
    from .run import Run

SHOWN = 8  # draws per chain
MOST_CHAINS = 32


def report_arguments(run: "Run", title: str | None) -> Iterator[dict[str, Any]]:
    """The arguments of `report.ReportData`, for each image of the run."""
    images, _, count = run.draws.shape[:3]
    if count == 0:
        raise ConfigError("the run has no draws yet: there is nothing to report")
    told = run.summary()
    summary = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in told.items()}
    mean, std, name = run.mean, run.std, title or "Draws of a sampler"
    for i in range(images):
        yield {
            "title": name if images == 1 else f"{name} (image {i})",
            "summary": summary,
            "mean": _image(mean[i]),
            "std": _image(std[i]),
            "samples": _samples(run, i),
            "truth": None if run.truth is None else _image(run.truth[i]),
            "settings": _settings(run),
            **_maps(run, i),
            **_traces(run, i),
            **_measured(run, i),
        }


def write_page(path: Path, text: str) -> Path:
    """Write a page to a file that ends in .html, or into a folder as report.html."""
    path = path if path.suffix.lower() in (".html", ".htm") else path / "report.html"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _image(x: Tensor) -> np.ndarray:
    """x as (C, H, W): fewer axes get more of length 1."""
    if x.ndim > 3:
        found = tuple(x.shape)
        raise ConfigError(f"a report shows (C, H, W), (H, W) or (d,), got draws of shape {found}")
    return x.reshape((1,) * (3 - x.ndim) + tuple(x.shape)).cpu().numpy()


def _samples(run: "Run", image: int) -> np.ndarray:
    """(chain, sample, C, H, W)."""
    chains, count = run.draws.shape[1:3]
    index = sorted({round(float(k)) for k in np.linspace(0, count - 1, min(SHOWN, count))})
    rows = range(min(chains, MOST_CHAINS))
    return np.stack([np.stack([_image(run.draws[image, row, k]) for k in index]) for row in rows])


def _maps(run: "Run", image: int) -> dict[str, Any]:
    """Quantiles, R-hat and ESS as pictures."""
    found = maps_of(OneImage(run.draws, image))
    axes = run.draws.ndim - 3
    shape = _image(run.draws[image, 0, 0]).shape
    return {
        name: None if x is None else x.reshape(*x.shape[: x.ndim - axes], *shape)
        for name, x in found._asdict().items()
    }


def _traces(run: "Run", image: int) -> dict[str, Any]:
    """(chain, draw) of the shown chains; a misfit that is not known is NaN."""
    chains, count = run.draws.shape[1:3]
    rows = slice(min(chains, MOST_CHAINS))
    nll = np.full((min(chains, MOST_CHAINS), count), np.nan)
    if "nll" in run.arrays:
        nll = run.nll[image, rows].cpu().numpy()
    found: dict[str, Any] = {"nll": nll}
    if {"z", "nll"} <= run.arrays.keys():
        found["log_posterior"] = run.lp[image, rows].cpu().numpy()
    if "acceptance_rate" in run.arrays:
        found["acceptance_rate"] = run.arrays["acceptance_rate"][image, rows].cpu().numpy()
    return found


def _measured(run: "Run", image: int) -> dict[str, Any]:
    """The measurement, and what the draws leave of it; a measurement that is not known is NaN."""
    if run.y is None:
        shape = _image(run.draws[image, 0, 0]).shape
        return {"measurement": np.full(shape, np.nan), "observed": None}
    y = run.y[image].cpu().numpy()
    seen = None if run.observed is None else run.observed.expand(run.y.shape)[image].cpu().numpy()
    own = tuple(y.shape) != tuple(run.draws.shape[3:])
    found: dict[str, Any] = {"measurement": y, "observed": seen}
    target = run.target
    if target is None:
        return {**found, "measurement_unit": "" if own else None}
    with torch.no_grad():  # of the mean over the draws that are shown
        x = torch.as_tensor(_samples(run, image)).reshape(-1, *run.draws.shape[3:]).to(target.y)
        rows = torch.full((len(x),), image, device=target.y.device)
        likelihood = complete(target.likelihood).of_rows(rows, target.y.ndim)
        ys = target.y[image].expand(len(x), *target.y.shape[1:])
        gaps = None if target.observed is None else target.observed[image].expand(ys.shape)
        residual = likelihood.residual(target.operator(x), ys, gaps).mean(0).cpu()
        predicted = target.operator(run.mean[image : image + 1].to(target.y))[0].cpu().numpy()
    found["chi2_is_exact"] = likelihood.chi2_is_exact
    found["residual"] = residual.numpy() if bool(residual.isfinite().all()) else None
    found["predicted"] = None if likelihood.counts else predicted
    unit = "counts" if likelihood.counts else "" if own and y.ndim != 3 else None
    return {**found, "measurement_unit": unit}


def _settings(run: "Run") -> list[tuple[str, list[tuple[str, Any]]]]:
    """Groups of facts, as far as the run has them."""
    parts = ("map", "operator", "likelihood", "plan")
    groups = [(name, run.spec[name]) for name in parts if isinstance(run.spec.get(name), dict)]
    return [(name, list(facts.items())) for name, facts in groups]
