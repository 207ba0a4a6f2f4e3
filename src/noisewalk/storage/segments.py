"""Arrays of draws as zarr format 3 chunks ("segments") that are written in place, draw by draw.

An array has the axes (image, chain, draw, *shape). One chunk spans all images, all chains and S
draws, uncompressed, and zarr's `transpose` codec makes the draw the outermost axis of its bytes.
With b bytes per draw, draw n is the bytes [(n mod S) b, (n mod S) b + b) of segment floor(n / S).
Writing a draw is one `pwrite` into a sparse file. The length of the draw axis in the metadata alone
says what is committed: bytes beyond it are never read. Bytes [4 n, 4 n + 4) of the file `crc32c`
beside the segments are the checksum of draw n.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from .checksum import BYTES, crc32c, read_sums
from .damage import damaged

Sizes = Sequence[int]
CHAIN, DRAW = 1, 2
AXES = ("image", "chain", "draw")
_FLOATS = ("float16", "float32", "float64", "complex64", "complex128")
DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", *_FLOATS)  # zarr's, numpy's, torch's


@dataclass(frozen=True)
class Segmented:
    """One array of draws: its folder (named like it), N, C, one row's shape, dtype, and S."""

    folder: Path
    images: int
    chains: int
    shape: tuple[int, ...]
    dtype: str
    length: int
    checked: bool = True  # whether its draws have checksums: format 3

    @property
    def sums(self) -> Path:
        """File of the draws' checksums."""
        return self.folder / "crc32c"

    @property
    def slab(self) -> int:
        """Bytes of one draw (b)."""
        return self.images * self.chains * math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def path(self, segment: int) -> Path:
        """File of a segment."""
        return self.folder / ".".join(["c", "0", "0", str(segment), *("0" for _ in self.shape)])

    def document(self, num_draws: int) -> dict[str, Any]:
        """The array's zarr.json with `num_draws` on its draw axis."""
        dims = [*AXES, *(f"{self.folder.name}_{i}" for i in range(len(self.shape)))]
        order = [DRAW, 0, 1, *range(3, len(dims))]
        full = (self.images, self.chains, num_draws, *self.shape)
        chunk = (self.images, self.chains, self.length, *self.shape)
        return document(full, chunk, self.dtype, dims, order)

    @classmethod
    def from_document(cls, folder: Path, doc: dict[str, Any], checked: bool = True) -> "Segmented":
        """The inverse of `document`; ValueError or the like if `doc` is none of ours."""
        chunk = check_sizes(doc["chunk_grid"]["configuration"]["chunk_shape"])
        images, chains, length, *shape = chunk
        array = cls(folder, images, chains, tuple(shape), doc["data_type"], length, checked)
        if not same(doc, array.document(doc["shape"][DRAW])):
            raise ValueError(f"unexpected metadata of array {folder.name}")
        return array

    def verify(self, num_draws: int) -> None:
        """Raise StoreError unless every segment of the first `num_draws` draws is there in full,
        with their checksums."""
        if self.checked:
            read_sums(self.sums, num_draws)
        for segment in range(-(-num_draws // self.length)):
            path, want = self.path(segment), self.length * self.slab
            size = path.stat().st_size if path.is_file() else 0
            if size != want:
                raise damaged(path, f"{size} bytes instead of {want}")


def document(
    shape: Sizes, chunk: Sizes, dtype: str, dims: Sequence[str], order: Sizes | None = None
) -> dict[str, Any]:
    """The zarr.json of an array; `order` is that of the axes in a chunk's bytes."""
    if dtype not in DTYPES:
        raise ValueError(f"a store holds no {dtype}")
    kind, size = np.dtype(dtype).kind, np.dtype(dtype).itemsize
    endian = {"configuration": {"endian": "little"}} if size > 1 else {}
    turned = [] if order is None else [{"name": "transpose", "configuration": {"order": order}}]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": {"b": False, "f": "NaN", "c": [0.0, 0.0]}.get(kind, 0),
        "codecs": [*turned, {"name": "bytes", **endian}],
        "attributes": {},
        "dimension_names": list(dims),
        "storage_transformers": [],
    }


def check_sizes(shape: list[int]) -> list[int]:
    """The lengths of an array's axes; ValueError unless its bytes could be counted."""
    if not all(type(size) is int and size > 0 for size in shape) or math.prod(shape) >= 1 << 58:
        raise ValueError(f"{shape} is no shape of an array")
    return shape


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON, where true is not 1 and 1.0 is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def dtype_name(dtype: torch.dtype) -> str:
    """Name of a torch dtype in a store; ConfigError if zarr has none for it."""
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ConfigError(f"a store cannot hold {name}; convert it to one of {', '.join(DTYPES)}")
    return name


def to_bytes(tensor: Tensor) -> memoryview:
    """A tensor's values in C order, little-endian."""
    values = tensor.detach().cpu().contiguous().numpy()
    return values.astype(values.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8).data


class SegmentWriter:
    """Writes the draws of one array, holding the current segment's file open."""

    def __init__(self, array: Segmented) -> None:
        self.array, self._segment, self._fd, self._sums = array, -1, -1, -1

    def write(self, draw: int, values: Tensor) -> None:
        """Write (images * chains, *shape) values, whose image-major rows are (image, chain)."""
        array = self.array
        segment, place = divmod(draw, array.length)
        if segment != self._segment:
            self.close()
            self._fd = os.open(array.path(segment), os.O_RDWR | os.O_CREAT, 0o666)
            self._sums = os.open(array.sums, os.O_RDWR | os.O_CREAT, 0o666)
            os.ftruncate(self._fd, array.length * array.slab)
            self._segment = segment
        data = to_bytes(values)
        _write(self._fd, data, place * array.slab)
        _write(self._sums, memoryview(crc32c([data]).to_bytes(BYTES, "little")), BYTES * draw)

    def close(self) -> None:
        """Close the files."""
        open_files, self._fd, self._sums, self._segment = (self._fd, self._sums), -1, -1, -1
        for fd in open_files:
            if fd >= 0:
                os.close(fd)


def _write(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
