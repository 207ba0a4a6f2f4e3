r"""Tempered sequential Monte Carlo: particles carried from the prior to the posterior, with the
evidence on the way.

Between $\pi_0 = N(0, I)$ and the posterior lie $\pi_\beta(z) \propto e^{-\beta L(z)} N(z; 0, I)$.
From beta to the largest beta' at which the effective sample size of the weights
$w_i = e^{-(\beta' - \beta) L_i}$ is still a given share of the particles, they are resampled
(systematically) and moved by a few steps of a kernel that keeps $\pi_{\beta'}$; each step adapts
its size to the particles' acceptance. How few can be left to the particles: they move until the
correlation between where they are and where resampling put them, mean over projections of x, is at
most `FORGOTTEN`. The evidence is
$$\ln p(y) = \ln \int e^{-L} dN \approx \sum_k \ln \tfrac1P \sum_i w_i^{(k)} .$$
Its error is read off the family tree: with $n_j$ of the P particles at the end descended from
particle j of the start, the relative variance of the evidence is about
$\sum_j (n_j / P)^2 - 1 / P$, whether the moves mix or not. (Lee and Whiteley's estimator without
its factor for multinomial resampling, which systematic resampling does not need: with equal weights
it copies nothing, and there is no error.)

References: Del Moral, Doucet and Jasra, Sequential Monte Carlo samplers, 2006, section 3.3; Jasra,
Stephens, Doucet and Tsagaris, Inference for Levy-driven stochastic volatility models via adaptive
sequential Monte Carlo, 2011 (the ladder); Kitagawa, Monte Carlo filter and smoother for
non-Gaussian nonlinear state space models, 1996 (systematic resampling); Buchholz, Chopin and Jacob,
Adaptive Tuning of Hamiltonian Monte Carlo Within Sequential Monte Carlo, 2021, section 3.3 (moves
until the particles' correlation with their start is small); Lee and Whiteley, Variance estimation
in the particle filter, 2018, equation 2.6.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .. import noise as keyed
from ..errors import DivergedError
from ..evaluate.diagnostics.chains import projections
from ..gaussians.low_rank import LowRank, fitted
from ..kernels.split_hmc import SplitHMC, informed_basis
from ..types import Info, Product, State

TARGET_ACCEPT = 0.8
"""Acceptance that the moves' step size is driven to."""
LARGEST_TURN = math.log(0.5 * math.pi)
"""Log of the angle that draws a direction afresh."""
BISECTIONS = 60
"""Halvings of the search for the next beta."""
FORGOTTEN = 0.2
"""Correlation with their start below which the particles need no more moves."""
NUM_PROJECTIONS = 16
"""Projections of x that it is averaged over."""
FIT_PARTICLES = 4
"""Particles of an image that the Gauss-Newton matrix is averaged over."""


@dataclass(frozen=True)
class Ladder:
    """What tempered SMC does, every choice made.

    Arguments:
        num_particles: draws that come back, per image.
        num_carried: particles P, at least as many.
        ess_fraction: effective sample size kept from one temperature to the next, over P.
        kernel: moves the particles; its step size, if it has one, is where the adaptation starts.
        num_moves: transitions at each temperature; a pair: at least so many, at most so many, as
            the particles need.
        seed: of all noise.
        rank: of the Gauss-Newton Gaussian that the kernel is built on anew at each temperature;
            None: it stays as it is.
    """

    num_particles: int
    num_carried: int
    ess_fraction: float
    kernel: Any
    num_moves: int | tuple[int, int]
    seed: int
    rank: int | None = None

    @property
    def fewest_moves(self) -> int:
        """Transitions at a temperature at least."""
        return self.num_moves if isinstance(self.num_moves, int) else self.num_moves[0]

    @property
    def most_moves(self) -> int:
        """Transitions at a temperature at most."""
        return self.num_moves if isinstance(self.num_moves, int) else self.num_moves[1]


