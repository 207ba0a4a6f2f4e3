"""Pixel values for the read-out under the pointer, packed as 16-bit integers."""

import base64
import json

import numpy as np

from .data import ReportData

MISSING = 65535


def payload(data: ReportData) -> str:
    """JSON that is safe inside a script element; "" where pictures do not have the pixel grid."""
    if not data.on_grid:
        return ""
    low, high, unit = data.value_range
    values = {"mean": data.mean, "truth": data.truth}
    if data.measurement_on_grid:
        values["measurement"] = np.where(data.measured, data.measurement, np.nan)
    layers = {"std": _pack(np.asarray(data.std, np.float64) * data.scale)}
    for name, x in values.items():
        if x is not None:
            layers[name] = _pack(low + (np.asarray(x, np.float64) + 1) * (high - low) / 2)
    facts = {"unit": unit, "low": low, "high": high, "bottomUp": data.bottom_up, "layers": layers}
    return json.dumps(facts, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")


def _pack(values: np.ndarray) -> dict[str, object]:
    """Values in the user's unit as levels between their smallest and their largest."""
    seen = np.isfinite(values)
    start, stop = (float(v(values[seen])) for v in (np.min, np.max)) if seen.any() else (0.0, 0.0)
    step = (stop - start) / (MISSING - 1) or 1.0
    levels = np.where(seen, np.rint((np.where(seen, values, start) - start) / step), MISSING)
    packed = base64.b64encode(levels.astype("<u2").tobytes()).decode()
    return {"shape": list(values.shape), "start": start, "step": step, "data": packed}
