"""One entry of a comparison as numbers with their standard errors.

With several images, a number is the mean over them and its error that of independent images. Of one
image, the error is the jackknife's over at most eight groups of chains, which are independent:
$\\big(\\tfrac{g - 1}{g} \\sum_k (\\theta_{(k)} - \\bar\\theta)^2\\big)^{1/2}$, with
$\\theta_{(k)}$ from the chains without group k. R-hat's is that of its worst pixel or projection.
Drift and memory have the error that their one-sided bounds of 95 % come from.

Reference: Efron and Stein, The Jackknife Estimate of Variance, 1981.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._packages import locate
from ..errors import WeightsError
from ..sampling.evidence import LONG
from ..sampling.run import Run
from ..sampling.scores import evenly, scored
from .diagnostics.across import UPPER
from .diagnostics.chains import MIN_DRAWS, ess_bulk, jump, projections, r_hat_and_ess
from .metrics.backbones import SMALLEST
from .metrics.perceptual import ARCHIVES, lpips
from .metrics.pixel import WINDOW
from .metrics.samples import mean_and_se

GROUPS = 8  # of chains, for the jackknife
NET = "alex"  # of LPIPS
FEW = f"a chain needs {MIN_DRAWS} draws"
NO_TRUTH = "the truth is not known"
UNCOUNTED = "its network calls were not counted: return nw.Run(draws, nfe=...)"


class Cell(NamedTuple):
    """A number with its standard error, or the reason why there is none."""

    value: float | str | None
    error: float | None = None
    why: str = ""


def cells_of(run: Run, count: int) -> dict[str, Cell]:
    """The cells of an entry; its scores are those of `count` draws of each image."""
    summary = run.summary()
    chains, draws = run.draws.shape[1:3]
    found = {"verdict": Cell(summary["verdict"])} | _speed(run)
    few = f"R-hat takes two chains of {LONG} draws" if chains < 2 or draws < LONG else ""
    found["r_hat"] = _plain(summary["r_hat_max"], few, _r_hat_error(run))
    early = f"there is no early state, and a chain has fewer than {LONG} draws"
    for name in ("drift", "memory"):
        error = (summary[f"{name}_bound"] - summary[name]) / UPPER
        found[name] = _plain(summary[name], early, error)
        found[f"{name}_p"] = _plain(summary[f"{name}_p"], early)
    found["chi2"] = _chi2(run)
    found |= _scores(run, count)
    found["coverage_nominal"] = found["coverage_nominal"]._replace(error=None)
    found["num_draws"] = Cell(float(chains * draws))
    found["nfe"] = Cell(float(run.nfe)) if run.nfe else Cell(None, None, UNCOUNTED)
    found["seconds"] = _plain(run.seconds or math.nan, "the time was not measured")
    return found


def _plain(value: float, why: str, error: float = math.nan) -> Cell:
    if math.isnan(value):
        return Cell(None, None, why or "the draws hardly vary")
    return Cell(float(value), error if math.isfinite(error) else None)


def _r_hat_error(run: Run) -> float:
    """The jackknife's error of the largest R-hat, at its pixel or projection; NaN of two chains."""
    if run.draws.shape[1] < 3 or run.draws.shape[2] < LONG:
        return math.nan
    most, worst = -math.inf, None
    for i in range(run.draws.shape[0]):
        ways = torch.cat([run.draws[i].flatten(2), projections(run.draws[i])], 2)
        found = r_hat_and_ess(ways)[0].nan_to_num(-math.inf, posinf=math.inf)
        if float(found.max()) > most:
            most, worst = float(found.max()), ways[..., int(found.argmax())]
    if worst is None or math.isinf(most):
        return math.nan
    return _jackknife([float(r_hat_and_ess(part[..., None])[0]) for part in _without(worst)])


def _jackknife(parts: list[float]) -> float:
    """The standard error of a statistic, from its values without each group of chains."""
    values = torch.tensor(parts, dtype=torch.float64)
    return float(((len(values) - 1) * values.var(correction=0)).sqrt())


