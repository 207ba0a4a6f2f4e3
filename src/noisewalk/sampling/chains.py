"""The plan of Markov chains: warm start, warm-up with adaptation, draws.

Transition t, counted over warm-up and draws, uses the keyed noise of step 1 + t, and the initial z
that of step 0. The state of a run is therefore its tensors and counters alone, and it stops and
goes on bitwise anywhere.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from .. import noise as keyed
from .._repr import facts_of
from ..errors import DivergedError, StoreError
from ..gaussians.refresh import Schedule, unpack, with_gradient
from ..kernels.contract import checked
from ..types import Estimate, Info, Kernel, RunStore, State, Tick
from .adapt import DualAveraging
from .cost import Meter, bytes_of
from .starts import Start, Work, initial

CHECKPOINT_SECONDS = 2.0  # time between checkpoints at least,
SHARE = 20  # and in units of what the last one took
PATIENCE = 100  # transitions in a row in which every chain may diverge before a run gives up
T = TypeVar("T")


@dataclass(frozen=True)
class Chains:
    """What the chains do, every choice made: nothing is left on "auto"."""

    kernel: Kernel
    num_draws: int
    num_chains: int
    num_warmup: int
    thin: int
    warm_start: Start | None
    adapt: DualAveraging | None
    seed: int
    refresh: Schedule | None = None
    num_settling: int = 0
    """Transitions after the warm-up and before those of the first draw."""
    seeds: tuple[int, ...] | None = field(default=None, metadata={"quiet": True})
    """In place of `seed`, one an image: each then moves as it would alone."""
    part: tuple[int, int] | None = field(default=None, metadata={"quiet": True})
    """The first image and chain of a part of a larger plan, whose noise it has."""

    @property
    def in_words(self) -> str:
        """What the chains do, in one sentence for people; spec.json has every setting."""
        start, first = self.warm_start, self.num_settling + self.thin
        told = f"{start.words} of {self.num_starts} steps" if start else "the prior"
        many = f"first of {self.num_draws} draws, {self.thin} between draws"
        adapting = f"{self.num_warmup} to adapt the step, " if self.adapt else ""
        steps = f"{adapting}{first} to the {many if self.num_draws > 1 else 'draw'}"
        moves = type(self.kernel).__name__ if self.adapt else str(self.kernel)
        counts = f"{self.num_chains} chain{'s' * (self.num_chains > 1)} from {told}; transitions"
        return f"{counts}: {steps}; {moves}, seed {self.seed}"

    @property
    def key(self) -> keyed.Seeds:
        """The seed of all images, or one each."""
        seed = self.seeds or self.seed
        return seed if self.part is None else keyed.Part(seed, *self.part)

    @property
    def num_rows(self) -> int:
        """Chains an image."""
        return self.num_chains

    @property
    def num_starts(self) -> int:
        """Steps of the warm start."""
        return int(self.warm_start.num_steps) if self.warm_start else 0

    @property
    def num_transitions(self) -> int:
        """Of a chain, warm-up included."""
        return self.num_warmup + self.num_settling + self.num_draws * self.thin

    def estimate(self, target: Any) -> Estimate:
        """Calls, memory and disk; slice sampling, a refresh without a rank and randomised starts
        may cost less."""
        images, chains, dim = target.num_images, self.num_chains, math.prod(target.shape)
        calls = images * chains * (1 + self.kernel.evaluations * self.num_transitions)
        if self.warm_start:
            calls += self.warm_start.calls(target, chains)
        if self.refresh:
            fits = self.refresh.calls(self.num_warmup, dim)
            calls += images * self.refresh.rows_of(chains) * fits
        memory, disk = bytes_of(target, images * chains, self.num_draws)
        if start := self.warm_start:
            memory += images * chains * target.y.element_size() * start.numbers(target)
        return Estimate(calls * target.phi.nfe, memory, disk)

    def run(self, target: Any, sink: RunStore) -> Iterator[Tick]:
        """Sample into the sink, from wherever it stands; DivergedError where no chain can move."""
        return _Session(self, target, sink).ticks()

    def head(self, target: Any, sink: RunStore) -> Iterator[Tick]:
        """Start and warm up, and keep the state from which every chain goes on alone."""
        session = _Session(replace(self, num_draws=0, num_settling=0), target, sink)
        yield from session.ticks()
        session.keep()

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
    start: Work | None = None
    adaptation: Tensor | None = None
    adapted: int = 0
    preconditioner: dict[str, Any] | None = None
    carry: Tensor | None = None
    start_steps: int = 0
    tried_again: Tensor | None = None
    transitions: int = 0
    block: dict[str, Any] | None = None
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
    """Nested dicts, lists and tuples with their tensors on a device."""
    if isinstance(part, dict):
        return {key: moved(value, device) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return type(part)(moved(value, device) for value in part)
    return part.to(device) if isinstance(part, Tensor) else part


class _Session:
    """One process's part of a run."""

    def __init__(self, plan: Chains, target: Any, sink: RunStore) -> None:
        self.plan, self.target, self.sink = plan, target, sink
        self.meter = Meter(target)
        self.rows = keyed.rows(plan.key, target.num_images, plan.num_chains, target.y.device)
        _, kept = sink.cursor()
        device = target.y.device
        self.here = self._start() if kept is None else unpacked(_Position, kept, device)
        self.before = (self.here.nfe, self.here.seconds)
        self.saved, self.took = time.monotonic(), 0.0
        self.fresh = True

    def ticks(self) -> Iterator[Tick]:
        """Go on until all draws are there."""
        here, plan = self.here, self.plan
        if plan.warm_start is not None:
            for _ in self._warm_start(plan.warm_start):
                self._checkpoint()
                yield self._tick("starts", float("nan"))
        while here.transitions < plan.num_warmup:
            info = self._transition()
            self._checkpoint()
            yield self._tick("warm-up", float(info.acceptance_rate.mean()))
        if here.transitions == plan.num_warmup:
            self.sink.keep(self._early())
        while here.transitions < plan.num_transitions:
            info = self._transition()
            here.block = _with(here.block, info)
            tick = self._tick("draws", float(info.acceptance_rate.mean()))
            counted = here.transitions - plan.num_warmup - plan.num_settling
            if counted > 0 and counted % plan.thin == 0:
                joined, here.block = _joined(here.block), None
                self.sink.append(here.state, joined, packed(here), self._extras())
                self.saved = time.monotonic()
            self._checkpoint()
            yield tick

    def keep(self) -> None:
        """Commit the state."""
        self._account()
        self.sink.checkpoint(packed(self.here))

    def _early(self) -> dict[str, Tensor]:
        """When the adaptation stops, (image, chain, ...): the states, and which tried again."""
        state, shape = self.here.state, (self.target.num_images, self.plan.num_chains)
        lp = -state.nll - 0.5 * state.z.to(torch.float64).square().flatten(1).sum(1)
        found = {"early_x": state.x, "early_lp": lp, "tried_again": self.here.tried_again}
        return {name: rows.unflatten(0, shape) for name, rows in found.items() if rows is not None}

    def _tick(self, phase: str, rate: float) -> Tick:
        self._account()
        done = min(self.here.start_steps, self.plan.num_starts) + self.here.transitions
        total = self.plan.num_starts + self.plan.num_transitions
        return Tick(phase, done, total, self.here.nfe, rate)

    def _account(self) -> None:
        self.here.nfe, self.here.seconds = self.meter.spent(*self.before)

    def _checkpoint(self) -> None:
        began = time.monotonic()
        if began - self.saved > max(CHECKPOINT_SECONDS, SHARE * self.took):
            self.keep()
            self.saved = time.monotonic()
            self.took = self.saved - began

    def _start(self) -> _Position:
        plan = self.plan
        state = initial(self.target, self.rows, plan.num_chains, plan.kernel.needs_gradient)
        return _Position(state)

    def _warm_start(self, start: Start) -> Iterator[None]:
        here, total = self.here, self.plan.num_starts
        if here.start is None and not here.start_steps:
            here.start = start.begin(self.target, here.state, self.rows.at(0))
        while here.start is not None:
            here.start_steps, here.tried_again = here.start_steps + 1, here.start.get("again")
            here.state, here.start = start.advance(
                self.target, here.state, here.start, self.rows.at(0), here.start_steps
            )
            if here.start is None:
                here.start_steps = total
            yield

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
                "smaller step size (--step-size), an adjusted kernel, or another seed (--seed)"
            )
        return info

    def _refresh(self) -> None:
        """Fit the preconditioner anew if it is time; the step then adapts to it."""
        here, plan = self.here, self.plan
        if plan.refresh is None or not plan.refresh.due(here.transitions, plan.num_warmup):
            return
        step = here.kernel(plan).step_size
        state = with_gradient(plan.kernel, self.target, here.state)
        fitted = plan.refresh.fit(self.target, state, plan.key)
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


def _with(block: dict[str, Any] | None, info: Info) -> dict[str, Any]:
    """What happened since the last draw, with one more transition."""
    if block is None:
        return {**info._asdict(), "count": 1}
    rate = block["acceptance_rate"] + info.acceptance_rate
    accepted, diverging = block["accepted"] | info.accepted, block["diverging"] | info.diverging
    found = {"acceptance_rate": rate, "accepted": accepted, "diverging": diverging}
    return {**found, "count": block["count"] + 1}


def _joined(block: dict[str, Any]) -> Info:
    """What happened between two draws: the mean acceptance, and whether any transition was accepted
    or diverged."""
    rate = block["acceptance_rate"] / block["count"]
    return Info(rate, block["accepted"], block["diverging"])
