"""The plan of Markov chains: warm start, warm-up with adaptation, draws.

Transition t, counted over warm-up and draws, uses the keyed noise of step 1 + t, and the initial z
that of step 0. The state of a run is therefore its tensors and counters alone, and it stops and
goes on bitwise anywhere.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from .. import noise as keyed
from .._repr import facts_of
from ..errors import DivergedError, StoreError
from ..gaussians.refresh import Schedule, unpack
from ..kernels.contract import checked
from ..kernels.metropolis import finite_rows
from ..types import Estimate, Info, Kernel, RunStore, State, Tick
from .adapt import DualAveraging
from .cost import Meter, bytes_of
from .starts import Adam, AdamState

CHECKPOINT_SECONDS = 2.0  # time between checkpoints before the first draw
PATIENCE = 100  # transitions in a row in which every chain may diverge before the run gives up
MOST_NAMED = 8  # chains named in an error


T = TypeVar("T")


@dataclass(frozen=True)
class Chains:
    """What the chains do, every choice made: nothing is left on "auto"."""

    kernel: Kernel
    num_draws: int
    num_chains: int
    num_warmup: int
    thin: int
    warm_start: Adam | None
    adapt: DualAveraging | None
    seed: int
    refresh: Schedule | None = None

    @property
    def num_rows(self) -> int:
        """Chains an image."""
        return self.num_chains

    @property
    def num_starts(self) -> int:
        """Steps of the warm start."""
        return self.warm_start.num_steps if self.warm_start else 0

    @property
    def num_transitions(self) -> int:
        """Of a chain, warm-up included."""
        return self.num_warmup + self.num_draws * self.thin

    def estimate(self, target: Any) -> Estimate:
        """Calls, memory and disk; a refresh without a rank and slice sampling may cost less."""
        rows, dim = target.num_images * self.num_chains, math.prod(target.shape)
        fits = self.refresh.calls(self.num_warmup, dim) if self.refresh else 0
        each = 1 + self.num_starts + fits + self.kernel.evaluations * self.num_transitions
        return Estimate(rows * target.phi.nfe * each, *bytes_of(target, rows, self.num_draws))

    def run(self, target: Any, sink: RunStore) -> Iterator[Tick]:
        """Sample into the sink, from wherever it stands; DivergedError where chains start at
        values that are not finite, or have all diverged."""
        return _Session(self, target, sink).ticks()

    def facts(self) -> dict[str, Any]:
        """Every choice, ready for JSON."""
        return {**facts_of(self), "kernel": self.kernel.facts()}


def adapted_kernel(kept: dict[str, Any], plan: Chains, device: torch.device) -> Kernel:
    """The kernel as the warm-up has left it, from the state that a sink keeps: with its steps (N,)
    and its preconditioner."""
    return unpacked(_Position, kept, device).kernel(plan)


@dataclass
class _Position:
    """All that is needed to go on bitwise."""

    state: State
    m: Tensor | None = None
    v: Tensor | None = None
    adaptation: Tensor | None = None
    adapted: int = 0
    preconditioner: dict[str, Any] | None = None
    carry: Tensor | None = None
    adam_steps: int = 0
    transitions: int = 0
    dead_for: int = 0
    nfe: int = 0
    seconds: float = 0.0

    def kernel(self, plan: Chains) -> Kernel:
        """The plan's kernel with what the warm-up has changed so far."""
        changes: dict[str, Any] = {}
        if self.preconditioner is not None:
            changes["preconditioner"] = unpack(self.preconditioner)
        if plan.adapt is not None and self.adaptation is not None:
            done = self.transitions >= plan.num_warmup
            step = plan.adapt.final if done else plan.adapt.current
            changes["step_size"] = step(self.adaptation)
        return replace(plan.kernel, **changes) if changes else plan.kernel  # type: ignore[type-var]


def packed(position: Any) -> dict[str, Any]:
    """A dataclass with a `state` as a dict that a sink can keep."""
    return {**vars(position), "state": position.state._asdict()}


def unpacked(cls: type[T], kept: dict[str, Any], device: torch.device) -> T:
    """The inverse of `packed`, on a device."""
    parts = moved(kept, device)
    try:
        return cls(**{**parts, "state": State(**parts["state"])})
    except (TypeError, KeyError) as error:
        raise StoreError(f"the stored state of the sampler is not this plan's: {error}") from error


def moved(part: Any, device: torch.device) -> Any:
    """Nested dicts with their tensors on a device."""
    if isinstance(part, dict):
        return {key: moved(value, device) for key, value in part.items()}
    return part.to(device) if isinstance(part, Tensor) else part