def _speed(run: Run) -> dict[str, Cell]:
    """Jump and effective sample size a network call and a second, of one image's chains."""
    images, chains, draws = run.draws.shape[:3]
    each = []
    for i in range(images if draws >= MIN_DRAWS else 0):
        ways = projections(run.draws[i])
        each.append([_mixing(ways), *(_mixing(part) for part in _without(ways))])
    out = {}
    for k, (name, total) in enumerate((("jump", images * chains * draws), ("ess", images))):
        cell = _told([[one[k] for one in values] for values in each], FEW)
        size = total * (chains * draws if name == "ess" else 1)  # the ESS of a share of the draws
        costs = {"call": (run.nfe, UNCOUNTED), "second": (run.seconds, "the time was not measured")}
        for cost, (spent, why) in costs.items():
            key = f"{name}_per_{cost}"
            out[key] = _scaled(cell, size / spent) if spent else Cell(None, None, cell.why or why)
    return out


def _mixing(ways: Tensor) -> tuple[float, float]:
    """Median jump, and median ESS as a share of the draws, of projections (chain, draw, way)."""
    total = ways.shape[0] * ways.shape[1]
    return float(jump(ways).median()), float(ess_bulk(ways).median()) / total


def _scaled(cell: Cell, factor: float) -> Cell:
    if not isinstance(cell.value, float):
        return cell
    return Cell(cell.value * factor, None if cell.error is None else cell.error * factor)


def _chi2(run: Run) -> Cell:
    if "chi2" not in run.arrays:
        return Cell(None, None, "no target was given")
    why = "the likelihood defines no chi-square"
    values = run.arrays["chi2"][...].double().cpu()
    each = [[float(part.mean()) for part in (one, *_without(one))] for one in values]
    return _told(each, why)


def _scores(run: Run, count: int) -> dict[str, Cell]:
    """The scores against the truth."""
    names = ("psnr", "ssim", "lpips", "energy_score", "coverage", "coverage_nominal")
    if run.truth is None:
        return {name: Cell(None, None, NO_TRUTH) for name in names}
    shape, no_lpips = tuple(run.draws.shape[3:]), _no_lpips(tuple(run.draws.shape[3:]))
    each = []
    for i in range(run.draws.shape[0]):
        parts = [run.draws[i]]
        parts += _without(parts[0]) if run.draws.shape[0] == 1 else []
        each.append([_scored(part, run.truth[i], count, not no_lpips) for part in parts])
    picture = "x is no picture (C, H, W)"
    small = f"a side has fewer than {WINDOW} pixels" if len(shape) == 3 else picture
    reasons = {"psnr": picture, "ssim": small, "lpips": no_lpips}
    return {
        name: _told(
            [[one.get(name, math.nan) for one in values] for values in each],
            reasons.get(name, "an interval needs two draws"),
        )
        for name in names
    }


def _scored(draws: Any, truth: Tensor, count: int, with_lpips: bool) -> dict[str, float]:
    found = scored(draws, truth, count)
    if with_lpips:
        mean = evenly(draws, count).double().mean(0)[None].float()
        found["lpips"] = float(lpips(mean, truth[None].float().cpu(), NET)[0])
    return found


def _no_lpips(shape: tuple[int, ...]) -> str:
    """Why LPIPS is not computed; "" where it is. Nothing is downloaded."""
    least = SMALLEST[NET]
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape[1:]) < least:
        return f"LPIPS needs 1 or 3 channels and sides of {least} pixels or more"
    try:
        locate(**ARCHIVES[NET])
    except WeightsError:
        return f"its weights are not here: `noisewalk priors get lpips-{NET}`"
    return ""


def _without(chains: Tensor) -> list[Tensor]:
    """The chains without each of the groups; none of a single chain."""
    total = len(chains)
    if total < 2:
        return []
    group = torch.arange(total) * min(GROUPS, total) // total
    return [chains[group != k] for k in range(int(group.max()) + 1)]


def _told(each: list[list[float]], why: str) -> Cell:
    """The cell of a statistic: for each image its value, and its values without each group."""
    values = torch.tensor([one[0] for one in each], dtype=torch.float64)
    if not len(values) or bool(values.isnan().any()):
        return Cell(None, None, why or "it is not a number")
    mean, error = mean_and_se(values)
    if len(values) == 1:
        error = _jackknife(each[0][1:]) if len(each[0]) > 1 else error
    return Cell(mean, error if math.isfinite(error) else None)
