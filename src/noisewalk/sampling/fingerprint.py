"""Is a stored run's model still the one that is asked for? A number at one fixed z tells.

Names and settings are compared as facts. A function whose code lies elsewhere, or a network whose
weights changed, keeps its name and changes this number.
"""

import math
from pathlib import Path
from typing import Any

import torch

from .. import noise as keyed
from ..errors import StoreError

SAME = 1e-3
"""Relative difference of the probe that other threads or another library version may make."""


def probe_of(target: Any) -> dict[str, float]:
    """What the map, the operator and the likelihood say at one fixed z; the call is not counted."""
    first, nfe = torch.zeros(1, dtype=torch.int64, device=target.y.device), target.nfe
    rows = keyed.rows(0, 1, device=target.y.device)
    z = rows.normal(tuple(target.shape), keyed.PROBE, target.y.dtype)
    state = target.value(z, first, target.num_images)
    target.nfe = nfe
    x = state.x.to(torch.float64).flatten()
    u = keyed.rows(1, 1, device=x.device).normal((len(x),), keyed.PROBE, torch.float64)[0]
    along = float(x @ u / u.norm())
    found = {"size": float(x.norm()), "along": along, "nll": float(state.nll[0])}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def check_probe(folder: Path, before: dict[str, float], now: dict[str, float]) -> None:
    """StoreError where the run in a folder was made with a map, an operator or a likelihood of the
    same name that says something else."""
    for name in before.keys() & now.keys():
        size = before.get("size", 0.0) if name == "along" else 0.0
        scale = max(abs(before[name]), abs(now[name]), size, 1e-9)
        if abs(before[name] - now[name]) > SAME * scale:
            what = "L_y is" if name == "nll" else "the image has"
            raise StoreError(
                f"{folder} holds another run: its map, operator or likelihood has changed (at one "
                f"fixed z {what} {before[name]:g} there and {now[name]:g} now); give another folder"
            )
