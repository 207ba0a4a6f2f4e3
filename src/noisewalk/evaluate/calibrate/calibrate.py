r"""Is the sampler right on this kind of problem? Two questions, kept apart, over problems simulated
from the prior: z* ~ N(0, I), y = A(Phi(z*)) + noise.

- "exactness": given y the truth is a draw of the posterior. A reversible kernel that keeps the
  posterior runs backward as it runs forward, so with the truth at a uniformly random place of a
  chain its rank among all places is uniform; no convergence is needed (Besag and Clifford).
- "converged": the rank of the truth among the draws of a run from its own start, as a user would
  make it (SBC), the coverage of the draws' intervals, and TARP on x, whose reference point is the
  warm start of another run: it depends on y, not on the truth. Draws that follow each other closely
  fail too.

Ranked are quantities of (z, y): the negative log-likelihood, the log posterior, |z|^2, the mean of
x and random projections of x; those that depend on y see a sampler that ignores the measurement.
P-values are adjusted by Holm's method over the quantities.

References: Besag and Clifford, Generalized Monte Carlo significance tests, 1989; Talts et al.,
Validating Bayesian Inference Algorithms with Simulation-Based Calibration, 2018; Lemos et al.,
Sampling-Based Accuracy Testing of Posterior Estimators, 2023 (TARP).
"""

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from ... import noise as keyed
from ..._progress import show
from ...errors import ConfigError
from ...gaussians.refresh import Refresh, Schedule
from ...kernels.metropolis import select
from ...operators import observed_of
from ...posterior import NoisePosterior
from ...sampling.chains import adapted_kernel
from ...sampling.defaults import adaptation_of, default_kernel, resolve, resolve_smc
from ...sampling.execute import draw, execute
from ...sampling.starts import Adam
from ...storage.memory import MemoryStore
from ...types import Kernel, Likelihood, NoiseMap, Operator, State, Tick
from ..diagnostics.ranks import coverage, holm, sbc, tarp
from .calibration import NUM_PROJECTIONS, Calibration

TRUTH, PLACE = 1 << 31, (1 << 31) + 1
"""Steps of the noise that no run reaches: of the truth with its measurement, and of its place in
the chain."""
PILOT = {"adam_steps": 60, "num_warmup": 20, "rank": 24}
"""The run that fits a kernel before the truth is ranked: steps of its warm start, transitions that
adapt the step, rank of the preconditioner."""

NUM_PRIOR = 32
"""Draws of the prior that TARP's reference is the likeliest of, where there is no gradient."""


