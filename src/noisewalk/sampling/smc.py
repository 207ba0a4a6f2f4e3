r"""Tempered sequential Monte Carlo: particles carried from the prior to the posterior, with the
evidence on the way.

Between $\pi_0 = N(0, I)$ and the posterior lie $\pi_\beta(z) \propto e^{-\beta L(z)} N(z; 0, I)$.
From beta to the largest beta' at which the effective sample size of the weights
$w_i = e^{-(\beta' - \beta) L_i}$ is still a given share of the particles, they are resampled
(systematically) and moved by a few steps of a kernel that keeps $\pi_{\beta'}$; each step adapts
its size to the particles' acceptance. The number of moves can be left to the particles: they move
until their places correlate with those right after the resampling by at most `FORGOTTEN`, averaged
over projections of x. The evidence is
$$\ln p(y) = \ln \int e^{-L} dN \approx \sum_k \ln \tfrac1P \sum_i w_i^{(k)} .$$
Its error is read off the family tree: with $n_j$ of the P particles at the end descended from
particle j of the start, the relative variance of the evidence is about
$\sum_j (n_j / P)^2 - 1 / P$, whether the moves mix or not. (Lee and Whiteley's estimator without
the factor for multinomial resampling, which systematic resampling does not need.)

References: Del Moral, Doucet and Jasra, Sequential Monte Carlo samplers, 2006, section 3.3; Jasra,
Stephens, Doucet and Tsagaris, Inference for Levy-driven stochastic volatility models via adaptive
sequential Monte Carlo, 2011 (the ladder); Kitagawa, Monte Carlo filter and smoother for
non-Gaussian nonlinear state space models, 1996 (systematic resampling); Buchholz, Chopin and Jacob,
Adaptive Tuning of Hamiltonian Monte Carlo Within Sequential Monte Carlo, 2021, section 3.3 (moves
until the particles' correlation with their start is small); Lee and Whiteley, Variance estimation
in the particle filter, 2018, equation 2.6.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from .. import noise as keyed
from .._repr import facts_of
from ..errors import DivergedError
from ..evaluate.diagnostics.chains import projections
from ..gaussians.low_rank import calls_of, gauss_newton
from ..gaussians.refresh import unpack, with_gradient
from ..kernels.contract import checked
from ..kernels.split_hmc import MOVE_ACCEPT
from ..types import Estimate, Info, Kernel, RunStore, State, Tick
from .chains import packed, unpacked
from .cost import Meter, bytes_of
from .resampling import correlation, evidence_error, next_step, systematic
from .tempered import Tempered

FORGOTTEN = 0.2  # correlation with their start below which the particles need no more moves
NUM_PROJECTIONS = 16  # projections of x that it is averaged over
FIT_PARTICLES = 4  # particles of an image that the Gauss-Newton matrix is averaged over
LIKELY_STAGES = 10
"""Temperatures that an estimate of the cost assumes: how many there will be is not known before."""


@dataclass(frozen=True)
class TemperedSMC:
    """What tempered SMC does, every choice made.

    `num_particles` draws come back of `num_carried` particles an image; a temperature keeps the
    share `ess_fraction` of them as effective sample size; `num_moves` is the number of transitions
    at each temperature, or the least and the most; `rank` is that of the Gauss-Newton Gaussian that
    the kernel is built on anew at each temperature (None: it stays as it is).
    """

    num_particles: int
    num_carried: int
    ess_fraction: float
    kernel: Kernel
    num_moves: int | tuple[int, int]
    seed: int
    rank: int | None = None

    thin = 1
    num_draws = 1

    @property
    def in_words(self) -> str:
        """What the particles do, in one sentence for people; spec.json has every setting."""
        carried = f"{self.num_carried} particles an image, of which {self.num_particles} come back"
        return f"{carried}; {self.kernel}, {self.num_moves} moves a temperature, seed {self.seed}"

    @property
    def num_rows(self) -> int:
        """Particles that come back."""
        return self.num_particles

    @property
    def moves(self) -> tuple[int, int]:
        """The least and the most transitions at a temperature."""
        return (
            (self.num_moves, self.num_moves) if isinstance(self.num_moves, int) else self.num_moves
        )

    def estimate(self, target: Any) -> Estimate:
        """Calls for `LIKELY_STAGES` temperatures of the fewest moves, memory and disk."""
        rows = target.num_images * self.num_carried
        each = self.moves[0] * self.kernel.evaluations
        fits = 0 if self.rank is None else calls_of(self.rank, math.prod(target.shape))
        calls = rows * (1 + LIKELY_STAGES * each)
        calls += LIKELY_STAGES * fits * target.num_images * min(FIT_PARTICLES, self.num_carried)
        memory, _ = bytes_of(target, rows, 1)
        _, disk = bytes_of(target, target.num_images * self.num_particles, 1)
        return Estimate(calls * target.phi.nfe, memory, disk)

    def run(self, target: Any, sink: RunStore) -> Iterator[Tick]:
        """Carry the particles into the sink, from wherever it stands; the draws are committed once,
        at the end. DivergedError where no particle of an image has a finite likelihood."""
        return _Session(self, target, sink).ticks()

    def facts(self) -> dict[str, Any]:
        """Every choice, ready for JSON."""
        return {**facts_of(self), "num_draws": 1, "kernel": self.kernel.facts()}


@dataclass
class _Cloud:
    """The particles and all that is needed to go on bitwise."""

    state: State
    beta: Tensor
    log_evidence: Tensor
    log_step: Tensor
    family: Tensor
    tuning: dict[str, Tensor] = field(default_factory=dict)
    log_evidence_error: Tensor | None = None
    resampled: Tensor | None = None
    memory: Tensor | None = None
    reference: dict[str, Any] | None = None
    moves_left: int = 0
    events: int = 1
    stages: int = 0
    rate: float = math.nan
    nfe: int = 0
    seconds: float = 0.0

    @property
    def moving(self) -> bool:
        """Whether anything is left to do."""
        return bool(self.moves_left or (self.beta < 1).any())


class _Session:
    """One process's part of a run."""

    def __init__(self, plan: TemperedSMC, target: Any, sink: RunStore) -> None:
        self.plan, self.target, self.sink = plan, target, sink
        self.meter = Meter(target)
        self.rows = keyed.rows(plan.seed, target.num_images, plan.num_carried, target.y.device)
        self.committed, self.kept = sink.cursor()

    def ticks(self) -> Iterator[Tick]:
        """Go on until the particles are at the posterior, and commit them."""
        plan, target = self.plan, self.target
        if self.committed:
            return
        kept, device = self.kept, target.y.device
        cloud = self.cloud = self._start() if kept is None else unpacked(_Cloud, kept, device)
        before = (cloud.nfe, cloud.seconds)
        while cloud.moving:
            if cloud.moves_left == 0:
                self._temper()
            info = self._move()
            cloud.nfe, cloud.seconds = self.meter.spent(*before)
            if cloud.moving:
                self.sink.checkpoint(packed(cloud))
            beta, rate = float(cloud.beta.min()), float(info.acceptance_rate.mean())
            yield Tick(f"beta {beta:.2g}", int(1000 * beta), 1000, cloud.nfe, rate)
        state, last = (
            _spaced(p, plan.num_carried, plan.num_particles) for p in (cloud.state, info)
        )
        step = cloud.log_step.exp().repeat_interleave(plan.num_particles)
        extras = {"chi2": target.chi2(state.x), "step_size": step}
        self.sink.append(state, last, packed(cloud), extras)

    def _start(self) -> _Cloud:
        target, plan = self.target, self.plan
        state = target(self.rows.at(0).normal(tuple(target.shape), keyed.INIT, target.y.dtype))
        device, images = state.nll.device, target.num_images
        none = torch.zeros(images, dtype=torch.float64, device=device)
        if not bool(torch.isfinite(state.nll).reshape(images, -1).any(1).all()):
            raise DivergedError(
                "no particle of an image has a finite likelihood at z ~ N(0, I): check the "
                "operator, the noise level and y"
            )
        first = 1.0 if plan.kernel.step_size is None else plan.kernel.step_size
        step = torch.as_tensor(first, dtype=torch.float64, device=device).log().expand(images)
        family = torch.arange(plan.num_carried, device=device).repeat(images, 1)
        return _Cloud(state, none, none.clone(), step.clone(), family)

    def _temper(self) -> None:
        """The next temperature: reweight, add to the evidence, resample."""
        cloud, plan = self.cloud, self.plan
        nll = cloud.state.nll.reshape(len(cloud.beta), -1).nan_to_num(nan=1e300, posinf=1e300)
        step = next_step(nll, 1.0 - cloud.beta, plan.ess_fraction)
        log_weights = -step[:, None] * nll
        gained = torch.logsumexp(log_weights, 1) - math.log(nll.shape[1])
        cloud.log_evidence = cloud.log_evidence + gained
        cloud.beta = torch.where(step >= 1.0 - cloud.beta, 1.0, cloud.beta + step)
        offsets = keyed.rows(plan.seed, len(cloud.beta), device=nll.device).at(cloud.events)
        index = systematic(log_weights, offsets.uniform((), keyed.FROZEN))
        stay = torch.arange(nll.shape[1], device=nll.device)
        index = torch.where((step > 0)[:, None], index, stay)
        images = torch.arange(len(index), device=nll.device)
        flat = (index + nll.shape[1] * images[:, None]).flatten()
        cloud.state = State(*(part[flat] for part in cloud.state))
        cloud.family = cloud.family.gather(1, index)
        cloud.log_evidence_error = evidence_error(cloud.family)
        cloud.moves_left, cloud.stages = plan.moves[1], cloud.stages + 1
        cloud.events += 1
        cloud.resampled = _probes(cloud.state.x, len(cloud.beta))

    def _move(self) -> Info:
        cloud, plan = self.cloud, self.plan
        tempered, noise = Tempered(self.target, cloud.beta), self.rows.at(cloud.events)
        state = tempered.temper(cloud.state)
        first = cloud.moves_left == plan.moves[1]
        kernel = self._kernel(tempered, state, first)
        out = kernel.move(state, tempered, noise, cloud.tuning, first)
        state, info, tuning = checked(kernel, out, state)
        cloud.tuning = tuning if isinstance(tuning, dict) else {}
        cloud.state = tempered.untemper(state)
        rate = info.acceptance_rate.to(torch.float64).nan_to_num(0.0)
        rate = rate.reshape(len(cloud.beta), -1).mean(1)
        most = math.log(plan.kernel.quarter_turn)
        cloud.log_step = (cloud.log_step + (rate - MOVE_ACCEPT)).clamp(max=most)
        cloud.events, cloud.moves_left = cloud.events + 1, cloud.moves_left - 1
        cloud.rate = float(rate.mean())
        self._forget()
        return info

    def _kernel(self, tempered: Tempered, state: State, first: bool) -> Kernel:
        """The kernel with the step, and with a rank the Gaussian, of this temperature."""
        changes: dict[str, Any] = {}
        cloud, plan = self.cloud, self.plan
        if plan.kernel.step_size is not None:
            changes["step_size"] = cloud.log_step.exp()
        if plan.rank is not None:
            if first:
                count = min(FIT_PARTICLES, plan.num_carried)
                some = with_gradient(plan.kernel, tempered, _spaced(state, plan.num_carried, count))
                cloud.reference = gauss_newton(tempered, some, plan.rank).pack()
            changes["preconditioner"] = unpack(cloud.reference or {})
        return replace(plan.kernel, **changes) if changes else plan.kernel  # type: ignore[type-var]

    def _forget(self) -> None:
        """End the temperature's moves once the particles have forgotten, and keep the memory."""
        cloud, (fewest, most) = self.cloud, self.plan.moves
        if cloud.resampled is None or most - cloud.moves_left < fewest:
            return
        kept = correlation(cloud.resampled, _probes(cloud.state.x, len(cloud.beta)))
        if cloud.moves_left == 0 or not bool((kept > FORGOTTEN).any()):
            cloud.moves_left = 0
            cloud.memory = kept if cloud.memory is None else torch.maximum(cloud.memory, kept)


def _probes(x: Tensor, num_images: int) -> Tensor:
    return projections(x.reshape(num_images, -1, *x.shape[1:]), NUM_PROJECTIONS)


def _spaced(parts: Any, num_carried: int, count: int) -> Any:
    """Every so many particles: those that come back, equally weighted; those that a Gaussian is
    fitted to."""
    keep = torch.arange(count) * num_carried // count

    def pick(part: Tensor) -> Tensor:
        return part.reshape(-1, num_carried, *part.shape[1:])[:, keep].flatten(0, 1)

    return type(parts)(*(pick(part) for part in parts))