class _Session:
    """One process's part of a run."""

    def __init__(self, plan: Chains, target: Any, sink: RunStore) -> None:
        self.plan, self.target, self.sink = plan, target, sink
        self.meter = Meter(target)
        self.rows = keyed.rows(plan.seed, target.num_images, plan.num_chains, target.y.device)
        _, kept = sink.cursor()
        device = target.y.device
        self.here = self._start() if kept is None else unpacked(_Position, kept, device)
        self.before = (self.here.nfe, self.here.seconds)
        self.saved = time.monotonic()
        self.fresh = True

    def ticks(self) -> Iterator[Tick]:
        """Go on until all draws are there."""
        here, plan = self.here, self.plan
        if plan.warm_start is not None:
            for _ in self._warm_start(plan.warm_start):
                self._checkpoint()
                yield self._tick("warm start", float("nan"))
        while here.transitions < plan.num_warmup:
            info = self._transition()
            self._checkpoint()
            yield self._tick("warm-up", float(info.acceptance_rate.mean()))
        block: list[Info] = []  # since the last draw, from which an interrupted run goes on
        while here.transitions < plan.num_transitions:
            block.append(self._transition())
            tick = self._tick("draws", float(block[-1].acceptance_rate.mean()))
            if len(block) == plan.thin:
                self.sink.append(here.state, _joined(block), packed(here), self._extras())
                block.clear()
            yield tick

    def _tick(self, phase: str, rate: float) -> Tick:
        self._account()
        done = self.here.adam_steps + self.here.transitions
        total = self.plan.num_starts + self.plan.num_transitions
        return Tick(phase, done, total, self.here.nfe, rate)

    def _account(self) -> None:
        self.here.nfe, self.here.seconds = self.meter.spent(*self.before)

    def _checkpoint(self) -> None:
        if time.monotonic() - self.saved > CHECKPOINT_SECONDS:
            self._account()
            self.sink.checkpoint(packed(self.here))
            self.saved = time.monotonic()

    def _start(self) -> _Position:
        target = self.target
        z = self.rows.at(0).normal(tuple(target.shape), keyed.INIT, target.y.dtype)
        state = target(z)
        if lost := (~finite_rows(state)).nonzero().flatten().tolist():
            chains = self.plan.num_chains
            where = [f"image {k // chains} chain {k % chains}" for k in lost[:MOST_NAMED]]
            named = ", ".join(where + ["..."] * (len(lost) > MOST_NAMED))
            raise DivergedError(
                f"the target or its gradient is not finite at the initial z of {len(lost)} of "
                f"{len(z)} chains ({named}): check the operator, sigma_y and y for values that are "
                "not finite or far out of range, or start from another seed"
            )
        return _Position(state)

    def _warm_start(self, adam: Adam) -> Iterator[None]:
        here = self.here
        if here.m is None or here.v is None:
            _, here.m, here.v = adam.start(here.state)
        while here.adam_steps < adam.num_steps:
            here.adam_steps += 1
            at = AdamState(here.state, here.m, here.v)
            here.state, here.m, here.v = adam.step(at, self.target, here.adam_steps)
            yield
        here.m = here.v = None  # every draw is stored with the state: keep it small

    def _transition(self) -> Info:
        here, plan, num_images = self.here, self.plan, self.target.num_images
        warming = here.transitions < plan.num_warmup
        self._refresh()
        if plan.adapt is not None and here.adaptation is None and warming:
            here.adaptation = plan.adapt.start(plan.kernel.step_size, num_images)
        kernel, noise = here.kernel(plan), self.rows.at(1 + here.transitions)
        out = kernel.step(here.state, self.target, noise, here.carry)
        here.state, info, here.carry = checked(kernel, out, here.state) if self.fresh else out
        self.fresh = False
        here.transitions += 1
        if plan.adapt is not None and here.adaptation is not None and warming:
            here.adapted += 1
            here.adaptation = plan.adapt.update(here.adaptation, info.acceptance_rate, here.adapted)
        here.dead_for = here.dead_for + 1 if bool(info.diverging.all()) else 0
        if here.dead_for >= PATIENCE:
            raise DivergedError(
                f"every chain has diverged in each of the last {PATIENCE} transitions, up to "
                f"number {here.transitions} (all {len(info.diverging)} rows); the draws before "
                "that are kept (in the run's folder, or in memory as this error's `run`): use a "
                "smaller step size or adjust=True"
            )
        return info

    def _refresh(self) -> None:
        """Fit the preconditioner anew if it is time; the step then adapts to it."""
        here, plan = self.here, self.plan
        if plan.refresh is None or not plan.refresh.due(here.transitions, plan.num_warmup):
            return
        step = here.kernel(plan).step_size
        fitted = plan.refresh.fit(plan.kernel, self.target, here.state, plan.seed)
        here.preconditioner = fitted.pack()
        if plan.adapt is not None and step is not None:
            here.adaptation, here.adapted = plan.adapt.start(step, self.target.num_images), 0

    def _extras(self) -> dict[str, Tensor]:
        step_size = self.here.kernel(self.plan).step_size
        step = torch.as_tensor(torch.nan if step_size is None else step_size, dtype=torch.float64)
        step, count = step.reshape(-1), len(self.here.state.z)
        return {
            "chi2": self.target.chi2(self.here.state.x),
            "step_size": step.repeat_interleave(count // len(step)),
        }


def _joined(block: list[Info]) -> Info:
    """What happened between two draws: the mean acceptance, and whether any transition was accepted
    or diverged."""
    rates, accepted, diverging = (torch.stack(values) for values in zip(*block, strict=True))
    return Info(rates.mean(0), accepted.any(0), diverging.any(0))
