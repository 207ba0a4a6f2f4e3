"""A run whose chains are in several stores: `shards/0`, `shards/1`, ... in its folder.

The run's own store has the measurement and the state in which the chains parted, and no draws. Each
shard is a run folder of consecutive chains, with a writer and a state of its own. What is read of
them together are the draws that all shards have. A shard that has begun leaves a mark in the run's
folder, `begun/0`, by which one that is lost differs from one that is still to come.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import StoreError
from ..types import SamplerState
from .folder import read_spec
from .zarr_group import GROUP, Root, same_layout

FACT, FOLDER, BEGUN = "shard_chains", "shards", "begun"
"""The number of shards in spec.json, and the folders that hold theirs and their marks."""


class Together(NamedTuple):
    """What a run has committed, in one store or in those of its shards, in the order of chains."""

    num_draws: int
    complete: bool
    roots: list[Root]
    sampler: SamplerState | None


def sizes(num_chains: int, num_shards: int) -> list[int]:
    """The chains of each shard, as even as can be."""
    each, left = divmod(num_chains, num_shards)
    return [each + (k < left) for k in range(num_shards)]


def shard_folder(folder: Path, number: int) -> Path:
    """The run folder of a shard."""
    return folder / FOLDER / str(number)


def mark_begun(folder: Path) -> None:
    """Leave the mark of a shard whose store is there."""
    mark = _mark(folder)
    mark.parent.mkdir(exist_ok=True)
    mark.touch()


def forget(folder: Path) -> None:
    """Take the mark of a lost shard away, so that it counts as still to come."""
    _mark(folder).unlink(missing_ok=True)


def lost(folders: list[Path]) -> list[StoreError]:
    """What is to be said of the shards that had begun and whose store is gone, one error each."""
    gone = [path for path in folders if _mark(path).is_file() and not (path / GROUP).is_dir()]
    way = "restore it from a copy, or let the same command with --resume draw its chains again"
    return [StoreError(f"{path} is lost: {way}") for path in gone]


def _mark(folder: Path) -> Path:
    return folder.parents[1] / BEGUN / folder.name


def shard_folders(folder: Path, facts: dict[str, Any], root: Root) -> list[Path]:
    """Those of all shards of a run, begun or not; none where its chains are in one store."""
    count, chains = facts.get(FACT), root.arrays["x"].chains
    if count is None:
        return []
    if count > chains:
        raise StoreError(f"{folder} tells of {count} shards of {chains} chains: restore it")
    return [shard_folder(folder, k) for k in range(count)]


def together(
    folder: Path,
    facts: dict[str, Any],
    root: Root,
    sampler: SamplerState | None,
    read: Callable[[Path], tuple[Root, SamplerState | None]],
) -> Together:
    """A run's own store, or its shards, which are read one after the other."""
    folders = shard_folders(folder, facts, root)
    if not folders:
        return Together(root.num_draws, root.complete, [root], sampler)
    for error in lost(folders):
        raise error
    found = [read(path) if (path / GROUP).is_dir() else None for path in folders]
    counts = sizes(root.arrays["x"].chains, len(folders))
    for path, pair, chains in zip(folders, found, counts, strict=True):
        if pair is not None:
            check_place(path, counts)
            _check(root, pair[0], path, chains)
    there = [pair for pair in found if pair is not None]
    roots, states = [pair[0] for pair in there], [pair[1] for pair in there]
    states += [None] * (len(folders) - len(there))
    told = _progress(sampler, states)
    num_draws = min(part.num_draws for part in roots) if len(there) == len(folders) else 0
    if not num_draws:
        return Together(0, False, [root], told)
    planned = facts.get("plan", {}).get("num_draws")
    complete = num_draws == planned and all(part.complete for part in roots)
    return Together(num_draws, complete, roots, told)


def check_place(folder: Path, counts: list[int]) -> None:
    """StoreError unless a shard's chains are those of its number, as its spec.json says; `counts`
    are the chains of every shard."""
    spec, first = read_spec(folder), sum(counts[: int(folder.name)])
    part = spec.facts.get("plan", {}).get("part") if spec else None
    if not isinstance(part, list) or part[1:] != [first]:
        told = f"{folder} holds the chains of another shard, or of another run"
        raise StoreError(f"{told}: remove it, and the same command with --resume makes it again")


def _check(main: Root, root: Root, folder: Path, chains: int) -> None:
    """StoreError unless a shard has so many chains of the run's own arrays."""
    want = {name: replace(a, chains=chains, folder=folder) for name, a in main.arrays.items()}
    found = {name: replace(a, folder=folder) for name, a in root.arrays.items()}
    if not same_layout(want, found):
        raise StoreError(f"{folder} holds other arrays than the run has: restore it from a copy")


def _progress(head: SamplerState | None, states: list[SamplerState | None]) -> SamplerState | None:
    """How far the slowest shard is, and what all have spent, in the keys of a sampler's state."""
    if head is None:
        return None
    told = [head, *(state for state in states if state is not None)]
    spent = {key: sum(state.get(key, 0) for state in told) for key in ("nfe", "seconds")}
    last = min((state or head).get("transitions", 0) for state in states)
    return {"start_steps": head.get("start_steps", 0), "transitions": last, **spent}
