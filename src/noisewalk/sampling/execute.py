"""The one way through: a plan samples a target into a sink and comes back as a run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._progress import show
from ..errors import DivergedError
from ..storage.memory import MemoryStore
from ..storage.remote import Place, working
from ..types import Plan, RunStore
from .fingerprint import check_probe, probe_of
from .limits import admit
from .run import Run, made, open_run

FREE = ("plan.num_draws", "command", "probe")
"""What may change when a stored run goes on; the probe is compared with a tolerance."""


def execute(
    plan: Plan, target: Any, sink: RunStore, progress: bool = True, place: Place | None = None
) -> None:
    """Sample into a sink, from wherever it stands, to the end, and publish it now and then."""
    for _ in show(plan.run(target, sink), progress):
        if place is not None:
            place.publish(due=True)
    sink.mark_complete()


@torch.inference_mode(False)
def draw(
    plan: Plan,
    target: Any,
    folder: str | Path | Place | None = None,
    progress: bool = True,
    problem: Mapping[str, Any] | None = None,
    arrays: Mapping[str, Tensor] | None = None,
    command: str | None = None,
    resume: bool = True,
    force: bool = False,
) -> Run:
    """Execute a plan into a folder or an address, or in memory without one, and give back the run.

    `problem` are facts to keep in spec.json, `arrays` (image, ...) tensors to keep beside the
    draws, `command` what reproduces the run. A run that is in the folder goes on if `resume`; else
    it is an error. ConfigError where the run needs more memory or disk than there is, unless
    `force`.
    """
    if folder is None:
        admit(plan, target, None, progress, force)
        return _in_memory(plan, target, progress)
    with working(folder) as place:
        admit(plan, target, place.folder, progress, force)
        with stored(plan, target, place.folder, problem, arrays, command, resume) as sink:
            place.claim()
            execute(plan, target, sink, progress, place)
        place.publish()
        return open_run(place.folder)


def spec_of(plan: Plan, target: Any) -> dict[str, Any]:
    """What a run is, as facts: two runs of one specification have equal draws."""
    threads = torch.get_num_threads()
    return {**target.facts(), "num_threads": threads, "plan": plan.facts()}


def _in_memory(plan: Plan, target: Any, progress: bool) -> Run:
    """The run; interrupted by the keyboard, the draws so far."""
    sink, spec = MemoryStore(target.num_images, plan.num_rows), spec_of(plan, target)
    try:
        execute(plan, target, sink, progress)
    except KeyboardInterrupt:
        if sink.num_draws == 0:
            raise
    except DivergedError as error:
        error.run = _kept(plan, target, sink, spec) if sink.num_draws else None
        raise
    return _kept(plan, target, sink, spec)


def _kept(plan: Plan, target: Any, sink: MemoryStore, spec: dict[str, Any]) -> Run:
    done, state = sink.cursor()
    fixed = {"y": target.y, "num_observed": target.num_observed, **sink.fixed}
    fixed["observed"] = target.observed
    complete = done == plan.num_draws
    return made(sink.arrays, state, plan.thin, complete, spec, fixed)


@contextmanager
def stored(
    plan: Plan,
    target: Any,
    folder: Path,
    problem: Mapping[str, Any] | None = None,
    arrays: Mapping[str, Tensor] | None = None,
    command: str | None = None,
    resume: bool = True,
    shard_chains: int | None = None,
) -> Iterator[Any]:
    """The run's folder, open for this plan's draws, with what does not change already in it;
    `shard_chains` shards beside it have the draws, where they are given."""
    from ..storage.store import Layout, RunStore

    spec = {**spec_of(plan, target), "problem": dict(problem or {}), "probe": probe_of(target)}
    told = {"command": command, "shard_chains": shard_chains}
    spec |= {name: value for name, value in told.items() if value is not None}
    if resume:
        _check_model(folder, spec)
    shapes = tuple(target.shape), tuple(target.data_shape)
    layout = Layout(target.num_images, plan.num_rows, *shapes, target.y.dtype, plan.num_draws)
    extras = ("step_size", "chi2")
    with RunStore.create_or_resume(
        folder, spec, layout, extras=extras, free=FREE, resume=resume
    ) as sink:
        fixed = {"y": target.y, "num_observed": target.num_observed, **(arrays or {})}
        if target.observed is not None:
            fixed["observed"] = target.observed
        for name, array in fixed.items():
            sink.put(name, array, ("image", *(f"{name}_{i}" for i in range(array.ndim - 1))))
        yield sink


def _check_model(folder: Path, spec: dict[str, Any]) -> None:
    """StoreError if the facts match the stored run but the model gives other values."""
    from ..storage.folder import read_spec
    from ..storage.spec import differences, normal

    found = read_spec(folder) if folder.is_dir() else None
    if found is not None and not list(differences(found.facts, normal(spec), FREE)):
        check_probe(folder, found.facts.get("probe", {}), spec["probe"])
