"""Samplers side by side on one problem: anybody's draws, and functions that make them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .._checks import seed_of, whole
from .._intake import plain
from ..errors import ConfigError
from ..posterior import NoisePosterior
from ..sampling.foreign import check_target
from ..sampling.run import Run
from .comparison import Comparison

Sampler = Callable[[NoisePosterior, int, int], Any]
NUM_DRAWS = 16  # of each image, where no run says another number


def compare(
    entries: Mapping[str, Run | Sampler],
    target: NoisePosterior | None = None,
    truth: Tensor | None = None,
    num_draws: int | None = None,
    budget: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare samplers on the same problem: how fast they move, whether they can be trusted, and
    how close they are to the truth.

    Every entry is judged by the same target, and scored by as many draws as the shortest entry has.
    Speed is told per network call and per second. Calls are those that `target.nfe` counts, or the
    `nfe` of a run that a function returns: a function that calls another network, such as a
    denoiser or `target.phi` itself, returns `nw.Run(draws, nfe=...)`, or its calls are not known.

    Cost: that of the functions. Runs cost no network call.

    Arguments:
        entries: by name, a run, or a function (target, num_draws, seed) -> draws (image, chain,
            draw, *x), a tensor, an array or a run. Draws (image, draw, *x) are independent samples.
        target: the problem; None: that of the runs, which functions cannot do without.
        truth: (image, *x) or *x; None: that of the runs, or not known.
        num_draws: of each image, for the functions; None: what the first run has, or 16.
        budget: network calls of an entry; a function whose calls are counted is run again with as
            many draws as cost that, runs stay as they are; None: equally many draws, no budget.
        seed: for the functions.

    Returns:
        A table with one row an entry, and figures.

    Raises:
        ConfigError: no entry, an entry that is not of this problem, or a function without a target.

    Example:
        >>> phi, y = nw.maps.Affine(torch.eye(2), torch.zeros(2)), torch.ones(1, 2)
        >>> target = nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(1.0), y)
        >>> exact = lambda target, n, seed: 0.5 + 0.5**0.5 * torch.randn(1, 4, n // 4, 2)
        >>> prior = lambda target, n, seed: torch.randn(1, 4, n // 4, 2)
        >>> found = nw.compare({"exact": exact, "prior": prior}, target, num_draws=40)
        >>> found.table["exact"]["chi2"].value < found.table["prior"]["chi2"].value
        True
    """
    if not isinstance(entries, Mapping) or not entries:
        raise ConfigError(
            f"compare needs entries by name, such as {{'mine': run}}, got {entries!r}"
        )
    runs = {name: one for name, one in entries.items() if isinstance(one, Run)}
    target = _first([target, *(run.target for run in runs.values())])
    truth = _first([truth, *(run.truth for run in runs.values())])
    asked = num_draws if num_draws is not None else _usual(runs)
    whole("num_draws", asked)
    if budget is not None:
        whole("budget", budget)
    if truth is not None and not bool(plain("truth", truth).isfinite().all()):
        raise ConfigError("truth must be finite: leave it out where it is not known")
    made = {}
    for name, entry in entries.items():
        run = entry if isinstance(entry, Run) else None
        if run is None:
            run = _called(name, entry, target, asked, budget, seed_of(seed))
        made[name] = _judged(name, run, target, truth)
    _check_same(made)
    return Comparison(made, budget)


def _first(values: list[Any]) -> Any:
    return next((value for value in values if value is not None), None)


def _usual(runs: Mapping[str, Run]) -> int:
    counts = [run.draws.shape[1] * run.draws.shape[2] for run in runs.values()]
    return max(1, counts[0]) if counts else NUM_DRAWS


def _called(
    name: str, sampler: Any, target: Any, num_draws: int, budget: int | None, seed: int
) -> Run:
    """The run of a function, within the budget where there is one."""
    if not callable(sampler):
        found = type(sampler).__name__
        raise ConfigError(f"{name} must be a nw.Run or a function of 3 arguments, got {found}")
    if target is None:
        raise ConfigError(f"{name} is a function, which needs the problem: give target=")
    run = _once(name, sampler, target, num_draws, seed)
    if budget is None:
        return run
    fits = budget / run.nfe * num_draws if run.nfe else num_draws
    if int(fits) in (0, num_draws):
        return run
    return _once(name, sampler, target, int(fits), seed)


def _once(name: str, sampler: Sampler, target: NoisePosterior, num_draws: int, seed: int) -> Run:
    before, start = target.nfe, time.perf_counter()
    try:
        given = sampler(target, num_draws, seed)
    except Exception as error:
        error.add_note(f"raised by the entry {name} of nw.compare")
        raise
    if target.y.is_cuda:
        torch.cuda.synchronize()
    seconds, calls = time.perf_counter() - start, target.nfe - before
    if isinstance(given, Run):
        return replace(given, nfe=given.nfe or calls, seconds=given.seconds or seconds)
    draws = plain(f"the draws of {name}", given)
    if not draws.is_floating_point():
        kind = str(draws.dtype).removeprefix("torch.")
        raise ConfigError(f"the draws of {name} must be floating-point in [-1, 1], got {kind}")
    if draws.ndim == 2 + len(target.data_shape):  # independent samples are chains of one draw
        draws = draws[:, :, None]
    return Run(draws, nfe=calls, seconds=seconds)


def _judged(name: str, run: Run, target: Any, truth: Any) -> Run:
    """The run with the target and the truth; ConfigError if it is of another problem."""
    if run.draws.shape[2] == 0:
        raise ConfigError(f"{name} has no draws: there is nothing to compare")
    try:
        if target is not None:
            check_target(target, tuple(run.draws.shape))
            if run.y is not None and not _equal(run.y, target.y):
                raise ConfigError("its measurement is not that of the target")
        return replace(run, target=target, truth=truth)
    except ConfigError as error:
        raise ConfigError(f"{name} is not of this problem: {error}") from error


def _check_same(runs: Mapping[str, Run]) -> None:
    """ConfigError unless the draws have one shape and, where it is known, one measurement."""
    (first, one), *others = runs.items()
    for name, run in others:
        shapes = [(r.draws.shape[0], tuple(r.draws.shape[3:])) for r in (one, run)]
        known = one.y is not None and run.y is not None
        if shapes[0] != shapes[1] or (known and not _equal(one.y, run.y)):
            what = "shape" if shapes[0] != shapes[1] else "measurement"
            raise ConfigError(
                f"{name} and {first} have draws of another {what}: they must share it"
            )


def _equal(a: Any, b: Any) -> bool:
    return a.shape == b.shape and torch.allclose(a.to(b), b, atol=1e-6, equal_nan=True)
