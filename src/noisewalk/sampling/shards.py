"""The chains of one run in shards, each a unit of work of an engine.

Chains are coupled until their adaptation has stopped: they share a step and a Gaussian. Up to there
they run together, as one unit. Then they part, and each shard of chains goes on with what the
warm-up has left, in a store of its own (`storage/shards.py`). Its noise is that of the same chains
in the whole run, so its draws are those of the whole run up to the rounding of a network that sees
fewer rows at once. A shard is a unit that any worker can go on with.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._progress import show
from ..engines.engine import Engine
from ..engines.work import Outcome, perform
from ..errors import ConfigError, NoisewalkError
from ..storage.remote import Place, working
from ..storage.shards import mark_begun, shard_folder, sizes
from ..types import SamplerState, Tick
from .chains import Chains
from .execute import execute, stored
from .limits import admit
from .run import Run, open_run
from .sample_many import finished

HEAD = -1
"""The unit of all chains, before the shards."""


@dataclass(frozen=True, eq=False)
class Parted:
    """A plan of chains whose draws are made in shards."""

    plan: Chains
    target: Any
    folder: Path
    num_shards: int
    problem: Mapping[str, Any] | None = None
    command: str | None = None

    def store(self, arrays: Mapping[str, Tensor] | None = None, resume: bool = True) -> Any:
        """The run's own store, open."""
        facts = self.problem, arrays, self.command, resume, self.num_shards
        return stored(self.plan, self.target, self.folder, *facts)

    def shard(self, number: int) -> Chains:
        """The plan of one shard's chains."""
        counts = sizes(self.plan.num_chains, self.num_shards)
        part = (0, sum(counts[:number]))
        return replace(self.plan, num_chains=counts[number], part=part)

    def left(self, engine: Engine) -> list[int]:
        """The shards that do not have all their draws."""
        folders = [shard_folder(self.folder, k) for k in range(self.num_shards)]
        return [
            k
            for k, folder in enumerate(folders)
            if not finished(folder, self.shard(k), self.target, engine)
        ]


@torch.inference_mode(False)
def draw_shards(
    plan: Chains,
    target: Any,
    folder: str | Path | Place,
    progress: bool = True,
    problem: Mapping[str, Any] | None = None,
    arrays: Mapping[str, Tensor] | None = None,
    command: str | None = None,
    resume: bool = True,
    force: bool = False,
    *,
    engine: Engine,
    num_shards: int,
) -> Run:
    """Execute a plan of chains into a folder, in shards by an engine, and give back the run; the
    rest is as of `execute.draw`.

    Shards that are finished are not computed again, and the others go on where they were.
    NoisewalkError where some have failed.
    """
    if num_shards > plan.num_chains:
        most = f"{plan.num_chains} chains cannot be in {num_shards} shards"
        raise ConfigError(f"{most}: give --shard-chains a number up to {plan.num_chains}")
    with working(folder) as place:
        folder = place.folder
    admit(plan, target, folder, progress, force)
    work = Parted(plan, target, folder.absolute(), num_shards, problem, command)
    with _threads(engine.num_threads):
        with work.store(arrays, resume) as sink:
            begins = not _has_parted(plan, sink)
        left = work.left(engine)
    for _ in show(_ticks(work, engine, begins, left), progress):
        pass
    return open_run(folder)


def _ticks(work: Parted, engine: Engine, begins: bool, left: list[int]) -> Iterator[Tick]:
    """One tick a unit that ends: that of all chains first, then the shards."""
    total, nfe = 1 + work.num_shards, 0
    for phase, units in (("warm-up", [HEAD] if begins else []), ("shards", left)):
        failed: list[Outcome] = []
        done = 0 if phase == "warm-up" else total - len(units)
        for outcome in perform(engine, _unit, work, units, work.folder) if units else ():
            done, nfe = done + 1, nfe + (outcome.value or 0)
            failed += [outcome] * (outcome.error is not None)
            yield Tick(phase, done, total, nfe, float("nan"))
        if failed:
            which = "the warm-up" if phase == "warm-up" else f"{len(failed)} of {total - 1} shards"
            way = "mend the cause, and the same command with --resume tries again"
            raise NoisewalkError(f"{which} failed ({failed[0].error}); {way}")


def _unit(work: Parted, number: int) -> int:
    """A worker's part: the network calls of the chains together, or of a shard that is drawn to its
    end."""
    if number == HEAD:
        with work.store() as sink:
            for _ in show(work.plan.head(work.target, sink), False):
                pass
            return _calls(sink)
    plan = work.shard(number)
    with stored(plan, work.target, shard_folder(work.folder, number)) as sink:
        if sink.cursor()[1] is None:
            sink.checkpoint(_begun(work, plan))
        mark_begun(sink.folder)
        execute(plan, work.target, sink, False)
        return _calls(sink)


def _calls(sink: Any) -> int:
    return int(sink.cursor()[1]["nfe"])


def _has_parted(plan: Chains, sink: Any) -> bool:
    """Whether the chains have come to where they part."""
    _, kept = sink.cursor()
    if kept is None or "early_lp" not in sink.kept:
        return False
    return (kept["start_steps"], kept["transitions"]) == (plan.num_starts, plan.num_warmup)


def _begun(work: Parted, plan: Chains) -> SamplerState:
    """The state in which a shard's chains leave the others."""
    from ..storage.store import read_sampler

    kept = dict(read_sampler(work.folder) or {})
    images, (_, first) = work.target.num_images, plan.part or (0, 0)

    def some(rows: Tensor) -> Tensor:
        each = rows.unflatten(0, (images, work.plan.num_chains))
        return each[:, first : first + plan.num_chains].flatten(0, 1).contiguous()

    names = [name for name in ("carry", "tried_again") if kept.get(name) is not None]
    own = {name: some(kept[name]) for name in names}
    state = {name: some(rows) for name, rows in kept["state"].items()}
    return {**kept, **own, "state": state, "nfe": 0, "seconds": 0.0}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads of torch: what a run is says their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
