r"""Is the sampler right on this kind of problem? Two questions, kept apart, over problems simulated from the prior: z* ~ N(0, I), y = A(Phi(z*)) + noise.

- "exactness": given y the truth is a draw of the posterior. A reversible kernel that keeps the posterior runs backward as it
  runs forward, so with the truth at a uniformly random place of a chain its rank among all places is uniform; no convergence is needed (Besag and Clifford).
- "converged": the rank of the truth among the draws of a run from its own start, as a user would make it (SBC).

Ranked are quantities of (z, y): the negative log-likelihood, the log posterior, |z|^2, the mean of x and random projections of x; those that depend on y
see a sampler that ignores the measurement. P-values are adjusted by Holm's method over the quantities.

References: Besag and Clifford, Generalized Monte Carlo significance tests, 1989; Talts et al., Validating Bayesian Inference Algorithms with
Simulation-Based Calibration, 2018.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .. import noise as keyed
from ..diagnostics.ranks import Ranks, holm, sbc
from ..errors import ConfigError
from ..operators import observed_of
from ..plan import default_kernel
from ..run import sample
from ..targets import NoisePosterior
from ..types import Kernel, Likelihood, NoiseMap, Operator, State

NUM_PROJECTIONS = 4
QUANTITIES = ("nll", "log posterior", "|z|^2", "mean of x", *(f"projection {k}" for k in range(NUM_PROJECTIONS)))
PILOT = 8
"""Problems on which the default kernel's step is adapted; the test itself uses others."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of the truth.

    Arguments:
        test: "exactness" or "converged".
        kernel: what was tested.
        ranks: (problem, quantity) 0 to num_draws.
        num_draws: places besides the truth's.
        p_values: (quantity,), adjusted by Holm's method.
        acceptance_rate: mean over transitions.
        nfe: network calls.
    """

    test: str
    kernel: Kernel
    ranks: Tensor
    num_draws: int
    p_values: Tensor
    acceptance_rate: float
    nfe: int

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the ranked quantities."""
        return QUANTITIES

    def __repr__(self) -> str:
        worst = int(self.p_values.argmin())
        return f"Calibration({self.test}, {len(self.ranks)} problems, {self.kernel}: smallest p {float(self.p_values[worst]):.3g} ({QUANTITIES[worst]}))"

    def plot(self) -> Any:
        """The ranks' distribution functions minus the uniform one, with the band that 95 % of exact samplers stay in at each place.

        Returns:
            A matplotlib Figure.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        places = torch.arange(self.num_draws + 1)
        uniform = (places + 1.0) / (self.num_draws + 1)
        band = 1.96 * (uniform * (1 - uniform) / len(self.ranks)).sqrt()
        axes.fill_between(places / self.num_draws, -band, band, color="0.85", step="post", label="95 % of exact samplers")
        for k, name in enumerate(QUANTITIES):
            curve = (self.ranks[:, k, None] <= places).double().mean(0) - uniform
            axes.step(places / self.num_draws, curve, where="post", label=f"{name}, p {float(self.p_values[k]):.2g}")
        axes.set_xlabel("rank of the truth / largest rank")
        axes.set_ylabel("share of problems - uniform")
        axes.legend(fontsize=7, ncols=2)
        return figure


def calibrate(
    phi: NoiseMap,
    operator: Operator,
    likelihood: Likelihood,
    kernel: Kernel | None = None,
    num_problems: int = 200,
    test: str = "exactness",
    seed: int = 0,
    num_draws: int = 19,
    thin: int = 1,
    microbatch: int | None = None,
) -> Calibration:
    """Rank the truth of many simulated problems, all in one batch.

    Cost in network calls: num_problems x num_draws x thin x the kernel's evaluations for "exactness", that of `nw.sample` for "converged".

    Arguments:
        phi: map.
        operator: A.
        likelihood: p(y | A(x)).
        kernel: a transition; None: the default kernel, without a preconditioner and its step adapted on other problems for "exactness".
        num_problems: simulated problems, at least 20.
        test: "exactness" or "converged".
        seed: of all noise.
        num_draws: places besides the truth's; draws of a run.
        thin: transitions between places.
        microbatch: rows per network call.

    Returns:
        Ranks, p-values, a plot.

    Raises:
        ConfigError: a value out of range, or an unadjusted kernel for "exactness": it is not reversible.
    """
    if test not in ("exactness", "converged"):
        raise ConfigError(f"unknown test {test!r}: choose 'exactness' or 'converged'")
    for name, value, least in (("num_problems", num_problems, 20), ("num_draws", num_draws, 2), ("thin", thin, 1)):
        if not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} must be an integer of at least {least}, got {value!r}")
    if test == "exactness" and kernel is not None and not getattr(kernel, "adjust", False):
        raise ConfigError(f"exactness is a property of reversible kernels, and {kernel} is unadjusted: set adjust=True, or test='converged'")
    target, truth = _simulate(phi, operator, likelihood, num_problems, seed, microbatch)
    if test == "converged":
        run = sample(target, kernel, num_draws=num_draws, num_chains=1, thin=thin, seed=seed, progress=False)
        states = [_of_run(run, k) for k in range(num_draws)]
        chain = torch.stack([_quantities(s, seed) for s in states], 1)
        ranks, rate = sbc(_quantities(truth, seed), chain, seed), float(run.arrays["acceptance_rate"].double().mean())
        return Calibration(test, kernel or default_kernel(target), ranks.ranks, num_draws, holm(ranks.p_values), rate, run.nfe)
    chosen = _adapted(phi, operator, likelihood, seed, microbatch) if kernel is None else kernel
    before = target.nfe
    ranks, rate = _exact_ranks(target, truth, chosen, num_draws, thin, seed)
    return Calibration(test, chosen, ranks.ranks, num_draws, holm(ranks.p_values), rate, target.nfe - before)


def _simulate(
    phi: NoiseMap, operator: Operator, likelihood: Likelihood, count: int, seed: int, microbatch: int | None, dtype: torch.dtype = torch.float32
) -> tuple[NoisePosterior, State]:
    rows = keyed.rows(seed, count).at(1 << 31)
    z = rows.normal(tuple(phi.shape), keyed.INIT, dtype)
    with torch.no_grad():
        x = torch.cat([phi(part) for part in z.split(microbatch or count)])
        y = likelihood.sample(operator(x), rows, observed_of(operator, tuple(x.shape[1:])))
    target = NoisePosterior(phi, operator, likelihood, y, microbatch=microbatch)
    return target, target(z)


def _adapted(phi: NoiseMap, operator: Operator, likelihood: Likelihood, seed: int, microbatch: int | None) -> Kernel:
    """The default kernel without a preconditioner, its step adapted on problems of another seed."""
    from ..plan import adaptation_of

    pilot, _ = _simulate(phi, operator, likelihood, PILOT, seed + 1, microbatch)
    kernel = default_kernel(pilot)
    if not hasattr(kernel, "step_size"):
        return kernel
    run = sample(pilot, kernel, num_draws=1, num_chains=1, num_warmup=60, adapt=adaptation_of(kernel)[0], seed=seed, progress=False)
    return replace(kernel, step_size=float(run.arrays["step_size"].log().mean().exp()))  # type: ignore[type-var]


def _exact_ranks(target: NoisePosterior, truth: State, kernel: Kernel, num_draws: int, thin: int, seed: int) -> tuple[Ranks, float]:
    from ..samplers.langevin import select

    rows = keyed.rows(seed, target.num_images)
    place = (rows.uniform((), keyed.JITTER) * (num_draws + 1)).long()  # places before the truth's
    state, chain, rate = truth, [], 0.0
    for k in range(num_draws):
        state = select(place == k, truth, state)  # this row's backward part is complete: go forward from the truth
        for step in range(k * thin, (k + 1) * thin):
            state, info = kernel.step(state, target, rows.at(1 + step))
            rate += float(info.acceptance_rate.double().mean()) / (num_draws * thin)
        chain.append(_quantities(state, seed))
    return sbc(_quantities(truth, seed), torch.stack(chain, 1), seed), rate


def _quantities(state: State, seed: int) -> Tensor:
    """(B, quantity) float64."""
    x, radius = state.x.to(torch.float64).flatten(1), state.z.to(torch.float64).flatten(1).square().sum(1)
    directions = keyed.rows(seed, 1).normal((x.shape[1], NUM_PROJECTIONS), keyed.PROBE, torch.float64)[0].to(x.device)
    return torch.cat([torch.stack([state.nll, -state.nll - 0.5 * radius, radius, x.mean(1)], 1), x @ directions], 1)


def _of_run(run: Any, draw: int) -> State:
    parts = {name: run.arrays[name][:, 0, draw] for name in ("z", "x", "nll")}
    return State(parts["z"], parts["x"], parts["nll"], parts["z"])
