"""Arrays without draws, such as the measurement: stored once, beside the draws, in one chunk."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from .faults import damaged
from .segments import check_sizes, document, same


def check_document(doc: dict[str, Any]) -> dict[str, Any]:
    """The document of a stored array; ValueError or the like if the store did not write it."""
    dims, shape = doc["dimension_names"], check_sizes(doc["shape"])
    named = all(isinstance(dim, str) for dim in dims)
    if not named or not same(doc, document(shape, shape, doc["data_type"], dims)):
        raise ValueError(f"unexpected metadata of an array of shape {shape}")
    return doc


def check_new(
    name: str, doc: dict[str, Any], taken: Collection[str], sizes: Mapping[str, int]
) -> None:
    """Raise ConfigError unless a new array's name is free and its axes fit those of the others."""
    dims, shape = doc["dimension_names"], doc["shape"]
    if not name.isidentifier() or name in taken:
        others = ", ".join(taken)
        raise ConfigError(f"an array cannot be called {name!r}: give a plain name besides {others}")
    if len(set(dims)) != len(shape) or len(dims) != len(shape) or "draw" in dims or 0 in shape:
        raise ConfigError(
            f"{name} of shape {tuple(shape)} has dims {tuple(dims)}: give one name per axis, "
            "none of them 'draw', no axis empty"
        )
    pairs = zip(dims, shape, strict=True)
    if wrong := [f"{d} = {n} (is {sizes[d]})" for d, n in pairs if sizes.get(d, n) != n]:
        bad = ", ".join(wrong)
        raise ConfigError(f"{name} does not fit the other arrays' axes: {bad}; rename its axis")


def chunk_path(folder: Path, doc: dict[str, Any]) -> Path:
    """File of a fixed array's only chunk."""
    return folder / ".".join(["c", *("0" for _ in doc["shape"])])


def read_fixed(folder: Path, doc: dict[str, Any]) -> Tensor:
    """The array, mapped from the disk; changes to it stay in memory."""
    path, dtype, shape = chunk_path(folder, doc), np.dtype(doc["data_type"]), tuple(doc["shape"])
    size, want = path.stat().st_size if path.is_file() else 0, math.prod(shape) * dtype.itemsize
    if size != want:
        raise damaged(path, f"{size} bytes instead of {want}")
    values = np.memmap(path, dtype.newbyteorder("<"), "c", shape=shape)
    return torch.from_numpy(np.asarray(values).astype(dtype, copy=False))