def calibrate(
    phi: NoiseMap,
    operator: Operator,
    likelihood: Likelihood,
    kernel: Kernel | Literal["smc"] | None = None,
    num_problems: int = 200,
    test: str = "exactness",
    seed: int = 0,
    num_draws: int = 19,
    thin: int | str = "auto",
    microbatch: int | None = None,
    num_warmup: int | str = "auto",
    warm_start: Adam | str | None = "auto",
    adapted: bool = False,
    num_carried: int | None = None,
    progress: bool = True,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    differentiable: bool = True,
    refresh: Schedule | Literal["auto"] | None = "auto",
) -> Calibration:
    """Rank the truth of many simulated problems, all in one batch.

    Cost in network calls: num_problems x num_draws x thin x the kernel's evaluations for
    "exactness", and about 60 + 129 + 21 times the evaluations a problem for the default kernel,
    whose step and preconditioner are fitted to each y by a run that knows nothing of the truth;
    that of `nw.sample` or `nw.tempered_smc` for "converged".

    Arguments:
        phi: map.
        operator: A.
        likelihood: p(y | A(x)).
        kernel: a transition; "smc" for tempered SMC, "converged" alone; None: the default kernel.
        num_problems: simulated problems, at least 20.
        test: "exactness" or "converged".
        seed: of all noise.
        num_draws: places besides the truth's; draws of a run.
        thin: transitions between places, or between draws; "auto" is 1, and 2 for the "exactness"
            of a kernel that keeps velocities, so that they are kept.
        microbatch: rows per network call.
        num_warmup: as in `nw.sample`, for "converged".
        warm_start: as in `nw.sample`, for "converged".
        adapted: adapt a given kernel as the default one is and as `noisewalk sample` does: its
            step, and for HMC the preconditioner; for "exactness" by a run of 20 transitions that
            knows nothing of the truth.
        num_carried: particles of "smc"; None: num_draws.
        progress: show a progress bar on a terminal, a line a minute elsewhere.
        device: where the map's weights are.
        dtype: of noise, measurements and draws.
        differentiable: False for a map or operator without gradients, as in `NoisePosterior`; the
            default kernel is then elliptical slice sampling.
        refresh: how a run's warm-up computes the preconditioner, as in `nw.sample`; "auto": a low
            rank where the kernel is adapted, none elsewhere.

    Returns:
        Ranks, p-values, a plot.

    Raises:
        ConfigError: a value out of range, an unadjusted kernel for "exactness" (it is not
            reversible), one that needs gradients where there are none, or a refresh that nothing
            reads.
    """
    if test not in ("exactness", "converged"):
        raise ConfigError(f"unknown test {test!r}: choose 'exactness' or 'converged'")
    if isinstance(thin, str):
        if thin != "auto":
            raise ConfigError(f"thin must be 'auto' or an integer of at least 1, got {thin!r}")
        thin = (
            2
            if test == "exactness"
            and (kernel is None or (isinstance(kernel, Kernel) and kernel.carries))
            else 1
        )
    for name, value, least in (
        ("num_problems", num_problems, 20),
        ("num_draws", num_draws, 2),
        ("thin", thin, 1),
    ):
        if not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} must be an integer of at least {least}, got {value!r}")
    if isinstance(kernel, str) and (kernel != "smc" or test == "exactness"):
        raise ConfigError(
            "kernel must be a transition, None, or 'smc' with test='converged'; got "
            f"{kernel!r} with test={test!r}"
        )
    if test == "exactness" and isinstance(kernel, Kernel) and not kernel.exact:
        raise ConfigError(
            f"exactness is a property of reversible kernels, and {kernel} is unadjusted: set "
            "adjust=True, or test='converged'"
        )
    if (
        test == "exactness"
        and isinstance(kernel, Kernel)
        and not (kernel.reversible or kernel.carries)
    ):
        raise ConfigError(
            f"the exactness test runs a chain backward, and {kernel} is exact but not "
            "reversible: choose test='converged'"
        )
    if adapted and not (
        isinstance(kernel, Kernel) and kernel.exact and kernel.step_size is not None
    ):
        raise ConfigError(
            "adapted=True is for a given exact kernel with a step size (the default kernel is "
            f"always adapted), got {kernel!r}"
        )
    if not differentiable and isinstance(kernel, Kernel) and kernel.needs_gradient:
        raise ConfigError(
            f"{type(kernel).__name__} needs gradients, and the problem has none: use "
            "EllipticalSlice, 'smc', or None"
        )
    if refresh != "auto" and kernel == "smc":
        raise ConfigError(
            f"'smc' fits its own preconditioner and reads no refresh, got {refresh!r}: leave it out"
        )
    target, truth = _simulate(
        phi, operator, likelihood, num_problems, seed, microbatch, device, dtype, differentiable
    )
    before = target.nfe
    if test == "exactness" and not isinstance(kernel, str):
        chosen = _fitted(target, kernel, adapted, refresh, seed + 1, progress)
        return _exactness(target, truth, chosen, num_draws, thin, seed, before, progress)
    return _converged(
        target,
        truth,
        kernel,
        num_draws,
        thin,
        num_warmup,
        warm_start,
        adapted,
        refresh,
        num_carried,
        seed,
        before,
        progress,
    )


def _simulate(
    phi: NoiseMap,
    operator: Operator,
    likelihood: Likelihood,
    count: int,
    seed: int,
    microbatch: int | None,
    device: torch.device | str,
    dtype: torch.dtype,
    differentiable: bool = True,
) -> tuple[NoisePosterior, State]:
    rows = keyed.rows(seed, count, device=device).at(TRUTH)
    z = rows.normal(tuple(phi.shape), keyed.INIT, dtype)
    with torch.no_grad():
        x = torch.cat([phi(part) for part in z.split(microbatch or count)])
        y = likelihood.sample(operator(x), rows, observed_of(operator, tuple(x.shape[1:])))
    target = NoisePosterior(
        phi, operator, likelihood, y, microbatch=microbatch, differentiable=differentiable
    )
    return target, target(z)


def _fitted(
    target: NoisePosterior,
    kernel: Kernel | None,
    adapted: bool,
    refresh: Schedule | str | None,
    seed: int,
    progress: bool,
) -> Kernel:
    """The kernel with the step and the preconditioner that a run of its own finds for every y, as
    far as either is asked for."""
    chosen = default_kernel(target) if kernel is None else kernel
    tuned = kernel is None or adapted
    adapt = adaptation_of(chosen) if tuned else None
    if refresh == "auto":
        fits = tuned and chosen.fits_preconditioner
        refresh = Refresh((0.0,), PILOT["rank"]) if fits else None
    if adapt is None and refresh is None:
        return chosen
    plan = resolve(
        target,
        kernel,
        1,
        1,
        PILOT["num_warmup"],
        1,
        Adam(PILOT["adam_steps"], 0.03),
        adapt,
        seed,
        refresh,
    )
    memory = MemoryStore(target.num_images, 1)
    execute(plan, target, memory, progress)
    return adapted_kernel(memory.sampler or {}, plan, target.y.device)


