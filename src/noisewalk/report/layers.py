"""The arrays that the page's script draws from: maps as 8- or 16-bit levels, compressed.

A layer is (C, H, W) levels between its smallest and its largest value; the largest level says that
there is no value. The truth, the quantiles and the draws are kept as differences from the mean,
which makes 8 bits fine enough. As many draws are kept as a page of constant size has room for.
"""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from . import images
from .contrast import contrast_of
from .data import ReportData

PAGE_BYTES = 4_100_000  # of the layers of a page, as base64; the pictures and texts come on top
MOST_DRAWS, LEAST_DRAWS = 40, 3


def payload(data: ReportData, budget: float = PAGE_BYTES) -> str:
    """JSON that is safe inside a script element, of about `budget` bytes at most."""
    mean, mean_layer = _decoded(data.in_unit(data.mean))
    layers = {"mean": mean_layer} | {name: pack(*rest) for name, *rest in _layers(data, mean)}
    used = sum(len(layer["data"]) for layer in layers.values())
    flat = samples_of(data)
    deviations = [data.in_unit(x) - mean for x in flat]
    ends = _ends(np.stack(deviations)) if deviations else (0.0, 0.0)
    draws: list[dict[str, Any]] = []
    for deviation in deviations:
        layer = pack(deviation, ends=ends)
        used += len(layer["data"])
        if len(draws) >= LEAST_DRAWS and used > budget:
            break
        draws.append(layer)
    height, width = data.mean.shape[1:]
    facts = {
        "unit": data.unit,
        "size": [len(data.mean), height, width],
        "bands": list(data.band_names),
        "bottomUp": data.bottom_up,
        "numDraws": int(data.nll.size),
        "contrast": contrast_of(data),
        "place": None if data.place is None else data.place._asdict(),
        "colours": {name: images.table(name) for name in (images.SPREAD, images.DIVERGING)},
        "layers": layers,
        "draws": draws,
    }
    return json.dumps(facts, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")


def samples_of(data: ReportData) -> np.ndarray:
    """At most `MOST_DRAWS` of the samples (draw, C, H, W), evenly spread; neighbours come from
    different chains."""
    flat = data.samples.swapaxes(0, 1).reshape(-1, *data.mean.shape)
    count = min(MOST_DRAWS, len(flat))
    return flat[np.unique(np.linspace(0, len(flat) - 1, count).round().astype(int))]


def pack(
    values: np.ndarray, bits: int = 8, ends: tuple[float, float] | None = None
) -> dict[str, Any]:
    """Values as levels; 16 bits are a plane of high bytes and one of low bytes."""
    seen, missing = np.isfinite(values), 2**bits - 1
    start, stop = _ends(values) if ends is None else ends
    step = (stop - start) / (missing - 1) or 1.0
    levels = np.clip(np.rint((np.where(seen, values, start) - start) / step), 0, missing - 1)
    levels = np.where(seen, levels, missing).astype(np.uint16)
    planes = [levels >> 8, levels & 255] if bits == 16 else [levels]
    raw = np.stack(planes).astype(np.uint8)
    turned = np.diff(raw, axis=-1, prepend=np.uint8(0))  # smooth maps are smaller as differences
    plain, differences = (zlib.compress(v.tobytes(), 6) for v in (raw, turned))
    delta = len(differences) < len(plain)
    data = base64.b64encode(differences if delta else plain).decode()
    shape = list(values.shape)
    return {
        "shape": shape,
        "start": start,
        "step": step,
        "bits": bits,
        "delta": delta,
        "data": data,
    }


def _layers(data: ReportData, mean: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """Names, values and bits of the maps beside the mean, in the user's unit."""
    quantiles = data.quantiles
    if quantiles is None and data.samples.size:
        flat = data.samples.reshape(-1, *data.mean.shape)
        quantiles = np.quantile(flat, (0.05, 0.5, 0.95), axis=0)
    fine = 16 if mean.size <= 2**16 else 8
    yield "std", np.asarray(data.std, np.float64) * data.scale, fine
    given: Mapping[str, Any] = {"truth": data.truth} | dict(
        zip(("q05", "q50", "q95"), () if quantiles is None else quantiles, strict=False)
    )
    for name, x in given.items():
        if x is not None:
            yield name, data.in_unit(x) - mean
    for name, x in (("rhat", data.r_hat), ("ess", data.ess)):
        if x is not None:
            yield name, np.where(np.isfinite(x), x, np.nan)
    if data.measurement_on_grid:
        for name, x in (("measurement", data.measurement), ("predicted", data.predicted)):
            if x is not None:
                yield name, np.where(data.measured, data.in_unit(x), np.nan), fine
        if data.residual is not None:
            clipped = np.clip(data.residual, -images.LIMIT_Z, images.LIMIT_Z)
            yield "residual", np.where(data.measured, clipped, np.nan)


def _decoded(values: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Values as they come back from their layer of 16 bits, and the layer."""
    layer = pack(values, 16)
    start, step = layer["start"], layer["step"]
    return start + step * np.rint((values - start) / step), layer


def _ends(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
