"""Are runs long enough? The truth is ranked among the draws of a run, as a user would make it.

Given y, the truth and the draws of a converged run have one law, so the truth's rank is uniform
(SBC). Draws that follow each other closely fail too. TARP's reference point is the warm start of
another run: it depends on y, not on the truth.
"""

import math

import torch
from torch import Tensor

from ... import noise as keyed
from ...posterior import NoisePosterior
from ...sampling.defaults import resolve, resolve_smc
from ...sampling.execute import draw
from ...sampling.starts import Adam
from ...types import Plan, State
from ..diagnostics.ranks import coverage, holm, sbc, tarp
from .calibration import Calibration
from .problems import quantities
from .request import Request

NUM_PRIOR = 32  # draws of the prior: TARP's reference is the likeliest, where there is no gradient


def converged(request: Request, target: NoisePosterior, truth: State) -> Calibration:
    """Rank the truths among the draws of a run."""
    before, seed = target.nfe, request.seed
    plan, used = _plan(request, target)
    run = draw(plan, target, progress=request.progress)
    if not run.complete:
        raise KeyboardInterrupt  # the draws so far would be ranked as if they were all
    z, x, nll = (run.arrays[name].flatten(1, 2) for name in ("z", "x", "nll"))
    states = (State(z[:, k], x[:, k], nll[:, k], z[:, k]) for k in range(request.num_draws))
    true, drawn = quantities(truth, seed), torch.stack([quantities(s, seed) for s in states], 1)
    ranks, inside = sbc(true, drawn, seed), coverage(true, drawn)
    distances = tarp(truth.x.cpu(), x.cpu(), _references(target, seed + 1).cpu(), seed)
    p_values = holm(torch.cat([ranks.p_values, torch.tensor([distances.p_value])]))
    rate, nfe = float(run.arrays["acceptance_rate"].double().mean()), target.nfe - before
    found = used, ranks.ranks, request.num_draws, p_values, rate, nfe, distances, inside
    return Calibration("converged", *found)


def _plan(request: Request, target: NoisePosterior) -> tuple[Plan, object]:
    """The plan of the run, and what it tests: a kernel, or tempered SMC as a whole."""
    kernel, warmup = request.kernel, request.num_warmup
    if isinstance(kernel, str):
        smc = resolve_smc(target, request.num_draws, request.num_carried, seed=request.seed)
        return smc, smc
    as_given = kernel is not None and not request.adapted
    if as_given and warmup == "auto" and request.refresh in ("auto", None):
        warmup = 0
    counts, start = (request.num_draws, 1, warmup, request.thin), request.warm_start
    adapt = None if as_given else "auto"
    rest = (start, adapt, request.seed, request.refresh)
    chains = resolve(target, kernel, *counts, *rest, plan="long_chains")
    return chains, chains.kernel


def _references(target: NoisePosterior, seed: int) -> Tensor:
    """x near the data that, given y, does not depend on the truth."""
    rows = keyed.rows(seed, target.num_images, device=target.y.device)
    count = 1 if target.differentiable else NUM_PRIOR
    shape, dtype = tuple(target.shape), target.y.dtype
    states = [target(rows.at(k).normal(shape, keyed.INIT, dtype)) for k in range(count)]
    if not target.differentiable:
        best = torch.stack([state.nll for state in states]).nan_to_num(nan=math.inf).argmin(0)
        images = torch.arange(len(best), device=best.device)
        return torch.stack([state.x for state in states])[best, images]
    adam = Adam()
    here = adam.start(states[0])
    for k in range(1, adam.num_steps + 1):
        here = adam.step(here, target, k)
    return here.state.x
