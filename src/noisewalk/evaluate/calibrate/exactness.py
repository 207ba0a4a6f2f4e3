"""Does a kernel keep the posterior? The truth stands in a chain of its own.

Given y, the truth is a draw of the posterior. A reversible kernel that keeps the posterior runs
backward as it runs forward. With the truth at a uniformly random place of a chain, its rank among
all places is therefore uniform, whether the chain has converged or not.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ... import noise as keyed
from ..._progress import show
from ...gaussians.refresh import Refresh
from ...kernels.contract import checked
from ...kernels.metropolis import select
from ...posterior import NoisePosterior
from ...sampling.chains import adapted_kernel
from ...sampling.defaults import adaptation_of, default_kernel, resolve
from ...sampling.execute import execute
from ...sampling.starts import Adam
from ...storage.memory import MemoryStore
from ...types import Kernel, State, Tick
from ..diagnostics.ranks import holm, sbc
from .calibration import Calibration
from .problems import quantities
from .request import Request

PLACE = (1 << 31) + 1  # step of the noise that says where a truth stands: no run reaches it
PILOT_START, PILOT_WARMUP, PILOT_RANK = Adam(60, 0.03), 20, 24
"""Warm start, warm-up and preconditioner's rank of the run that fits a kernel to each y."""


def exactness(request: Request, target: NoisePosterior, truth: State) -> Calibration:
    """Rank the truths among the other places of their chains."""
    before = target.nfe
    kernel = _fitted(request, target)
    chain: list[Tensor] = []
    walk = _walk(request, target, truth, kernel, chain)
    rates = [tick.acceptance_rate for tick in show(walk, request.progress)]
    seed, nfe = request.seed, target.nfe - before
    ranks = sbc(quantities(truth, seed), torch.stack(chain, 1), seed)
    p_values, rate = holm(ranks.p_values), sum(rates) / len(rates)
    return Calibration("exactness", kernel, ranks.ranks, request.num_draws, p_values, rate, nfe=nfe)


def _fitted(request: Request, target: NoisePosterior) -> Kernel:
    """The kernel, fitted where asked to every y by a run that knows nothing of the truth."""
    given = request.kernel if isinstance(request.kernel, Kernel) else None
    chosen = default_kernel(target) if given is None else given
    tuned, refresh = given is None or request.adapted, request.refresh
    adapt = adaptation_of(chosen) if tuned else None
    if refresh == "auto":
        fits = tuned and chosen.fits_preconditioner
        refresh = Refresh((0.0,), PILOT_RANK) if fits else None
    if adapt is None and refresh is None:
        return chosen
    seed = request.seed + 1
    plan = resolve(target, given, 1, 1, PILOT_WARMUP, 1, PILOT_START, adapt, seed, refresh)
    memory = MemoryStore(target.num_images, 1)
    execute(plan, target, memory, request.progress)
    return adapted_kernel(memory.sampler or {}, plan, target.y.device)


def _walk(
    request: Request, target: NoisePosterior, truth: State, kernel: Kernel, chain: list[Tensor]
) -> Iterator[Tick]:
    """Go backward and then forward from every truth, and append each place's quantities."""
    num_draws, thin, before, state = request.num_draws, request.thin, target.nfe, truth
    rows = keyed.rows(request.seed, target.num_images, device=target.y.device)
    # Step 0's uniform numbers break ties in `sbc`: the place must not depend on them.
    place = (rows.at(PLACE).uniform((), keyed.JITTER) * (num_draws + 1)).long()
    for k in range(num_draws):
        state = select(place == k, truth, state)
        carry = None  # fresh at every place, where the chain is then reversible
        for step in range(k * thin, (k + 1) * thin):
            out = kernel.step(state, target, rows.at(1 + step), carry)
            state, info, carry = checked(kernel, out, state)
            rate = float(info.acceptance_rate.double().mean())
            yield Tick("ranks", step + 1, num_draws * thin, target.nfe - before, rate)
        chain.append(quantities(state, request.seed))
