"""Whether what a run stores is as it was written, and the cut back to what is.

A draw that was cut or changed ends the run: those before it are kept. The sampler's state belongs
to the last draw, so a run that is cut goes on by making its draws once more from the start, which
gives the same ones, and then adds the others.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import StoreError
from .atomic import write_file
from .checksum import BYTES, read_sums
from .damage import reported
from .folder import read_spec, state_path, take_lock
from .format2 import sums_of, with_sums
from .segments import Segmented
from .shards import check_place, forget, lost, shard_folders, sizes
from .state import decode
from .zarr_group import CHECKED, GROUP, META, STATE, Root, read_fixed, read_root


@dataclass(frozen=True)
class Health:
    """What is wrong with a run, a phrase each, and what of it is good."""

    faults: tuple[str, ...]
    num_draws: int
    good_draws: int
    root: Root | None
    """None where the run cannot be repaired."""
    lost: tuple[str, ...] = ()  # arrays without draws that are damaged
    state_lost: bool = False
    checked: bool = True  # whether it has checksums: runs of formats 1 and 2 have none


def examine(folder: str | Path) -> Health:
    """Check every byte that a run has committed; StoreError where there is no run."""
    folder = Path(folder)
    with reported(f"cannot read {folder}", "give the folder of a run"):
        if not (folder / GROUP).is_dir():
            if read_spec(folder) is None:
                raise StoreError(f"{folder} holds no run: give the folder of one")
            return Health((), 0, 0, None)
        try:
            shards, root = _shards(folder), read_root(folder)
        except StoreError as error:
            return Health((str(error),), 0, 0, None)
        health = _examined(folder, root)
        return _of_shards(health, root, shards) if shards else health


def _shards(folder: Path) -> list[Path]:
    """The folders of a run's shards."""
    spec = read_spec(folder)
    return shard_folders(folder, spec.facts if spec else {}, read_root(folder))


def _of_shards(own: Health, root: Root, shards: list[Path]) -> Health:
    """The health of a run whose chains are in shards; it has no draws until each of them has."""
    counts = sizes(root.arrays["x"].chains, len(shards))
    faults = [*own.faults, *map(str, lost(shards))]
    begun = [path for path in shards if (path / GROUP).is_dir()]
    each = [examine(path) for path in begun]
    for path, one in zip(begun, each, strict=True):
        faults += one.faults
        try:
            check_place(path, counts)
        except StoreError as error:
            faults.append(str(error))
    some = each if len(begun) == len(shards) else [Health((), 0, 0, None)]
    least, good = (min(vars(one)[k] for one in some) for k in ("num_draws", "good_draws"))
    broken = any(one.root is None for one in each)
    return replace(
        own,
        faults=tuple(faults),
        num_draws=least,
        good_draws=good,
        root=None if broken else own.root,
    )


def repair(folder: str | Path) -> Health:
    """Cut a run back to its last good draw, and say what was wrong; StoreError where its
    specification or its root is lost."""
    folder = Path(folder)
    health = examine(folder)
    if not health.faults:
        return health
    with reported(f"cannot repair {folder}", "make it writable"):
        lock = take_lock(folder)
        try:
            health = examine(folder)
            if health.root is None:
                advice = "it cannot be repaired: restore it from a copy"
                raise StoreError(f"{health.faults[0]}; {advice}")
            own = _examined(folder, health.root)
            if own.faults:
                _cut(folder, own)
            for shard in _shards(folder):
                repair(shard) if (shard / GROUP).is_dir() else forget(shard)
        finally:
            os.close(lock)
    return health


def _examined(folder: Path, root: Root) -> Health:
    faults, good = [], root.num_draws
    for array in root.arrays.values():
        found = good_draws(array, root.num_draws)
        if found < root.num_draws:
            path = array.path(found // array.length)
            faults.append(f"{path}: draw {found} of {array.folder.name} is damaged")
        good = min(good, found)
    lost = []
    for name, doc in root.fixed.items():
        try:
            read_fixed(folder / GROUP / name, doc, root.sums.get(name))
        except StoreError as error:
            faults.append(str(error))
            lost.append(name)
    state_lost = False
    if root.has_state:
        try:
            decode(state_path(folder, root.serial), root.sums.get(STATE))
        except StoreError as error:
            faults.append(str(error))
            state_lost = True
    checked = root.format >= CHECKED
    return Health(tuple(faults), root.num_draws, good, root, tuple(lost), state_lost, checked)


def good_draws(array: Segmented, num_draws: int) -> int:
    """Draws of an array before the first one that is cut or changed."""
    found = sums_of(array, num_draws)
    if not array.checked:
        return len(found)
    try:
        want = read_sums(array.sums, num_draws)
    except StoreError:
        size = array.sums.stat().st_size if array.sums.is_file() else 0
        want = read_sums(array.sums, size // BYTES) if size else found[:0]
    pairs = zip(found.tolist(), want.tolist(), strict=False)
    wrong = next((n for n, (a, b) in enumerate(pairs) if a != b), None)
    return min(len(found), len(want)) if wrong is None else wrong


def _cut(folder: Path, health: Health) -> None:
    """Commit the good part, then drop the rest."""
    root, good = health.root, health.good_draws
    assert root is not None
    fixed = {name: doc for name, doc in root.fixed.items() if name not in health.lost}
    sums = {name: value for name, value in root.sums.items() if name not in health.lost}
    root = root._replace(fixed=fixed, sums=sums)
    if root.format < CHECKED:
        root = with_sums(folder, root)
    if good < health.num_draws or health.state_lost:
        root = root.without_state(num_draws=good)
    write_file(folder / GROUP / META, [root.to_bytes()])
    for array in root.arrays.values():
        for segment in range(-(-good // array.length), -(-health.num_draws // array.length)):
            array.path(segment).unlink(missing_ok=True)
        if array.checked and array.sums.is_file():
            os.truncate(array.sums, BYTES * good)
        last = array.path(good // array.length)
        if last.is_file():
            os.truncate(last, array.length * array.slab)
    if not root.has_state:
        state_path(folder, root.serial).unlink(missing_ok=True)
