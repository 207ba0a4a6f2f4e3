"""The sampling loop: warm start, warm-up with adaptation, draws; a generator that can stop and go
on bitwise anywhere.

Transition t (counted over warm-up and draws) uses the keyed noise of step 1 + t, the initial z that
of step 0, so the loop's state is its tensors and counters alone.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import noise as keyed
from ..errors import DivergedError
from ..gaussians.low_rank import LowRank, Schedule
from ..gaussians.spectral import Spectral
from ..kernels.langevin import finite_rows
from ..types import Info, State, Tick
from .adapt import DualAveraging
from .starts import Adam, AdamState

CHECKPOINT_SECONDS = 2.0
"""Time between checkpoints before the first draw."""
PATIENCE = 100
"""Transitions in a row in which every chain may diverge before the loop gives up."""
MOST_NAMED = 8
"""Chains named in an error."""


@dataclass(frozen=True)
class Plan:
    """What the loop does: every choice made, nothing left on "auto"."""

    kernel: Any
    num_draws: int
    num_chains: int
    num_warmup: int
    thin: int
    warm_start: Adam | None
    adapt: DualAveraging | None
    seed: int
    refresh: Schedule | None = None


class Sink(Protocol):
    """Where the loop puts draws and its own state: a store on disk or in memory."""

    def append(
        self, state: State, info: Info, sampler: dict[str, Any], extras: dict[str, Tensor]
    ) -> None:
        """Commit one draw with the loop's state."""
        ...

    def checkpoint(self, sampler: dict[str, Any]) -> None:
        """Commit the loop's state alone."""
        ...

    def cursor(self) -> tuple[int, dict[str, Any] | None]:
        """Draws committed and the loop's last state."""
        ...


@dataclass
class _Position:
    """The loop's own state."""

    state: State
    m: Tensor | None = None
    v: Tensor | None = None
    adaptation: Tensor | None = None
    adapted: int = 0
    preconditioner: dict[str, Tensor] | None = None
    velocity: Tensor | None = None
    adam_steps: int = 0
    transitions: int = 0
    dead_for: int = 0
    nfe: int = 0
    seconds: float = 0.0

    def pack(self) -> dict[str, Any]:
        fields = {k: v for k, v in vars(self).items() if k != "state"}
        return {**fields, "state": dict(self.state._asdict())}

    @classmethod
    def unpack(cls, packed: dict[str, Any], device: torch.device) -> "_Position":
        tensors = {k: v.to(device) for k, v in packed["state"].items()}
        moved: dict[str, Any] = {
            k: v.to(device) if isinstance(v, Tensor) else v for k, v in packed.items()
        }
        if packed["preconditioner"] is not None:
            moved["preconditioner"] = {k: v.to(device) for k, v in packed["preconditioner"].items()}
        return cls(**{**moved, "state": State(**tensors)})


def run_loop(target: Any, plan: Plan, sink: Sink) -> Iterator[Tick]:
    """Sample into the sink, from wherever it stands.

    Arguments:
        target: the posterior.
        plan: what to do.
        sink: store of draws and state.

    Yields:
        Progress.

    Raises:
        DivergedError: a chain starts where the target is not finite, or every chain has diverged.
    """
    started, counted = time.monotonic(), target.nfe
    rows = keyed.rows(plan.seed, target.num_images, plan.num_chains, target.y.device)
    _, packed = sink.cursor()
    here = _start(target, rows) if packed is None else _Position.unpack(packed, target.y.device)
    before = (here.seconds, here.nfe if packed is not None else 0)
    saved = time.monotonic()
    total = (
        (plan.warm_start.num_steps if plan.warm_start else 0)
        + plan.num_warmup
        + plan.num_draws * plan.thin
    )

    def account() -> None:
        here.seconds = before[0] + time.monotonic() - started
        here.nfe = before[1] + target.nfe - counted

    def tick(phase: str, rate: float) -> Tick:
        account()
        return Tick(phase, here.adam_steps + here.transitions, total, here.nfe, rate)

    def checkpoint() -> None:
        nonlocal saved
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            account()
            sink.checkpoint(here.pack())
            saved = time.monotonic()

    if plan.warm_start is not None:
        for _ in _warm_start(here, target, plan.warm_start):
            checkpoint()
            yield tick("warm start", float("nan"))
    while here.transitions < plan.num_warmup:
        info = _transition(here, target, plan, rows)
        checkpoint()
        yield tick("warm-up", float(info.acceptance_rate.mean()))
    block: list[
        Info
    ] = []  # the transitions since the last draw: a run that goes on does so from a draw
    while here.transitions < plan.num_warmup + plan.num_draws * plan.thin:
        block.append(_transition(here, target, plan, rows))
        account()
        rate = float(block[-1].acceptance_rate.mean())
        if len(block) == plan.thin:
            sink.append(here.state, _joined(block), here.pack(), _extras(here, target, plan))
            block.clear()
        yield tick("draws", rate)


