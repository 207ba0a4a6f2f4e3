r"""Arrays of draws as zarr format 3 chunks ("segments") that are written in place, draw by draw.

An array has the axes (image, chain, draw, *shape). One chunk spans all images, all chains and S
draws, is not compressed, and is transposed by zarr's `transpose` codec so that the draw is the
outermost axis of its bytes: with b bytes per draw, draw n is
$$[\,(n \bmod S)\, b,\ (n \bmod S)\, b + b) \quad \text{of the file of segment } \lfloor n / S \rfloor .$$
Writing a draw is one `pwrite` into a sparse file; nothing is rewritten, and n draws leave n / S
files. What is committed is said by the length of the draw axis in the metadata alone: bytes beyond
it are never read.
"""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError, StoreError

DRAW = 2
AXES = ("image", "chain", "draw")
DTYPES = (
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)


@dataclass(frozen=True)
class Segmented:
    """One array of draws in a folder.

    Arguments:
        folder: of the array, in the zarr group; its last part is the array's name.
        images: N.
        chains: C.
        shape: of one row of one draw.
        dtype: one of `DTYPES`, zarr's, numpy's and torch's name alike.
        length: S, draws per segment.
    """

    folder: Path
    images: int
    chains: int
    shape: tuple[int, ...]
    dtype: str
    length: int

    @property
    def numpy_dtype(self) -> np.dtype:
        """Little-endian dtype of the bytes on disk."""
        return np.dtype(self.dtype).newbyteorder("<")

    @property
    def slab(self) -> int:
        """Bytes of one draw (b)."""
        return self.images * self.chains * math.prod(self.shape) * self.numpy_dtype.itemsize

    def path(self, segment: int) -> Path:
        """File of a segment."""
        return self.folder / ".".join(["c", "0", "0", str(segment), *("0" for _ in self.shape)])

    def document(self, num_draws: int) -> dict[str, Any]:
        """The array's zarr.json with `num_draws` on its draw axis."""
        name, ndim = self.folder.name, 3 + len(self.shape)
        dims = [*AXES, *(f"{name}_{i}" for i in range(len(self.shape)))]
        order = [DRAW, 0, 1, *range(3, ndim)]
        full = (self.images, self.chains, num_draws, *self.shape)
        return document(
            full, (self.images, self.chains, self.length, *self.shape), self.dtype, dims, order
        )

    @classmethod
    def from_document(cls, folder: Path, doc: dict[str, Any]) -> "Segmented":
        """The inverse of `document`; KeyError, ValueError or TypeError if `doc` is none of ours."""
        images, chains, length, *shape = doc["chunk_grid"]["configuration"]["chunk_shape"]
        array = cls(folder, images, chains, tuple(shape), doc["data_type"], length)
        if array.dtype not in DTYPES or doc != array.document(doc["shape"][DRAW]):
            raise ValueError(f"unexpected metadata of array {folder.name}")
        return array

    def verify(self, num_draws: int) -> None:
        """Raise StoreError unless every segment of the first `num_draws` draws is there in full
        size."""
        for segment in range(-(-num_draws // self.length)):
            path = self.path(segment)
            size = path.stat().st_size if path.is_file() else 0
            if size != self.length * self.slab:
                raise StoreError(
                    f"{path} is damaged: {size} bytes instead of {self.length * self.slab}; "
                    "restore it from a copy or start another run"
                )


def document(
    shape: Sequence[int],
    chunk: Sequence[int],
    dtype: str,
    dims: Sequence[str],
    order: Sequence[int] | None = None,
) -> dict[str, Any]:
    """A zarr format 3 array document.

    Arguments:
        shape: of the array.
        chunk: shape of one chunk.
        dtype: one of `DTYPES`.
        dims: names of the axes.
        order: of the axes in a chunk's bytes, outermost first; None: as they are.

    Returns:
        The content of the array's zarr.json.
    """
    little = (
        {"name": "bytes"}
        if dtype in ("bool", "uint8", "int8")
        else {"name": "bytes", "configuration": {"endian": "little"}}
    )
    turned = (
        [] if order is None else [{"name": "transpose", "configuration": {"order": list(order)}}]
    )
    fill: Any = (
        False
        if dtype == "bool"
        else "NaN"
        if dtype.startswith("float")
        else [0.0, 0.0]
        if dtype.startswith("complex")
        else 0
    )
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": fill,
        "codecs": [*turned, little],
        "attributes": {},
        "dimension_names": list(dims),
        "storage_transformers": [],
    }


def dtype_name(dtype: torch.dtype) -> str:
    """Name of a torch dtype in a store; ConfigError if zarr has none for it."""
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ConfigError(
            f"a store cannot hold {name}; allowed: {', '.join(DTYPES)}; convert it first"
        )
    return name


def write_file(path: Path, parts: Iterable[bytes | memoryview], durable: bool) -> None:
    """Write a whole file so that its name has the old or the new content at any moment."""
    temporary = path.with_name(f"{path.name}.tmp")
    with open(temporary, "wb") as file:
        file.writelines(parts)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the folder's names are on the disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def to_bytes(tensor: Tensor) -> memoryview:
    """A tensor's values in C order, little-endian."""
    values = tensor.detach().cpu().contiguous().numpy()
    return values.astype(values.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8).data


class SegmentWriter:
    """Writes the draws of one array, holding the current segment's file open.

    Arguments:
        array: where to.
        durable: wait for the disk after each draw.
    """

    def __init__(self, array: Segmented, durable: bool = False) -> None:
        self.array = array
        self._durable = durable
        self._segment = -1
        self._fd = -1

    def write(self, draw: int, values: Tensor) -> None:
        """Write (images * chains, *shape) values at a place; image-major rows are the bytes of
        (image, chain)."""
        array = self.array
        segment, place = divmod(draw, array.length)
        if segment != self._segment:
            self._open(segment)
        data, offset = to_bytes(values), place * array.slab
        while data:
            written = os.pwrite(self._fd, data, offset)
            data, offset = data[written:], offset + written
        if self._durable:
            os.fsync(self._fd)

    def _open(self, segment: int) -> None:
        self.close()
        self._fd = os.open(self.array.path(segment), os.O_RDWR | os.O_CREAT, 0o666)
        os.ftruncate(self._fd, self.array.length * self.array.slab)
        if self._durable:
            sync_folder(self.array.folder)
        self._segment = segment

    def close(self) -> None:
        """Close the segment's file."""
        fd, self._fd, self._segment = self._fd, -1, -1
        if fd >= 0:
            os.close(fd)
