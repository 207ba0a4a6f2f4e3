"""How a chain in a poor minimum tries once more, from where another chain has ended."""

import math

import torch
from torch import Tensor

from ..kernels.metropolis import column
from . import lbfgs
from .starts import Work

FAR, EXCESS = 6.0, 0.2
"""No global minimum is so far above the lowest of an image's chains: in standard deviations of a
minimum, sqrt(m / 2) for half a chi-square of m, the observed entries, nor so many nats an entry."""
STEPS = 50  # of the second try


def far(f: Tensor, num_observed: Tensor) -> Tensor:
    """(image, chain) which ended in a minimum that cannot be the global one; `f` is (row,), and
    `num_observed` (image,)."""
    apart = f.nan_to_num(nan=math.inf).unflatten(0, (len(num_observed), -1))
    count = num_observed.to(f)
    most = apart.min(1).values + torch.maximum(FAR * (count / 2).sqrt(), EXCESS * count)
    return apart > most[:, None]


def begun(work: Work, far: Tensor, objective: lbfgs.Objective, settings: lbfgs.Settings) -> Work:
    """The chains that are `far`, (image, chain), once more: each on its own problem, from the end
    of another chain of its image."""
    z, f, g = (work["memory"][key] for key in ("z", "f", "g"))
    again = far.flatten()
    rows, (z_new, f_new, g_new) = again.nonzero().flatten(), (part.clone() for part in (z, f, g))
    z_new[rows] = z[sources(far)]
    f_new[rows], g_new[rows] = objective(z_new[rows], rows)
    fresh = lbfgs.begin(z_new, f_new, g_new, settings)
    memory = {**fresh, "active": fresh["active"] & again}
    return {**work, "memory": memory, "first": {"z": z, "f": f}, "again": again, "taken": 0}


def sources(far: Tensor) -> Tensor:
    """For every row of `far`, (image, chain), one of its image that is not: these in turn."""
    good = [(~row).nonzero().flatten() for row in far]
    parts = [
        rows[torch.arange(int(row.sum()), device=far.device) % len(rows)] + k * far.shape[1]
        for k, (row, rows) in enumerate(zip(far, good, strict=True))
    ]
    return torch.cat(parts)


def better(work: Work) -> Work:
    """The lower of both minima of the chains that have tried once more."""
    if "first" not in work:
        return work
    memory, first = work["memory"], work["first"]
    lower = memory["f"] < first["f"].nan_to_num(nan=math.inf)
    z = torch.where(column(lower, memory["z"]), memory["z"], first["z"])
    return {**work, "memory": {**memory, "z": z}}
