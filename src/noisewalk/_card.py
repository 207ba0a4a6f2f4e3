"""What a notebook shows of a posterior."""

from typing import Any

import torch

from . import _pictures
from ._repr import describe, name_of


def html_of(target: Any) -> str:
    """The first measurement, the parts and five numbers."""
    y = target.y[:1].double()
    if target.observed is not None:
        y = torch.where(target.observed[:1].expand(y.shape), y, torch.nan)
    values = y[0].cpu().numpy()
    limits = _pictures.limits(values)
    shown = [("measurement", _pictures.shades(values, *limits))] if values.ndim > 1 else []
    numbers = {
        "images": f"{target.num_images}",
        "observed": f"{int(target.num_observed.sum()):,} of {target.y.numel():,}",
        "x": " x ".join(map(str, target.data_shape)),
        "z": " x ".join(map(str, target.shape)),
        "network calls an evaluation": f"{target.phi.nfe}",
    }
    parts = name_of(type(target.phi)), describe(target.operator), describe(target.likelihood)
    return _pictures.card("Posterior in noise space", ", ".join(parts), shown, numbers)
