"""The run store: draws go to disk while sampling, and a killed process loses at most the draw in
flight.

A run folder holds `spec.json` (written first), `run.zarr` (zarr format 3, any xarray opens it at
any moment) and `state-<serial>.safetensors`, the sampler's state. A draw is committed in three
steps:

1. the sampler's state is written to a temporary file and renamed to the next serial;
2. each array's slab is written in place, beyond the committed length (`segments.py`);
3. the root `zarr.json`, with consolidated metadata that gives the new length to all arrays, the
number of draws and the serial,
   is written to a temporary file and renamed over the old one: this one rename is the commit.

Readers that start from the root see one length for all arrays, before, between and after the steps.
Each array's own `zarr.json` follows when a segment is full, at close and at open. A kill of the
process is survived as it is; to survive a power cut too, `durable=True` waits for the disk at each
step.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._repr import readable
from ..errors import StoreError
from ..types import Info, State
from .folder import (
    GROUP,
    META,
    OWN_KEYS,
    admit,
    check_fixed,
    clean,
    dumps,
    fixed_path,
    layout_of,
    normal,
    read_fixed,
    read_root,
    read_spec,
    reported,
    root_document,
    start,
    state_path,
    take_lock,
)
from .lazy import LazyDraws
from .segments import SegmentWriter, document, dtype_name, to_bytes, write_file
from .state import decode, encode


@readable
@dataclass(frozen=True, eq=False, repr=False)
class StoredRun:
    """A run as it was committed when it was opened; reads lazily and writes nothing.

    Arguments:
        folder: of the run.
        spec: as given to `RunStore.create_or_resume`.
        version: of noisewalk that started the run.
        num_draws: committed draws.
        complete: whether the run had all its draws.
        arrays: by name; `LazyDraws` (image, chain, draw, ...) for x, z, nll, acceptance_rate, ...,
            and tensors, mapped from the disk, for what was `put`: y, ...
        sampler: the sampler's state, None before the first commit.
    """

    folder: Path
    spec: dict[str, Any]
    version: str
    num_draws: int
    complete: bool
    arrays: dict[str, Any] = field(repr=False)
    sampler: dict[str, Any] | None = field(repr=False)


class RunStore:
    """Where draws go while sampling; made by `create_or_resume`, one writer at a time.

    Arguments:
        folder: of a run that exists.
        lock: descriptor of its lock file, held; closed by `close`.
        durable: wait for the disk at each commit.
    """

    def __init__(self, folder: Path, lock: int, durable: bool = False) -> None:
        self.folder = folder
        self._lock = lock
        self._durable = durable
        self._attributes, self._arrays, self._fixed = read_root(folder)
        for array in self._arrays.values():
            array.verify(self.num_draws)
        self._writers = {
            name: SegmentWriter(array, durable) for name, array in self._arrays.items()
        }
        clean(folder, self._serial)
        for name in self._arrays:
            self._refresh(name)

    @classmethod
    def create_or_resume(
        cls,
        folder: str | Path,
        spec: dict[str, Any],
        images: int,
        chains: int,
        z_shape: Sequence[int],
        x_shape: Sequence[int],
        dtype: torch.dtype = torch.float32,
        *,
        extras: Sequence[str] = ("step_size",),
        free: Sequence[str] = ("num_draws", "command"),
        resume: bool = True,
        draws_per_segment: int | None = None,
        durable: bool = False,
    ) -> "RunStore":
        """Start a run in an absent or empty folder, or go on with the run of the same specification
        that is there.

        Arguments:
            folder: of the run.
            spec: what the run is, as JSON; compared with the stored one key by key.
            images: N.
            chains: C, or particles.
            z_shape: of one z.
            x_shape: of one x.
            dtype: of z and x.
            extras: names of further numbers per row and draw, stored as float64.
            free: keys of `spec` that may change from one session to the next.
            resume: whether a run that exists may be gone on with.
            draws_per_segment: S; None: at most 64 MiB of x or z, but at least 8 and at most 1024
                draws. Kept when resuming.
            durable: wait for the disk at each commit, to survive a power cut.

        Returns:
            The store, locked for other writers.

        Raises:
            StoreError: another specification, foreign or damaged content, another writer, no right
                or place to write.
        """
        folder = Path(folder)
        asked = normal(spec)
        layout = layout_of(
            folder / GROUP,
            images,
            chains,
            z_shape,
            x_shape,
            dtype_name(dtype),
            extras,
            draws_per_segment,
        )
        with reported(f"cannot use {folder} as a run folder", "give a folder that can be written"):
            admit(folder, asked, free, resume)
            folder.mkdir(parents=True, exist_ok=True)
            lock = take_lock(folder)
            try:
                stored = admit(folder, asked, free, resume)
                start(folder, stored, asked, layout, durable)
                return cls(folder, lock, durable)
            except BaseException:
                os.close(lock)
                raise

    @property
    def num_draws(self) -> int:
        """Committed draws."""
        return self._attributes["num_draws"]

    @property
    def complete(self) -> bool:
        """Whether the run was marked complete and nothing was added since."""
        return self._attributes["complete"]

    @property
    def _serial(self) -> int:
        return self._attributes["serial"]

    def append(
        self,
        state: State,
        info: Info,
        sampler: dict[str, Any],
        extras: dict[str, Tensor] | None = None,
    ) -> None:
        """Commit one draw and the sampler's state, both or neither.

        Arguments:
            state: the draw; rows are image-major.
            info: of its transition.
            sampler: whatever the loop needs to go on bitwise (see `sampler_state`).
            extras: (B,) by name; NaN is stored for a declared name that is missing.

        Raises:
            StoreError: shapes or types that are not the store's; the disk is full (the draws so far
                are safe).
        """
        rows = self._rows(state, info, extras or {})
        draw = self.num_draws
        with self._writing():
            self._write_state(sampler)
            for name, writer in self._writers.items():
                if draw and draw % writer.array.length == 0:
                    self._refresh(name)
                writer.write(draw, rows[name])
            self._commit(num_draws=draw + 1, serial=self._serial + 1, complete=False)

    def checkpoint(self, sampler: dict[str, Any]) -> None:
        """Commit a sampler state without a draw (warm-up).

        Arguments:
            sampler: as for `append`.
        """
        with self._writing():
            self._write_state(sampler)
            self._commit(serial=self._serial + 1)

    def put(self, name: str, array: Tensor, dims: Sequence[str]) -> None:
        """Store an array without draws; a second time, it must be the same bit by bit.

        Arguments:
            name: y, observed, truth, ...
            array: not empty.
            dims: one name per axis; an axis that other arrays have too must have the same length
                there.

        Raises:
            StoreError: an array of that name is there and differs.
            ConfigError: names or lengths that do not fit.
        """
        doc = document(array.shape, array.shape, dtype_name(array.dtype), dims)
        check_fixed(name, doc, self._arrays, self._fixed)
        folder = self.folder / GROUP / name
        if name in self._fixed:
            if doc != self._fixed[name] or to_bytes(array) != to_bytes(read_fixed(folder, doc)):
                raise StoreError(
                    f"{name} differs from the one stored in {self.folder}: give another "
                    f"folder, or the same {name} to go on"
                )
            return
        with self._writing():
            folder.mkdir(exist_ok=True)
            write_file(fixed_path(folder, doc), [to_bytes(array)], self._durable)
            write_file(folder / META, dumps(doc), self._durable)
            self._commit({**self._fixed, name: doc})

    def cursor(self) -> tuple[int, dict[str, Any] | None]:
        """Draws committed, and the sampler's state to go on from (None: there is none yet)."""
        path = state_path(self.folder, self._serial)
        try:
            return self.num_draws, decode(path) if self._serial else None
        except FileNotFoundError as error:
            raise StoreError(
                f"{path} is missing: restore it from a copy or start another run"
            ) from error

    def mark_complete(self) -> None:
        """Commit that the run has all its draws."""
        with self._writing():
            self._commit(complete=True)

    def close(self) -> None:
        """Bring each array's own metadata up to date and release the folder; more calls do nothing."""
        if self._lock < 0:
            return
        try:
            with self._writing():
                for name in self._arrays:
                    self._refresh(name)
        finally:
            for writer in self._writers.values():
                writer.close()
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> "RunStore":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self._lock < 0:
            raise StoreError(f"the store in {self.folder} is closed: open it again to go on")
        with reported(
            f"cannot write to {self.folder}",
            lambda: (
                f"the {self.num_draws} draws so far are safe: make room and go on with --resume"
            ),
        ):
            yield

    def _rows(self, state: State, info: Info, extras: dict[str, Tensor]) -> dict[str, Tensor]:
        fixed: dict[str, Tensor] = {"x": state.x, "z": state.z, "nll": state.nll, **info._asdict()}
        if unknown := sorted(extras.keys() - (self._arrays.keys() - fixed.keys())):
            raise StoreError(
                f"the store in {self.folder} has no place for {', '.join(unknown)}: declare "
                "them as extras when it is made"
            )
        rows = {}
        for name, array in self._arrays.items():
            batch = array.images * array.chains
            values = (
                fixed[name] if name in fixed else extras.get(name, torch.full((batch,), torch.nan))
            )
            if name not in ("x", "z"):
                values = values.to(getattr(torch, array.dtype))
            if (
                tuple(values.shape) != (batch, *array.shape)
                or dtype_name(values.dtype) != array.dtype
            ):
                want = f"{array.dtype} {(batch, *array.shape)}"
                raise StoreError(
                    f"{name} of a draw is {dtype_name(values.dtype)} {tuple(values.shape)}, "
                    f"but the store in {self.folder} holds {want}"
                )
            rows[name] = values
        return rows

    def _write_state(self, sampler: dict[str, Any]) -> None:
        write_file(state_path(self.folder, self._serial + 1), encode(sampler), self._durable)

    def _commit(self, fixed: dict[str, Any] | None = None, **changes: Any) -> None:
        old, attributes = self._serial, {**self._attributes, **changes}
        fixed = self._fixed if fixed is None else fixed
        write_file(
            self.folder / GROUP / META,
            root_document(attributes, self._arrays, fixed),
            self._durable,
        )
        self._attributes, self._fixed = attributes, fixed
        if self._serial != old:
            state_path(self.folder, old).unlink(missing_ok=True)

    def _refresh(self, name: str) -> None:
        path, new = (
            self.folder / GROUP / name / META,
            dumps(self._arrays[name].document(self.num_draws)),
        )
        if not path.is_file() or [path.read_bytes()] != new:
            write_file(path, new, self._durable)