def _exactness(
    target: NoisePosterior,
    truth: State,
    kernel: Kernel,
    num_draws: int,
    thin: int,
    seed: int,
    before: int,
    progress: bool,
) -> Calibration:
    rows = keyed.rows(seed, target.num_images, device=target.y.device)
    place = (
        rows.at(PLACE).uniform((), keyed.JITTER) * (num_draws + 1)
    ).long()  # places before the truth's; step 0's numbers break ties in `sbc`
    chain: list[Tensor] = []
    rates: list[float] = []

    def walk() -> Iterator[Tick]:
        state = truth
        for k in range(num_draws):
            state = select(
                place == k, truth, state
            )  # this row's backward part is complete: go forward from the truth
            # fresh at every place: from place to place the chain is reversible, whatever is carried
            # between
            carry = None
            for step in range(k * thin, (k + 1) * thin):
                state, info, carry = kernel.step(state, target, rows.at(1 + step), carry)
                rates.append(float(info.acceptance_rate.double().mean()))
                yield Tick("ranks", step + 1, num_draws * thin, target.nfe - before, rates[-1])
            chain.append(_quantities(state, seed))

    for _ in show(walk(), progress):
        pass
    ranks = sbc(_quantities(truth, seed), torch.stack(chain, 1), seed)
    return Calibration(
        "exactness",
        kernel,
        ranks.ranks,
        num_draws,
        holm(ranks.p_values),
        sum(rates) / len(rates),
        target.nfe - before,
    )


def _converged(
    target: NoisePosterior,
    truth: State,
    kernel: Kernel | str | None,
    num_draws: int,
    thin: int,
    num_warmup: int | str,
    warm_start: Adam | str | None,
    adapted: bool,
    refresh: Schedule | str | None,
    num_carried: int | None,
    seed: int,
    before: int,
    progress: bool,
) -> Calibration:
    if isinstance(kernel, str):
        used: Any = resolve_smc(target, num_draws, num_carried, seed=seed)
        run = draw(used, target, progress=progress)
        parts = [
            {name: run.arrays[name][:, k, 0] for name in ("z", "x", "nll")}
            for k in range(num_draws)
        ]
    else:
        as_given = kernel is not None and not adapted
        if as_given and num_warmup == "auto" and refresh in ("auto", None):
            num_warmup = 0
        plan = resolve(
            target,
            kernel,
            num_draws,
            1,
            num_warmup,
            thin,
            warm_start,
            None if as_given else "auto",
            seed,
            refresh,
        )
        run = draw(plan, target, progress=progress)
        if not run.complete:
            raise KeyboardInterrupt  # the draws so far would be ranked as if they were all
        used = plan.kernel
        parts = [
            {name: run.arrays[name][:, 0, k] for name in ("z", "x", "nll")}
            for k in range(num_draws)
        ]
    states = [State(part["z"], part["x"], part["nll"], part["z"]) for part in parts]
    quantities, chain = (
        _quantities(truth, seed),
        torch.stack([_quantities(s, seed) for s in states], 1),
    )
    ranks = sbc(quantities, chain, seed)
    distances = tarp(
        truth.x.cpu(),
        torch.stack([s.x.cpu() for s in states], 1),
        _references(target, seed + 1).cpu(),
        seed,
    )
    p_values = holm(torch.cat([ranks.p_values, torch.tensor([distances.p_value])]))
    rate, inside = float(run.arrays["acceptance_rate"].double().mean()), coverage(quantities, chain)
    return Calibration(
        "converged",
        used,
        ranks.ranks,
        num_draws,
        p_values,
        rate,
        target.nfe - before,
        distances,
        inside,
    )


def _references(target: NoisePosterior, seed: int) -> Tensor:
    """x near the data, independent of the truth given y: of another warm start, or without
    gradients the likeliest of `NUM_PRIOR` draws of the prior."""
    rows = keyed.rows(seed, target.num_images, device=target.y.device)
    if not target.differentiable:
        states = [
            target(rows.at(k).normal(tuple(target.shape), keyed.INIT, target.y.dtype))
            for k in range(NUM_PRIOR)
        ]
        best = torch.stack([state.nll for state in states]).nan_to_num(nan=math.inf).argmin(0)
        return torch.stack([state.x for state in states])[
            best, torch.arange(len(best), device=best.device)
        ]
    adam = Adam()
    here = adam.start(target(rows.normal(tuple(target.shape), keyed.INIT, target.y.dtype)))
    for k in range(1, adam.num_steps + 1):
        here = adam.step(here, target, k)
    return here.state.x


def _quantities(state: State, seed: int) -> Tensor:
    """(B, quantity) float64 on the CPU."""
    x, radius = (
        state.x.to(torch.float64).flatten(1),
        state.z.to(torch.float64).flatten(1).square().sum(1),
    )
    directions = (
        keyed.rows(seed, 1)
        .normal((x.shape[1], NUM_PROJECTIONS), keyed.PROBE, torch.float64)[0]
        .to(x.device)
    )
    return torch.cat(
        [torch.stack([state.nll, -state.nll - 0.5 * radius, radius, x.mean(1)], 1), x @ directions],
        1,
    ).cpu()