@dataclass(frozen=True, eq=False)
class Tempered:
    """The target with its likelihood to the power beta.

    Arguments:
        target: the posterior.
        beta: (N,) one power per image.
    """

    target: Any
    beta: Tensor

    @property
    def num_images(self) -> int:
        """N."""
        return self.target.num_images

    @property
    def differentiable(self) -> bool:
        """As the target."""
        return self.target.differentiable

    def __call__(self, z: Tensor) -> State:
        """The target's evaluation, nll and grad times beta.

        Arguments:
            z: (B, *shape).

        Returns:
            The state.
        """
        return self.temper(self.target(z))

    @property
    def value(self) -> Callable[[Tensor, Tensor, int], State] | None:
        """`NoisePosterior.value` with nll times beta; None where the target has none."""
        whole = getattr(self.target, "value", None)
        if whole is None:
            return None

        def tempered(z: Tensor, rows: Tensor, num_rows: int) -> State:
            state: State = whole(z, rows, num_rows)
            return state._replace(nll=self.beta[rows // (num_rows // len(self.beta))] * state.nll)

        return tempered

    def temper(self, state: State) -> State:
        """Scale an evaluation of the target.

        Arguments:
            state: with the whole nll.

        Returns:
            The same with nll and grad times beta.
        """
        beta = self.beta.repeat_interleave(len(state.nll) // len(self.beta))
        return state._replace(
            nll=beta * state.nll,
            grad=beta.to(state.grad.dtype).view(-1, *[1] * (state.grad.ndim - 1)) * state.grad,
        )

    def untemper(self, state: State) -> State:
        """The inverse of `temper`.

        Arguments:
            state: with nll and grad times beta.

        Returns:
            The target's own evaluation.
        """
        return Tempered(self.target, 1.0 / self.beta).temper(state)

    def linearize(self, z: Tensor) -> tuple[Tensor, Product, Product]:
        """As the target's."""
        return self.target.linearize(z)

    def curvature(self, mean: Tensor) -> Tensor:
        """The target's times beta."""
        weight = self.target.curvature(mean)
        return weight * self.beta.to(weight).repeat_interleave(len(weight) // len(self.beta)).view(
            -1, *[1] * (weight.ndim - 1)
        )


@dataclass
class _Cloud:
    """The particles and all that is needed to go on bitwise."""

    state: State
    beta: Tensor
    log_evidence: Tensor
    log_step: Tensor
    log_turn: Tensor
    family: Tensor
    log_evidence_error: Tensor | None = None
    basis: Tensor | None = None
    resampled: Tensor | None = None
    memory: Tensor | None = None
    reference: dict[str, Tensor] | None = None
    moves_left: int = 0
    events: int = 1
    stages: int = 0
    rate: float = math.nan
    nfe: int = 0
    seconds: float = 0.0

    def pack(self) -> dict[str, Any]:
        return {**vars(self), "state": dict(self.state._asdict())}

    @classmethod
    def unpack(cls, packed: dict[str, Any], device: torch.device) -> "_Cloud":
        def moved(part: Any) -> Any:
            return (
                {k: moved(v) for k, v in part.items()}
                if isinstance(part, dict)
                else part.to(device)
                if isinstance(part, Tensor)
                else part
            )

        return cls(**{**moved(packed), "state": State(**moved(packed["state"]))})


def run_smc(target: Any, plan: Ladder, sink: Any) -> Iterator[tuple[float, int, float]]:
    """Carry the particles into the sink, from wherever it stands; the draws are committed once, at
    the end.

    Arguments:
        target: the posterior.
        plan: what to do.
        sink: store of draws and state, with (image, particle) rows.

    Yields:
        Smallest beta, network calls and acceptance after each move.

    Raises:
        DivergedError: no particle of an image has a finite likelihood.
    """
    started, counted, device = time.monotonic(), target.nfe, target.y.device
    rows = keyed.rows(plan.seed, target.num_images, plan.num_carried, device)
    committed, packed = sink.cursor()
    if committed:
        return
    cloud = _start(target, plan, rows) if packed is None else _Cloud.unpack(packed, device)
    before = (cloud.seconds, cloud.nfe)
    info: Any = None
    while cloud.moves_left or bool((cloud.beta < 1).any()):
        if cloud.moves_left == 0:
            _temper(cloud, plan)
        info = _move(cloud, target, plan, rows)
        cloud.seconds, cloud.nfe = (
            before[0] + time.monotonic() - started,
            before[1] + target.nfe - counted,
        )
        if cloud.moves_left or bool((cloud.beta < 1).any()):
            sink.checkpoint(cloud.pack())
        yield float(cloud.beta.min()), cloud.nfe, float(info.acceptance_rate.mean())
    state, info = (
        _spaced(part, plan.num_carried, plan.num_particles) for part in (cloud.state, info)
    )
    step = cloud.log_step.exp().repeat_interleave(plan.num_particles)
    sink.append(state, info, cloud.pack(), {"chi2": target.chi2(state.x), "step_size": step})


def _start(target: Any, plan: Ladder, rows: keyed.Noise) -> _Cloud:
    state = target(rows.at(0).normal(tuple(target.shape), keyed.INIT, target.y.dtype))
    none = torch.zeros(target.num_images, dtype=torch.float64, device=state.nll.device)
    if not bool(torch.isfinite(state.nll).reshape(target.num_images, -1).any(1).all()):
        raise DivergedError(
            "no particle of an image has a finite likelihood at z ~ N(0, I): check the "
            "operator, the noise level and y"
        )
    step = (
        torch.as_tensor(
            getattr(plan.kernel, "step_size", 1.0), dtype=torch.float64, device=none.device
        )
        .log()
        .expand(target.num_images)
    )
    family = torch.arange(plan.num_carried, device=none.device).repeat(target.num_images, 1)
    return _Cloud(
        state, none, none.clone(), step.clone(), torch.full_like(none, LARGEST_TURN), family
    )


def _temper(cloud: _Cloud, plan: Ladder) -> None:
    """The next temperature: reweight, add to the evidence, resample."""
    nll = cloud.state.nll.reshape(len(cloud.beta), -1).nan_to_num(nan=1e300, posinf=1e300)
    step = next_step(nll, 1.0 - cloud.beta, plan.ess_fraction)
    log_weights = -step[:, None] * nll
    cloud.log_evidence = (
        cloud.log_evidence + torch.logsumexp(log_weights, 1) - math.log(nll.shape[1])
    )
    cloud.beta = torch.where(step >= 1.0 - cloud.beta, 1.0, cloud.beta + step)
    offset = (
        keyed.rows(plan.seed, len(cloud.beta), device=nll.device)
        .at(cloud.events)
        .uniform((), keyed.FROZEN)
    )
    index = systematic(log_weights, offset)
    index = torch.where((step > 0)[:, None], index, torch.arange(nll.shape[1], device=nll.device))
    flat = (index + nll.shape[1] * torch.arange(len(index), device=nll.device)[:, None]).flatten()
    cloud.state, cloud.family = (
        State(*(part[flat] for part in cloud.state)),
        cloud.family.gather(1, index),
    )
    cloud.log_evidence_error = evidence_error(cloud.family)
    cloud.moves_left, cloud.stages, cloud.events = (
        plan.most_moves,
        cloud.stages + 1,
        cloud.events + 1,
    )
    cloud.resampled = _probes(cloud.state.x, len(cloud.beta))


def next_step(nll: Tensor, left: Tensor, ess_fraction: float) -> Tensor:
    """The largest increase of beta that keeps the effective sample size.

    Arguments:
        nll: (N, P) float64.
        left: (N,) 1 - beta.
        ess_fraction: share of P.

    Returns:
        (N,) increase, at most `left`.
    """

    def ess(step: Tensor) -> Tensor:
        log_weights = -step[:, None] * nll
        return (
            torch.exp(2 * torch.logsumexp(log_weights, 1) - torch.logsumexp(2 * log_weights, 1))
            / nll.shape[1]
        )

    low, high = torch.zeros_like(left), left.clone()
    enough = ess(high) >= ess_fraction
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        good = ess(middle) >= ess_fraction
        low, high = torch.where(good, middle, low), torch.where(good, high, middle)
    return torch.where(enough, left, torch.where(low > 0, low, high))


def systematic(log_weights: Tensor, offset: Tensor) -> Tensor:
    """Systematic resampling: particle i comes back floor(P w_i) or one time more.

    Arguments:
        log_weights: (N, P), not normalised.
        offset: (N,) uniform in (0, 1).

    Returns:
        (N, P) indices, ascending.
    """
    count = log_weights.shape[1]
    edges = torch.softmax(log_weights, 1).cumsum(1)
    points = (
        torch.arange(count, device=edges.device, dtype=edges.dtype) + offset.to(edges)[:, None]
    ) / count
    return torch.searchsorted(edges / edges[:, -1:], points).clamp(max=count - 1)


def evidence_error(family: Tensor) -> Tensor:
    """Standard error of the log evidence from who descends from whom.

    Arguments:
        family: (N, P) each particle's ancestor among the P of the start.

    Returns:
        (N,) float64; from about 0.5 on it says only that the error is large. It is at most 1: then
        all have one ancestor.
    """
    count = family.shape[1]
    descendants = torch.zeros_like(family).scatter_add(1, family, torch.ones_like(family))
    return ((descendants.square().sum(1) - count).double() / count**2).sqrt()


def _move(cloud: _Cloud, target: Any, plan: Ladder, rows: keyed.Noise) -> Info:
    tempered, noise = Tempered(target, cloud.beta), rows.at(cloud.events)
    state = tempered.temper(cloud.state)
    kernel = (
        replace(plan.kernel, step_size=cloud.log_step.exp())
        if hasattr(plan.kernel, "step_size")
        else plan.kernel
    )
    first = cloud.moves_left == plan.most_moves
    if plan.rank is not None:
        if first:
            some = _spaced(state, plan.num_carried, min(FIT_PARTICLES, plan.num_carried))
            cloud.reference = dict(vars(fitted(plan.kernel, tempered, some, plan.rank)))
        kernel = replace(kernel, preconditioner=LowRank(**(cloud.reference or {})))
    if isinstance(kernel, SplitHMC):
        if first:
            cloud.basis = informed_basis(state.grad, len(cloud.beta))
        kernel = replace(kernel, turn=cloud.log_turn.exp(), basis=cloud.basis)
        state, info = kernel.turn_rest(state, tempered, noise)
        cloud.log_turn = (cloud.log_turn + _mean_rate(info, cloud) - TARGET_ACCEPT).clamp(
            max=LARGEST_TURN
        )
        if kernel.rank:
            state, info = kernel.walk(state, tempered, noise)
    else:
        state, info = kernel.step(state, tempered, noise)
    cloud.state = tempered.untemper(state)
    accepted = _mean_rate(info, cloud)
    cloud.log_step = cloud.log_step + (accepted - TARGET_ACCEPT)
    if hasattr(
        plan.kernel, "num_leapfrog"
    ):  # a quarter turn in all is a fresh draw of the reference: no step needs more
        cloud.log_step = cloud.log_step.clamp(
            max=math.log(0.5 * math.pi / plan.kernel.num_leapfrog)
        )
    cloud.events, cloud.moves_left, cloud.rate = (
        cloud.events + 1,
        cloud.moves_left - 1,
        float(accepted.mean()),
    )
    if cloud.resampled is not None and plan.most_moves - cloud.moves_left >= plan.fewest_moves:
        kept = correlation(cloud.resampled, _probes(cloud.state.x, len(cloud.beta)))
        if cloud.moves_left == 0 or not bool((kept > FORGOTTEN).any()):
            cloud.moves_left, cloud.memory = (
                0,
                kept if cloud.memory is None else torch.maximum(cloud.memory, kept),
            )
    return info


def _probes(x: Tensor, num_images: int) -> Tensor:
    return projections(x.reshape(num_images, -1, *x.shape[1:]), NUM_PROJECTIONS)


def correlation(before: Tensor, after: Tensor) -> Tensor:
    """How much the particles remember.

    Arguments:
        before: (N, P, K) K numbers of every particle.
        after: the same later.

    Returns:
        (N,) correlation over the particles, mean over the K; 0 for a number that does not vary, NaN
        if one is not finite.
    """
    first, second = (part - part.mean(1, keepdim=True) for part in (before, after))
    scale = (first.square().sum(1) * second.square().sum(1)).sqrt()
    return torch.where(
        scale > 0, (first * second).sum(1) / scale, torch.where(scale == 0, 0.0, torch.nan)
    ).mean(1)


def _mean_rate(info: Info, cloud: _Cloud) -> Tensor:
    return info.acceptance_rate.to(torch.float64).reshape(len(cloud.beta), -1).mean(1)


def _spaced(parts: Any, num_carried: int, count: int) -> Any:
    """Every so many particles: those that come back, equally weighted; those that a Gaussian is
    fitted to."""
    keep = torch.arange(count) * num_carried // count

    def pick(part: Tensor) -> Tensor:
        return part.reshape(-1, num_carried, *part.shape[1:])[:, keep].flatten(0, 1)

    return type(parts)(*(pick(part) for part in parts))