def open_store(folder: str | Path) -> StoredRun:
    """Open a run for reading, finished or not, also while another process writes it.

    Arguments:
        folder: of the run.

    Returns:
        What is committed now; open again to see more.

    Raises:
        StoreError: there is no run, it has not started yet, or it is damaged.
    """
    folder = Path(folder)
    with reported(f"cannot read {folder}", "give the folder of a run"):
        stored = read_spec(folder)
        if stored is None or not (folder / GROUP).is_dir():
            raise StoreError(
                f"{folder} holds no run that has started: start it, or give another folder"
            )
        for _ in range(1000):  # a writer may replace the state between the two reads
            attributes, arrays, fixed = read_root(folder)
            try:
                sampler = (
                    decode(state_path(folder, attributes["serial"]))
                    if attributes["serial"]
                    else None
                )
                break
            except FileNotFoundError:
                continue
        else:
            raise StoreError(
                f"{state_path(folder, attributes['serial'])} is missing: restore it from a "
                "copy or start another run"
            )
        for array in arrays.values():
            array.verify(attributes["num_draws"])
        return StoredRun(
            folder=folder,
            spec={key: value for key, value in stored.items() if key not in OWN_KEYS},
            version=stored["noisewalk"],
            num_draws=attributes["num_draws"],
            complete=attributes["complete"],
            arrays={
                **{
                    name: LazyDraws(array, attributes["num_draws"])
                    for name, array in arrays.items()
                },
                **{name: read_fixed(folder / GROUP / name, doc) for name, doc in fixed.items()},
            },
            sampler=sampler,
        )
