"""Stored draws that index like a tensor: an index is narrowed to the bytes that it needs, only
those are read from the mapped segments (`segments.py`), and torch applies what remains of it. The
checksum of a draw is compared when it is read for the first time."""

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from ..errors import StoreError
from .checksum import crc32c, flipped, read_sums
from .segments import CHAIN, DRAW, Segmented

Item = int | slice | Tensor | None


class LazyDraws:
    """The committed draws of one array, (image, chain, draw, ...); `more` are those of further
    chains, in arrays of their own."""

    def __init__(self, array: Segmented, num_draws: int, more: Sequence["LazyDraws"] = ()) -> None:
        self._array, self._more = array, more
        chains = array.chains + sum(other.shape[CHAIN] for other in more)
        self.shape: torch.Size = torch.Size((array.images, chains, num_draws, *array.shape))
        self.dtype: torch.dtype = getattr(torch, array.dtype)
        self.ndim = len(self.shape)
        self._good = np.zeros(num_draws if array.checked else 0, bool)  # draws found undamaged
        self._sums: np.ndarray | None = None

    def __repr__(self) -> str:
        name = self._array.folder.name
        return f"LazyDraws({name!r}, shape={tuple(self.shape)}, dtype={self.dtype})"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Tensor:
        spans: list[range | list[int]] = []
        rest: list[Item] = []
        for item in _expand(index, self.shape):
            if item is not None:
                span, item = _narrow(item, self.shape[len(spans)], len(spans))
                spans.append(span)
            rest.append(item)
        return self._read(spans)[tuple(rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("stored draws cannot be an array without a copy")
        return self[...].numpy().astype(dtype or self._array.dtype, copy=False)

    def _read(self, spans: list[range | list[int]]) -> Tensor:
        if not self._more:
            return self._own(spans)
        asked, first, parts = spans[CHAIN], 0, []  # of chains a range, as `_narrow` makes it
        step = asked.step if isinstance(asked, range) else 1
        for draws in (self, *self._more):
            inside = [c - first for c in asked if first <= c < first + draws._array.chains]
            own = range(inside[0], inside[-1] + 1, step) if inside else range(0)
            parts.append(draws._own([spans[0], own, *spans[DRAW:]]))
            first += draws._array.chains
        return torch.cat(parts, CHAIN)

    def _own(self, spans: list[range | list[int]]) -> Tensor:
        array = self._array
        out = torch.empty([len(s) for s in spans], dtype=self.dtype)
        draws = np.asarray(spans[DRAW], dtype=np.int64)
        cuts = np.flatnonzero(np.diff(draws // array.length)) + 1
        others = [slice(s.start, s.stop, s.step) if isinstance(s, range) else s for s in spans]
        for places in np.split(np.arange(len(draws)), cuts):
            if not out.numel():
                break
            segment, first = divmod(int(draws[places[0]]), array.length)
            local = draws[places] - segment * array.length
            together = local[-1] - first == len(local) - 1
            others[DRAW] = slice(first, first + len(local)) if together else local.tolist()
            try:
                shape = (array.length, array.images, array.chains, *array.shape)
                stored = np.dtype(array.dtype).newbyteorder("<")
                chunk = np.memmap(array.path(segment), stored, "r", shape=shape)
            except (OSError, ValueError) as error:
                raise StoreError(f"cannot read {array.path(segment)}: {error}") from error
            self._check(chunk, segment * array.length, local.tolist())
            values = np.moveaxis(chunk, 0, DRAW)[tuple(others)]
            out.numpy()[:, :, places[0] : places[-1] + 1] = values
        return out

    def _check(self, chunk: np.ndarray, first: int, places: list[int]) -> None:
        """StoreError unless the draws at these places of a segment are as they were written."""
        array = self._array
        for place in places if array.checked else ():
            draw = first + place
            if self._good[draw]:
                continue
            if self._sums is None:
                self._sums = read_sums(array.sums, len(self._good))
            if crc32c([chunk[place]]) != self._sums[draw]:
                raise flipped(array.path(draw // array.length), array.folder.name, draw)
            self._good[draw] = True


def _expand(index: Any, shape: torch.Size) -> list[Item]:
    """One item per axis (None: a new axis); masks become index tensors, the ellipsis slices."""
    items = [_item(i) for i in (index if isinstance(index, tuple) else (index,))]
    _ = torch.zeros((), dtype=torch.bool).expand(shape)[tuple(items)]  # torch checks the index
    width = [i.ndim if _is_mask(i) else int(i is not None and i is not Ellipsis) for i in items]
    rest = [] if any(i is Ellipsis for i in items) else [Ellipsis]
    out: list[Item] = []
    for item in [*items, *rest]:
        if isinstance(item, EllipsisType):
            out.extend([slice(None)] * (len(shape) - sum(width)))
        elif _is_mask(item):
            out.extend(item.nonzero(as_tuple=True))
        else:
            out.append(item)
    return out


def _item(item: Any) -> Item | EllipsisType:
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    values = torch.as_tensor(item).cpu()
    real = values.dtype.is_floating_point or values.dtype.is_complex
    if (real and values.numel()) or (values.dtype == torch.bool and values.ndim == 0):
        raise IndexError(f"indices are integers, slices, masks, ... or None; got {item!r}")
    if values.dtype == torch.bool:
        return values
    return values.long() if values.ndim else int(values)


def _is_mask(item: Any) -> TypeGuard[Tensor]:
    return isinstance(item, Tensor) and item.dtype == torch.bool


def _narrow(item: int | slice | Tensor, size: int, axis: int) -> tuple[range | list[int], Item]:
    """What to read along an axis, and the index that remains for what was read."""
    if isinstance(item, slice):
        return range(*item.indices(size)), slice(None)
    if isinstance(item, int):
        return range(item % size, item % size + 1), 0
    values = item % max(size, 1)
    if axis != DRAW:
        return range(size), values
    unique, inverse = torch.unique(values, return_inverse=True)
    return unique.tolist(), inverse
