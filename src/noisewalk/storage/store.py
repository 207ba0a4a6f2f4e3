"""The run store: draws go to disk while sampling, and a kill loses at most the draw in flight.

A run folder holds `spec.json`, `run.zarr` (zarr format 3, which any xarray opens at any moment) and
`state-<serial>.safetensors`, the sampler's state. To commit a draw, the state is written under the
next serial, and each array's slab beyond the committed length (`segments.py`). Then the root
`zarr.json` (`group.py`), with the number of draws, the serial and the metadata of all arrays, is
renamed over the old one. This one rename is the commit: readers that start from the root see one
length. Each array's own `zarr.json` follows when a segment is full, at close and at open.
"""

import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import StoreError
from ..types import Info, SamplerState, State
from .atomic import write_file
from .checksum import crc32c
from .damage import damaged, reported
from .folder import admit, clean, read_spec, start, state_path, take_lock
from .lazy import LazyDraws
from .segments import SegmentWriter, document, dtype_name, to_bytes
from .shards import together
from .spec import normal
from .state import decode, encode
from .zarr_group import GROUP, META, STATE, Layout, Root, chunk_path, read_fixed, read_root


@dataclass(frozen=True, eq=False)
class StoredRun:
    """A run as it was committed when it was opened; its draws are read when they are indexed."""

    folder: Path
    spec: dict[str, Any]  # the facts in the shape of format 2, whatever the folder's is
    version: str  # of noisewalk, which started the run
    format: int
    num_draws: int
    complete: bool
    arrays: dict[str, Any] = field(repr=False)  # `LazyDraws` and fixed tensors
    sampler: SamplerState | None = field(repr=False)  # None before the first commit


class RunStore(AbstractContextManager["RunStore"]):
    """Where draws go while sampling; made by `create_or_resume`, one writer at a time."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder, self._lock, self._root = folder, lock, read_root(folder)
        draws = self._root.arrays
        for array in draws.values():
            array.verify(self.num_draws)
        self._writers = {name: SegmentWriter(array) for name, array in draws.items()}
        state = state_path(folder, self._root.serial)
        if self._root.has_state and not state.is_file():
            raise damaged(state, "there is no such file")
        clean(folder, state)
        for name in draws:
            self._refresh(name)

    @classmethod
    def create_or_resume(
        cls,
        folder: str | Path,
        spec: dict[str, Any],
        layout: Layout,
        *,
        extras: Sequence[str] = ("step_size",),
        free: Sequence[str] = ("plan.num_draws", "command"),
        resume: bool = True,
    ) -> "RunStore":
        """Start a run in an absent or empty folder, or go on with the same run that is there: its
        specification may differ in the keys in `free`. `extras` name numbers per row and draw."""
        folder, asked = Path(folder), normal(spec)
        arrays = layout.arrays(folder / GROUP, extras)
        with reported(f"cannot use {folder} as a run folder", "give a folder that can be written"):
            admit(folder, asked, free, resume)
            folder.mkdir(parents=True, exist_ok=True)
            lock = take_lock(folder)
            try:
                start(folder, admit(folder, asked, free, resume), asked, arrays)
                return cls(folder, lock)
            except BaseException:
                os.close(lock)
                raise

    @property
    def num_draws(self) -> int:
        """Committed draws."""
        return self._root.num_draws

    def append(
        self, state: State, info: Info, sampler: SamplerState, extras: dict[str, Tensor]
    ) -> None:
        """Commit one draw and the sampler's state, both or neither; a missing extra becomes NaN."""
        rows = self._rows(state, info, extras)
        draw = self.num_draws
        with self._writing():
            root = self._with_state(sampler)._replace(complete=False)
            if root.behind:  # the draw is there: a sampler without its state makes it once more
                self._commit(root._replace(behind=root.behind - 1))
                return
            for name, writer in self._writers.items():
                if draw and draw % writer.array.length == 0:
                    self._refresh(name)
                writer.write(draw, rows[name])
            self._commit(root._replace(num_draws=draw + 1))

    def checkpoint(self, sampler: SamplerState) -> None:
        """Commit a sampler's state without a draw, as in the warm-up."""
        with self._writing():
            self._commit(self._with_state(sampler))

    def put(self, name: str, array: Tensor, dims: Sequence[str]) -> None:
        """Store an array without draws; a second time, it must be the same bit by bit."""
        doc = document(array.shape, array.shape, dtype_name(array.dtype), dims)
        fixed, folder = self._root.fixed, self.folder / GROUP / name
        self._root.check_new(name, doc)
        if name in fixed:
            sum_of = self._root.sums.get(name)
            if doc != fixed[name] or to_bytes(array) != to_bytes(read_fixed(folder, doc, sum_of)):
                advice = "give another folder, or the same array to go on"
                raise StoreError(f"{name} differs from the one stored in {self.folder}: {advice}")
            return
        with self._writing():
            folder.mkdir(exist_ok=True)
            write_file(chunk_path(folder, doc), [to_bytes(array)])
            write_file(folder / META, [json.dumps(doc).encode()])
            sums = {**self._root.sums, name: crc32c([to_bytes(array)])}
            self._commit(self._root._replace(fixed={**fixed, name: doc}, sums=sums))

    def keep(self, arrays: dict[str, Tensor]) -> None:
        """Commit (image, chain, ...) tensors beside the draws; a second time, the same."""
        for name, array in arrays.items():
            dims = ("image", "chain", *(f"{name}_{i}" for i in range(array.ndim - 2)))
            self.put(name, array.contiguous(), dims)

    @property
    def kept(self) -> Collection[str]:
        """The names of what is stored beside the draws."""
        return self._root.fixed.keys()

    def cursor(self) -> tuple[int, SamplerState | None]:
        """Draws that the sampler has made, and its state to go on from (None: there is none)."""
        with reported(f"cannot read {self.folder}", "make it readable"):
            return self.num_draws - self._root.behind, _sampler(self.folder, self._root)

    def mark_complete(self) -> None:
        """Commit that the run has all its draws."""
        with self._writing():
            self._commit(self._root._replace(complete=True))

    def close(self) -> None:
        """Bring each array's own metadata up to date and release the folder."""
        if self._lock < 0:
            return
        try:
            with self._writing():
                for name in self._root.arrays:
                    self._refresh(name)
        finally:
            for writer in self._writers.values():
                writer.close()
            os.close(self._lock)
            self._lock = -1

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self._lock < 0:
            raise StoreError(f"the store in {self.folder} is closed: open it again to go on")
        hint = "the {} draws so far are safe: make room, then use --resume"
        with reported(f"cannot write to {self.folder}", lambda: hint.format(self.num_draws)):
            yield

    def _rows(self, state: State, info: Info, extras: dict[str, Tensor]) -> dict[str, Tensor]:
        """The values of a draw for every array; StoreError if they do not fit."""
        own: dict[str, Tensor] = {"x": state.x, "z": state.z, "nll": state.nll, **info._asdict()}
        if unknown := sorted(extras.keys() - (self._root.arrays.keys() - own.keys())):
            names, advice = ", ".join(unknown), "declare them as extras when it is made"
            raise StoreError(f"the store in {self.folder} has no place for {names}: {advice}")
        given, rows = {**extras, **own}, {}
        for name, array in self._root.arrays.items():
            batch = array.images * array.chains
            values = given[name] if name in given else torch.full((batch,), torch.nan)
            if name not in ("x", "z"):
                values = values.to(getattr(torch, array.dtype))
            got = f"{dtype_name(values.dtype)} {tuple(values.shape)}"
            want = f"{array.dtype} {(batch, *array.shape)}"
            if got != want:
                raise StoreError(f"{name} of a draw is {got}, but {self.folder} holds {want}")
            rows[name] = values
        return rows

    def _with_state(self, sampler: SamplerState) -> Root:
        """The root that commits a sampler's state, which is written."""
        parts, serial = encode(sampler), self._root.serial + 1
        write_file(state_path(self.folder, serial), parts)
        return self._root._replace(serial=serial, sums={**self._root.sums, STATE: crc32c(parts)})

    def _commit(self, root: Root) -> None:
        write_file(self.folder / GROUP / META, [root.to_bytes()])
        old, self._root = self._root.serial, root
        if root.serial != old:
            state_path(self.folder, old).unlink(missing_ok=True)

    def _refresh(self, name: str) -> None:
        path = self.folder / GROUP / name / META
        new = json.dumps(self._root.arrays[name].document(self.num_draws)).encode()
        if not path.is_file() or path.read_bytes() != new:
            write_file(path, [new])


