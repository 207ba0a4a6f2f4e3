r"""Limited-memory BFGS of many rows at once, each with its own line search.

$$p = -B g, \qquad B \approx (\nabla^2 f)^{-1} \text{ by the two-loop recursion from }
B_0 = \gamma H^{-1}, \quad \gamma = \frac{s^T y}{y^T H^{-1} y},$$
H the precision of a Gaussian reference, s the last step and y the change of the gradient. A step
tries z + t p at every row that has not stopped: one evaluation. A row accepts by Armijo's test,
$f(z + t p) \le f(z) + 10^{-4} t \, g^T p$, else goes to the minimum of the parabola through what it
knows of f. It stops where the decrease that it predicts, $-g^T p / 2$, is below a tolerance, or
where no t is small enough.

Reference: Nocedal and Wright, Numerical Optimization, 2006, algorithms 3.1, 7.4 and 7.5.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..kernels.metropolis import column, finite_values

ARMIJO = 1e-4
HISTORY = 12  # steps that are remembered
SHORTEST = 1e-9  # t at which a row gives up,
FIRST = 1e-16  # and before its first step, when the scale of f is not known

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(b, *shape) points and their rows' numbers (b,) -> values (b,) float64 and gradients."""
Inverse = Callable[[Tensor], Tensor]
"""v -> H^-1 v of all rows."""


class Settings(NamedTuple):
    """What an optimiser works with."""

    inverse: Inverse  # of the first matrix
    history: int = HISTORY
    tolerance: float | Tensor = 1e-4  # of f, at which a row stops; one for all, or one each


Pair = tuple[Tensor, ...]
"""A step, the change of the gradient, and rho."""
Memory = dict[str, Any]
"""z, f, g, direction, t, scale, active and pairs: all that is needed to go on bitwise."""


def begin(z: Tensor, f: Tensor, g: Tensor, how: Settings) -> Memory:
    """The optimiser at an evaluation of every row."""
    memory: Memory = {"z": z, "f": f, "g": g, "pairs": [], "scale": torch.ones_like(f)}
    return _aim(memory, torch.ones(len(z), dtype=torch.bool, device=z.device), how)


def step(memory: Memory, objective: Objective, how: Settings) -> Memory:
    """The optimiser after one evaluation of every active row."""
    z, f, g, p, t = (memory[key] for key in ("z", "f", "g", "direction", "t"))
    rows = memory["active"].nonzero().flatten()
    tried = z[rows] + _column(t[rows], z) * p[rows]
    f_new, g_new = objective(tried, rows)
    slope = _dot(g, p)[rows]
    good = finite_values(f_new, g_new)
    good &= f_new <= f[rows] + ARMIJO * t[rows] * slope
    taken = rows[good]
    z, f_, g_ = z.clone(), f.clone(), g.clone()
    z[taken], f_[taken], g_[taken] = tried[good], f_new[good], g_new[good]
    shorter = t.clone()
    shorter[rows[~good]] = _shorter(t[rows], f_new - f[rows], slope)[~good]
    moved = torch.zeros_like(memory["active"])
    moved[taken] = True
    pair = _pair(z - memory["z"], g_ - g)
    after = {**memory, "z": z, "f": f_, "g": g_, "t": shorter}
    after["pairs"] = _remembered(memory["pairs"], pair, moved)[-how.history :]
    after["scale"] = _scale(pair, how.inverse, memory["scale"])
    knows = torch.stack([rho != 0 for *_, rho in after["pairs"]]).any(0)
    long_enough = moved | (shorter >= torch.where(knows, SHORTEST, FIRST))
    after["active"] = memory["active"] & long_enough
    return _aim(after, moved, how)


def kept(memory: Memory, rows: Tensor) -> Memory:
    """The optimiser of some of the rows."""
    pairs = [tuple(part[rows] for part in pair) for pair in memory["pairs"]]
    return {**{key: value[rows] for key, value in memory.items() if key != "pairs"}, "pairs": pairs}


def _aim(memory: Memory, moved: Tensor, how: Settings) -> Memory:
    """New directions for the rows that have moved; a row that expects no decrease stops."""
    g = memory["g"]
    p = -_product(memory, how.inverse)
    p = torch.where(_column(_dot(g, p) < 0, p), p, -how.inverse(g))
    active = memory.get("active", moved) & ~(moved & (_dot(g, p) > -2.0 * how.tolerance))
    aimed = _column(moved, p)
    one = torch.ones_like(memory["f"])
    return {
        **memory,
        "direction": torch.where(aimed, p, memory.get("direction", p)),
        "t": torch.where(moved, one, memory.get("t", one)),
        "active": active,
    }


def _product(memory: Memory, inverse: Inverse) -> Tensor:
    """B g by the two loops; a pair whose rho is 0 does nothing."""
    q, pairs, shares = memory["g"], memory["pairs"], []
    for s, y, rho in reversed(pairs):
        shares.append(rho * _dot(s, q))
        q = q - _column(shares[-1], q) * y
    r = _column(memory["scale"], q) * inverse(q)
    for (s, y, rho), share in zip(pairs, reversed(shares), strict=True):
        r = r + _column(share - rho * _dot(y, r), r) * s
    return r


def _pair(s: Tensor, y: Tensor) -> Pair:
    """A step, the change of the gradient, and rho = 1 / y^T s, 0 where that is not positive."""
    inner, scale = _dot(s, y), (_dot(s, s) * _dot(y, y)).sqrt()
    return s, y, torch.where(inner > 1e-8 * scale, 1.0 / inner, 0.0)


def _scale(pair: Pair, inverse: Inverse, before: Tensor) -> Tensor:
    """gamma of every row that has a pair, else what it was."""
    _, y, rho = pair
    return torch.where(rho > 0, 1.0 / (rho * _dot(y, inverse(y))), before)


def _shorter(t: Tensor, rise: Tensor, slope: Tensor) -> Tensor:
    """The minimum of the parabola with this slope at 0 that rises so far at t; t / 10 to t / 2."""
    best = -0.5 * slope * t / (rise / t - slope)
    return torch.minimum(torch.maximum(best.nan_to_num(nan=0.0), 0.1 * t), 0.5 * t)


def _remembered(pairs: list[Pair], newest: Pair, moved: Tensor) -> list[Pair]:
    """The last pairs of every row: one that has not moved forgets none."""
    none = tuple(torch.zeros_like(part) for part in newest)
    both = zip([*pairs, newest], [none, *pairs], strict=True)
    joined = [
        tuple(torch.where(_column(moved, a), a, b) for a, b in zip(*two, strict=True))
        for two in both
    ]
    return joined


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a.to(torch.float64) * b.to(torch.float64)).flatten(1).sum(1)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return column(values if values.dtype == torch.bool else values.to(like.dtype), like)