def _start(target: Any, rows: keyed.Noise) -> _Position:
    z = rows.at(0).normal(tuple(target.shape), keyed.INIT, target.y.dtype)
    state = target(z)
    if lost := (~finite_rows(state)).nonzero().flatten().tolist():
        chains = len(z) // target.num_images
        where = ", ".join(f"image {k // chains} chain {k % chains}" for k in lost[:MOST_NAMED]) + (
            ", ..." if len(lost) > MOST_NAMED else ""
        )
        raise DivergedError(
            f"the target or its gradient is not finite at the initial z of {len(lost)} of "
            f"{len(z)} chains ({where}): check the operator, sigma_y and y "
            "for values that are not finite or far out of range, or start from another seed"
        )
    return _Position(state)


def _joined(block: list[Info]) -> Info:
    """What happened between two draws: the mean acceptance, and whether any transition was accepted
    or diverged."""
    rates, accepted, diverging = (torch.stack(values) for values in zip(*block, strict=True))
    return Info(rates.mean(0), accepted.any(0), diverging.any(0))


def _warm_start(here: _Position, target: Any, adam: Adam) -> Iterator[None]:
    if here.m is None or here.v is None:
        _, here.m, here.v = adam.start(here.state)
    while here.adam_steps < adam.num_steps:
        here.adam_steps += 1
        here.state, here.m, here.v = adam.step(
            AdamState(here.state, here.m, here.v), target, here.adam_steps
        )
        yield
    here.m = here.v = None  # no longer needed: every draw is stored with the loop's state


def _kernel(here: _Position, plan: Plan) -> Any:
    changes: dict[str, Any] = {}
    if here.preconditioner is not None:
        changes["preconditioner"] = (LowRank if "basis" in here.preconditioner else Spectral)(
            **here.preconditioner
        )
    if plan.adapt is not None and here.adaptation is not None:
        step = plan.adapt.final if here.transitions >= plan.num_warmup else plan.adapt.current
        changes["step_size"] = step(here.adaptation)
    return replace(plan.kernel, **changes) if changes else plan.kernel


def adapted_kernel(packed: dict[str, Any], plan: Plan, device: torch.device) -> Any:
    """The kernel as the warm-up has left it.

    Arguments:
        packed: the loop's state after its warm-up, as a sink keeps it.
        plan: what the loop did.
        device: of the tensors.

    Returns:
        The plan's kernel with its step sizes (N,) and its preconditioner.
    """
    return _kernel(_Position.unpack(packed, device), plan)


def _refresh(here: _Position, target: Any, plan: Plan) -> None:
    """Compute the preconditioner at the present states and let the step size adapt to it from where
    it is."""
    if plan.refresh is None or not plan.refresh.due(here.transitions, plan.num_warmup):
        return
    step = getattr(_kernel(here, plan), "step_size", None)
    here.preconditioner = dict(vars(plan.refresh.fit(plan.kernel, target, here.state, plan.seed)))
    if plan.adapt is not None and step is not None:
        here.adaptation, here.adapted = plan.adapt.start(step, target.num_images), 0


def _transition(here: _Position, target: Any, plan: Plan, rows: keyed.Noise) -> Info:
    warming = here.transitions < plan.num_warmup
    _refresh(here, target, plan)
    if plan.adapt is not None and here.adaptation is None and warming:
        here.adaptation = plan.adapt.start(plan.kernel.step_size, target.num_images)
    kernel, noise = _kernel(here, plan), rows.at(1 + here.transitions)
    if hasattr(kernel, "carry"):
        here.state, info, here.velocity = kernel.carry(here.state, target, noise, here.velocity)
    else:
        here.state, info = kernel.step(here.state, target, noise)
    here.transitions += 1
    if plan.adapt is not None and here.adaptation is not None and warming:
        here.adapted += 1
        here.adaptation = plan.adapt.update(here.adaptation, info.acceptance_rate, here.adapted)
    here.dead_for = here.dead_for + 1 if bool(info.diverging.all()) else 0
    if here.dead_for >= PATIENCE:
        raise DivergedError(
            f"every chain has diverged in each of the last {PATIENCE} transitions, up to "
            f"number {here.transitions} (all {len(info.diverging)} rows); "
            "the draws before that are kept (in the run's folder, or in memory as this error's "
            "`run`): use a smaller step size or adjust=True"
        )
    return info


def _extras(here: _Position, target: Any, plan: Plan) -> dict[str, Tensor]:
    count = here.state.z.shape[0]
    step = torch.as_tensor(
        getattr(_kernel(here, plan), "step_size", torch.nan), dtype=torch.float64
    ).reshape(-1)
    return {
        "chi2": target.chi2(here.state.x),
        "step_size": step.repeat_interleave(count // step.shape[0]),
    }