def open_store(folder: str | Path) -> StoredRun:
    """Open a run for reading, finished or not, also while another process writes it."""
    folder = Path(folder)
    with reported(f"cannot read {folder}", "give the folder of a run"):
        spec = read_spec(folder)
        if spec is None or not (folder / GROUP).is_dir():
            raise StoreError(f"{folder} holds no run that has started: give another folder")
        root, sampler = _committed(folder)
        found = together(folder, spec.facts, root, sampler, _committed)
        arrays: dict[str, Any] = {}
        for name in root.arrays:
            parts = [part.arrays[name] for part in found.roots]
            for array in parts:
                array.verify(found.num_draws)
            more = [LazyDraws(array, found.num_draws) for array in parts[1:]]
            arrays[name] = LazyDraws(parts[0], found.num_draws, more)
        for name, doc in root.fixed.items():
            arrays[name] = read_fixed(folder / GROUP / name, doc, root.sums.get(name))
        committed = found.num_draws, found.complete, arrays, found.sampler
        return StoredRun(folder, spec.facts, spec.version, spec.format, *committed)


def read_sampler(folder: Path) -> SamplerState | None:
    """The last state of a run's own sampler; of shards, that in which they parted."""
    with reported(f"cannot read {folder}", "give the folder of a run"):
        return _committed(folder)[1]


def _committed(folder: Path) -> tuple[Root, SamplerState | None]:
    """The root and the state that belongs to it, though a writer may replace both in between."""
    root = read_root(folder)
    while True:
        try:
            return root, _sampler(folder, root)
        except StoreError:
            old, root = root, read_root(folder)
            if old.serial == root.serial:
                raise


def _sampler(folder: Path, root: Root) -> SamplerState | None:
    path = state_path(folder, root.serial)
    return decode(path, root.sums.get(STATE)) if root.has_state else None
