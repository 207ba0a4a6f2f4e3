"""The zarr group of a run: its arrays, and the root document that says what is committed."""

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._checks import whole
from ..errors import ConfigError
from .checksum import check_file, crc32c
from .damage import UNREADABLE, damaged
from .segments import DRAW, Segmented, check_sizes, document, dtype_name, same
from .spec import FORMAT, FORMATS, newer

GROUP, META = "run.zarr", "zarr.json"
CHECKED = 3
"""The format from which on there are checksums."""
STATE, ROOT = ".state", ".root"  # among the checksums of arrays, whose names begin otherwise
SEGMENT_BYTES, FEWEST_DRAWS, MOST_DRAWS = 1 << 26, 8, 1024  # of a segment of a new run


class Layout(NamedTuple):
    """How many draws of what: N images, C chains (or particles), one z, one x, and their dtype."""

    images: int
    chains: int
    z_shape: tuple[int, ...]
    x_shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    planned: int | None = None  # draws that will come, where that is known

    def arrays(self, group: Path, extras: Iterable[str]) -> dict[str, Segmented]:
        """The arrays of draws of a new run; ConfigError for sizes or names that cannot be."""
        images, chains = whole("images", self.images), whole("chains", self.chains)
        given = {"x": self.x_shape, "z": self.z_shape}
        shapes = {k: tuple(whole(f"an axis of {k}", n) for n in v) for k, v in given.items()}
        kinds = {"x": dtype_name(self.dtype), "z": dtype_name(self.dtype), "nll": "float64"}
        kinds |= {"acceptance_rate": "float64", "accepted": "bool", "diverging": "bool"}
        kinds |= {name: "float64" for name in extras if name not in kinds}
        if wrong := [name for name in kinds if not name.isidentifier()]:
            raise ConfigError(f"a store's arrays need plain names, got {wrong[0]!r}")
        out = {}
        for name, kind in kinds.items():
            array = Segmented(group / name, images, chains, shapes.get(name, ()), kind, 1)
            length = min(max(SEGMENT_BYTES // array.slab, FEWEST_DRAWS), MOST_DRAWS)
            out[name] = replace(array, length=even(length, self.planned))
        return out


def even(length: int, planned: int | None) -> int:
    """The length of segments, at most `length`, that leaves the least of the last one empty once
    the planned draws are there: a finished run stores no more than its draws."""
    return length if planned is None else -(-planned // -(-planned // length))


class Root(NamedTuple):
    """What a group's root document says: one number of draws for all arrays, and the state."""

    num_draws: int
    serial: int
    complete: bool
    arrays: dict[str, Segmented]
    fixed: dict[str, dict[str, Any]]
    sums: dict[str, int] = {}  # noqa: RUF012  of the state and of the arrays without draws
    behind: int = 0
    """Draws that a sampler without its state makes once more before it adds any."""
    format: int = FORMAT

    @property
    def has_state(self) -> bool:
        """Whether there is a sampler's state."""
        return STATE in self.sums if self.format >= CHECKED else self.serial > 0

    def to_bytes(self) -> bytes:
        """The content of the root zarr.json."""
        docs = {name: array.document(self.num_draws) for name, array in self.arrays.items()}
        inline = {"kind": "inline", "must_understand": False, "metadata": {**docs, **self.fixed}}
        own = {name: getattr(self, name) for name in ("num_draws", "serial", "complete")}
        attributes = {**own, "format": self.format}
        root: dict[str, Any] = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        root["consolidated_metadata"] = inline
        if self.format >= CHECKED:
            attributes |= {"behind": self.behind, "crc32c": self.sums}
            attributes["crc32c"] = {**self.sums, ROOT: _sum_of(root)}
        return json.dumps(root).encode()

    def without_state(self, **changes: Any) -> "Root":
        """The root of a run whose sampler has to make all draws once more."""
        kept = self._replace(complete=False, **changes)
        sums = {name: value for name, value in kept.sums.items() if name != STATE}
        return kept._replace(sums=sums, behind=kept.num_draws)

    def check_new(self, name: str, doc: dict[str, Any]) -> None:
        """Raise ConfigError unless the name of an array without draws is free and its axes fit."""
        dims, shape, allowed = doc["dimension_names"], doc["shape"], "one name per axis, not 'draw'"
        if not name.isidentifier() or name in self.arrays:
            taken = ", ".join(self.arrays)
            raise ConfigError(f"an array cannot be called {name!r}: give a name besides {taken}")
        if len(set(dims)) != len(shape) or len(dims) != len(shape) or "draw" in dims or 0 in shape:
            found = f"shape {tuple(shape)} and dims {tuple(dims)}"
            raise ConfigError(f"{name} has {found}: give {allowed}, no axis empty")
        docs = [array.document(0) for array in self.arrays.values()]
        docs += [other for key, other in self.fixed.items() if key != name]
        pairs = (zip(d["dimension_names"], d["shape"], strict=True) for d in docs)
        sizes = {dim: size for pair in pairs for dim, size in pair}
        own = zip(dims, shape, strict=True)
        if wrong := [f"{d} = {n} (is {sizes[d]})" for d, n in own if sizes.get(d, n) != n]:
            bad = ", ".join(wrong)
            raise ConfigError(f"{name} does not fit the other arrays' axes: {bad}; rename its axis")


def _sum_of(root: dict[str, Any]) -> int:
    return crc32c([json.dumps(root).encode()])


def read_root(folder: Path) -> Root:
    """The committed root of a run's group; StoreError if the store did not write it."""
    path = folder / GROUP / META
    try:
        document = json.loads(path.read_bytes())
        attributes, inline = document["attributes"], document["consolidated_metadata"]
        if type(attributes["format"]) is int and attributes["format"] not in FORMATS:
            raise newer(path, attributes["format"])
        root = _root(folder / GROUP, attributes, inline["metadata"])
        if root.format >= CHECKED:
            own = attributes["crc32c"].pop(ROOT, -1)
            if own != _sum_of(document):
                raise ValueError("its checksum does not match")
        return root
    except UNREADABLE as error:
        raise damaged(path, error) from error


def _root(group: Path, attributes: dict[str, Any], docs: dict[str, Any]) -> Root:
    num_draws, serial = attributes["num_draws"], attributes["serial"]
    complete, found = attributes["complete"], attributes["format"]
    if {type(num_draws), type(serial), type(found)} != {int} or not isinstance(complete, bool):
        raise ValueError("an attribute has the wrong type")
    if found < CHECKED and "crc32c" in attributes:
        raise ValueError(f"it has checksums, and format {found} has none")
    if not 0 <= num_draws <= serial < 1 << 63:
        raise ValueError(f"it has {num_draws} draws and {serial} states")
    if wrong := [name for name in docs if not name.isidentifier()]:
        raise ValueError(f"{wrong[0]!r} is no name of an array")
    arrays, fixed = {}, {}
    for name, doc in docs.items():
        if "draw" not in doc["dimension_names"]:
            fixed[name] = _checked(doc)
            continue
        if not same(doc["shape"][DRAW], num_draws):
            raise ValueError(f"{name} has {doc['shape'][DRAW]} of {num_draws} draws")
        arrays[name] = Segmented.from_document(group / name, doc, found >= CHECKED)
    x, z = arrays["x"], arrays["z"]
    layout = Layout(x.images, x.chains, z.shape, x.shape, getattr(torch, x.dtype))
    checked = {name: replace(array, checked=True) for name, array in arrays.items()}
    if not same_layout(layout.arrays(group, arrays), checked):
        raise ValueError("its arrays do not fit each other")
    sums, behind = _sums(attributes, fixed) if found >= CHECKED else ({}, 0)
    if not 0 <= behind <= num_draws:
        raise ValueError(f"it is {behind} of {num_draws} draws behind")
    return Root(num_draws, serial, complete, arrays, fixed, sums, behind, found)


def _sums(attributes: dict[str, Any], fixed: dict[str, Any]) -> tuple[dict[str, int], int]:
    """The checksums of the state and of the arrays without draws, and how far the state is
    behind."""
    sums = {name: value for name, value in attributes["crc32c"].items() if name != ROOT}
    if sums.keys() - {STATE} != fixed.keys() or {*map(type, sums.values())} - {int}:
        raise ValueError("its checksums are not those of its arrays")
    behind = attributes["behind"]
    if type(behind) is not int:
        raise ValueError("an attribute has the wrong type")
    return sums, behind


def _checked(doc: dict[str, Any]) -> dict[str, Any]:
    """The document of an array without draws; ValueError or the like if the store wrote another."""
    dims, shape = doc["dimension_names"], check_sizes(doc["shape"])
    named = all(isinstance(dim, str) for dim in dims)
    if not named or not same(doc, document(shape, shape, doc["data_type"], dims)):
        raise ValueError(f"unexpected metadata of an array of shape {shape}")
    return doc


def chunk_path(folder: Path, doc: dict[str, Any]) -> Path:
    """File of the only chunk of an array without draws."""
    return folder / ".".join(["c", *("0" for _ in doc["shape"])])


def read_fixed(folder: Path, doc: dict[str, Any], checksum: int | None) -> Tensor:
    """An array without draws, mapped from the disk; changes to it stay in memory."""
    path, dtype, shape = chunk_path(folder, doc), np.dtype(doc["data_type"]), tuple(doc["shape"])
    size, want = path.stat().st_size if path.is_file() else 0, math.prod(shape) * dtype.itemsize
    if size != want:
        raise damaged(path, f"{size} bytes instead of {want}")
    values = np.memmap(path, dtype.newbyteorder("<"), "c", shape=shape)
    check_file(path, [values], checksum)
    return torch.from_numpy(np.asarray(values).astype(dtype, copy=False))


def same_layout(one: dict[str, Segmented], other: dict[str, Segmented]) -> bool:
    """Whether two sets of arrays differ in nothing but the lengths of their segments."""
    plain = [{name: replace(a, length=1) for name, a in d.items()} for d in (one, other)]
    return plain[0] == plain[1]
