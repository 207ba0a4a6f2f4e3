"""The draws of anybody's sampler as the arrays of a run, judged by a target and a truth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._intake import plain
from .._repr import facts_of
from ..errors import ConfigError
from ..likelihoods.base import complete
from ..posterior import NoisePosterior


def completed(run: Any) -> dict[str, Any]:
    """The fields of a run that its draws, its target and its truth give: only those that change."""
    arrays, target = run.arrays, run.target
    if not isinstance(arrays, Mapping):
        arrays = {"x": _draws(arrays)}
    arrays = {k: plain(k, v) if isinstance(v, np.ndarray) else v for k, v in arrays.items()}
    changed: dict[str, Any] = {"arrays": arrays}
    if "x" not in arrays:
        raise ConfigError(f"the draws of a run are named x, got {', '.join(arrays) or 'nothing'}")
    shape = tuple(arrays["x"].shape)
    if run.truth is not None:
        changed["truth"] = _truth(run.truth, shape)
    if target is None:
        return changed
    check_target(target, shape)
    if missing := {"chi2", "nll"} - arrays.keys():
        changed["arrays"] = {**arrays, **_judged(arrays["x"], target, missing)}
    told = {"y": target.y, "num_observed": target.num_observed, "observed": target.observed}
    changed |= {name: value for name, value in told.items() if getattr(run, name) is None}
    if "likelihood" not in run.spec:
        changed["spec"] = {**run.spec, "likelihood": facts_of(target.likelihood)}
    return changed


def check_target(target: Any, shape: tuple[int, ...]) -> None:
    """ConfigError unless it is a target of draws of this shape, (image, chain, draw, *x)."""
    if not isinstance(target, NoisePosterior):
        advice = "nfe and seconds are given by name, as in nw.Run(draws, nfe=400)"
        raise ConfigError(f"target must be a nw.NoisePosterior, got {target!r}; {advice}")
    wanted = target.num_images, tuple(target.data_shape)
    if (shape[0], shape[3:]) != wanted:
        found = f"{shape[0]} images of shape {shape[3:]}"
        raise ConfigError(
            f"the draws are of {found}, the target has {wanted[0]} of shape {wanted[1]}: draws are "
            "(image, chain, draw, *x)"
        )


def _draws(given: Any) -> Tensor:
    draws = plain("draws", given)
    if draws.ndim < 4 or not draws.is_floating_point() or 0 in (*draws.shape[:2], *draws.shape[3:]):
        raise ConfigError(
            "draws must be real numbers (image, chain, draw, *x), x in [-1, 1], got "
            f"{draws.dtype} of shape {tuple(draws.shape)}"
        )
    return draws


def _truth(given: Any, shape: tuple[int, ...]) -> Tensor:
    """(image, *x) of a truth that may be one image without the image axis."""
    truth = plain("truth", given)
    if tuple(truth.shape) == shape[3:] and shape[0] == 1:
        truth = truth[None]
    if tuple(truth.shape) != (shape[0], *shape[3:]):
        wanted = f"(image, *x), here {(shape[0], *shape[3:])}"
        raise ConfigError(f"truth must be {wanted}, got {tuple(truth.shape)}")
    return truth


def _judged(draws: Any, target: NoisePosterior, wanted: set[str]) -> dict[str, Tensor]:
    """chi2 and nll, (image, chain, draw), by A and the likelihood alone: no network call."""
    images, chains, count = draws.shape[:3]
    likelihood, size = complete(target.likelihood), target.microbatch or max(1, images * chains)
    image = torch.arange(images).repeat_interleave(chains).to(target.y.device)
    observed = None if target.observed is None else target.observed[image]
    found: dict[str, list[Tensor]] = {name: [] for name in wanted}
    with torch.no_grad():
        for k in range(count):
            x = draws[:, :, k].flatten(0, 1).to(target.y)
            mean = torch.cat([target.operator(part) for part in x.split(size)])
            given = mean, target.y[image], observed
            if "chi2" in wanted:
                found["chi2"].append(likelihood.residual_chi2(*given).cpu())
            if "nll" in wanted:
                found["nll"].append(likelihood.nll(*given).cpu())
    empty = torch.zeros(images, chains, 0, dtype=torch.float64)
    return {
        name: torch.stack(values, 1).reshape(images, chains, count) if values else empty
        for name, values in found.items()
    }
