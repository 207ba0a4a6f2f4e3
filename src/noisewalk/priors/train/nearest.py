r"""Does a prior copy its training images? The distance to the nearest of them.

$\min_j \|f(x) - f(t_j)\|$ over the training images t, for samples x and, beside them, for held-out
images, in pixels (f(x) = x) or in features. A prior that copies makes samples nearer to the
training images than held-out images are. Under `--augment` the nearest turned copy of x counts.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ...errors import ConfigError
from ...evaluate.metrics import mean_and_se


def nearest(x: Tensor, pool: Iterable[Tensor], batch_size: int = 256) -> tuple[Tensor, Tensor]:
    """The float64 distance of each row to the nearest row of a pool in parts, and its index."""
    best = torch.full((len(x),), math.inf, dtype=torch.float64)
    found, before = torch.full((len(x),), -1), 0
    for part in pool:
        if x.ndim != 2 or part.ndim != 2 or x.shape[1] != part.shape[1]:
            got = f"{tuple(x.shape)} and {tuple(part.shape)}"
            raise ConfigError(f"nearest needs rows of equal length, got {got}")
        squares = part.square().sum(1)
        for k, rows in enumerate(x.split(batch_size)):
            # the matrix product finds the candidates, the difference is exact
            index = (squares - 2.0 * rows @ part.T).argmin(1)
            distance = (rows.double() - part[index].double()).square().sum(1).sqrt()
            here = slice(k * batch_size, k * batch_size + len(rows))
            closer = distance < best[here]
            best[here] = torch.where(closer, distance, best[here])
            found[here] = torch.where(closer, index + before, found[here])
        before += len(part)
    if not before:
        raise ConfigError("nearest needs a pool of at least one row to be near to")
    return best, found


def compare_nearest(samples: Tensor, held_out: Tensor) -> dict[str, float]:
    """Statistics of both distances, and the share of samples below 99 % of the held-out ones."""
    report: dict[str, float] = {}
    for prefix, distance in (("", samples.double()), ("held_out_", held_out.double())):
        mean, se = mean_and_se(distance)
        report |= {
            f"{prefix}mean": mean,
            f"{prefix}se": se,
            f"{prefix}median": float(distance.median()),
            f"{prefix}q01": float(distance.quantile(0.01)),
        }
    below = samples.double() < report["held_out_q01"]
    return {**report, "share_below": float(below.double().mean())}
