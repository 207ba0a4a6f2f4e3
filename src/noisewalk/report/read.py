"""A run's folder as what a report shows."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import StoreError
from ..evaluate.diagnostics.boxes import OneImage
from ..operators.order import in_words
from ..sampling.export import origin_of
from ..sampling.maps import maps_of
from ..sampling.run import Run, open_run
from ..storage.store import open_store
from .data import ReportData
from .facts import Facts, facts_from
from .fit import Fit, fit_of
from .layers import MOST_DRAWS
from .model import model_of
from .place import place_of
from .scores import evenly, scores_of
from .warnings import notes_of, remarks_of

IMAGES = (
    *("truth", "observed", "mean", "measurement", "std", "samples", "residual", "predicted"),
    *("quantiles", "r_hat", "ess"),
)
FILES = "mean.npy std.npy mean.png std.png samples.png summary.json spec.json"
ENDING = {"fits": "fits", "tiff": "tif"}
PLACED = ("mean", "std", "quantiles")
"""Files of a run whose input has a place, and their endings by its format."""


def read_report_data(
    folder: Path, title: str | None = None, value_range: tuple[float, float] | None = None
) -> tuple[list[ReportData], dict[str, Any]]:
    """What the report shows, one entry per image, and the run's summary, None where not known."""
    run, arrays = open_run(folder), open_store(folder).arrays
    if run.y is None or run.draws.shape[2] == 0:
        todo = "continue the run with --resume, or repeat its nw.sample call with this store"
        raise StoreError(f"{folder} has no draw yet: {todo}")
    facts = facts_from(run.spec, title, value_range)
    truth, observed = (arrays[k][...] if k in arrays else None for k in ("truth", "observed"))
    model = model_of(facts, tuple(run.draws.shape[3:]), arrays)
    mean, where = run.mean, origin_of(run, None)[2]
    fit = fit_of(run, mean, run.y, model, observed)
    found = {**run.summary(), **scores_of(run.draws, mean, truth), **fit.numbers}
    if facts.likelihood is not None:
        found["likelihood"] = facts.likelihood
    summary = {k: None if _is_nan(v) else v for k, v in found.items()}  # an infinite R-hat stays
    own_scale = facts.operator is None and run.y.shape[1:] != run.draws.shape[3:]
    shared: dict[str, Any] = {
        "summary": _without_langevin(summary) if facts.exact else summary,
        "settings": facts.settings,
        "value_range": (*facts.value_range, facts.unit),
        "bottom_up": facts.bottom_up,
        "place": place_of(where, tuple(run.draws.shape[-2:])),
        "bands": () if where is None else where.bands,
        "how": "" if model.operator is None else in_words(model.operator),
        "files": [*FILES.split(), *(f"{w}.{ENDING[where.format]}" for w in PLACED if where)],
        "notes": list(notes_of(run, summary, facts.exact)),
        "remarks": list(remarks_of(run, summary)),
        "has_step": facts.has_step,
        "chi2_is_exact": model.chi2_is_exact,
        "measurement_unit": "counts" if model.counts else "" if own_scale else None,
    }
    given = {"truth": truth, "observed": observed, "mean": mean}
    up = facts.bottom_up
    entries = [ReportData(**own, **shared) for own in _each(run, facts, fit, given, up)]
    return entries, {k: None if v in (math.inf, -math.inf) else v for k, v in summary.items()}


def _without_langevin(summary: dict[str, Any]) -> dict[str, Any]:
    """Without the time by which unadjusted Langevin dynamics are compared."""
    return {key: value for key, value in summary.items() if key != "langevin_time"}


def _each(
    run: Run, facts: Facts, fit: Fit, given: dict[str, Tensor | None], bottom_up: bool
) -> Iterator[dict[str, Any]]:
    """What each image has of its own: its title, and its part of the arrays, the top row first."""
    arrays = {
        **given,
        "measurement": run.y,
        "std": run.std,
        "samples": evenly(run.draws, max(1, MOST_DRAWS // run.draws.shape[1])),
        "nll": run.nll[...],
        "log_posterior": run.lp,
        "acceptance_rate": run.arrays["acceptance_rate"][...],
        "residual": fit.residual,
        "predicted": fit.predicted,
    }
    count = run.draws.shape[0]
    for i in range(count):
        own = {name: None if v is None else v[i].numpy() for name, v in arrays.items()}
        own |= maps_of(OneImage(run.draws, i))._asdict()
        if bottom_up:
            images = {k: v for k, v in own.items() if k in IMAGES and v is not None and v.ndim > 2}
            own |= {k: np.ascontiguousarray(v[..., ::-1, :]) for k, v in images.items()}
        more = "" if count == 1 else f" (image {i})"
        own |= {"title": facts.title + more, "label": facts.label and facts.label + more}
        yield own | {"chi2_std": None if fit.chi2_std is None else float(fit.chi2_std[i])}


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
