"""Read a pickle that holds nothing but nested dictionaries of numpy arrays.

A pickle is a program that names functions and calls them. The three names that numpy writes for an
array stand here for functions of this file, which only put a shape, a number format and bytes
together. Any other name, format or structure is refused.
"""

import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import WeightsError

FORMATS = ("f2", "f4", "f8")  # little-endian
DEPTH = 16  # dictionaries inside each other, at most


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a pickle of nested dictionaries by their keys, joined by "/"; a file that
    cannot be read, or holds anything else, is a WeightsError."""
    try:
        with path.open("rb") as file:
            return dict(_leaves(_Reader(file).load()))
    except Exception as error:  # unpicklers raise whatever the damaged bytes lead them to
        told = f"cannot read {path} as a pickle of nothing but arrays"
        raise WeightsError(f"{told}: {str(error) or type(error).__name__}") from error


def _leaves(tree: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(tree, _Array):
        yield "/".join(where), tree.values()
        return
    fits = isinstance(tree, dict) and len(where) < DEPTH
    if not fits or not all(isinstance(key, str) for key in tree):
        raise pickle.UnpicklingError(
            f"it holds a {type(tree).__name__} at {'/'.join(where) or 'its top'}, or more than "
            f"{DEPTH} dictionaries in each other"
        )
    for key, value in tree.items():
        yield from _leaves(value, (*where, key))


class _Format:
    """What a pickled `numpy.dtype` becomes."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] != "<":
            raise pickle.UnpicklingError("its numbers are not little-endian")


class _Array:
    """What a pickled `numpy.ndarray` becomes."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        kinds = [int, tuple, _Format, bool, bytes]
        if not isinstance(state, tuple) or [type(item) for item in state] != kinds:
            raise pickle.UnpicklingError("an array in it is not as numpy writes one")
        self.state = state

    def values(self) -> np.ndarray:
        """The array itself."""
        if not self.state:
            raise pickle.UnpicklingError("an array in it has no content")
        _, shape, numbers, fortran, content = self.state
        dtype = np.dtype(f"<{numbers.code}")
        sides = all(type(side) is int and side >= 0 for side in shape)
        if not sides or math.prod(shape) * dtype.itemsize != len(content):
            raise pickle.UnpicklingError(
                f"an array in it has {len(content)} bytes, which are no {dtype} of shape {shape}"
            )
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C").copy()


class _Reconstruct:
    __slots__ = ()  # no attribute can be set: a pickle may try to

    def __call__(self, kind: Any, shape: Any, code: Any) -> _Array:
        if kind is not _NDARRAY:
            raise pickle.UnpicklingError("it makes an array of another kind than numpy.ndarray")
        return _Array()


class _DType:
    __slots__ = ()

    def __call__(self, code: Any, align: Any, copy: Any) -> _Format:
        if code not in FORMATS:
            allowed = ", ".join(FORMATS)
            raise pickle.UnpicklingError(f"its numbers are {code!r}, allowed are {allowed}")
        return _Format(code)


_NDARRAY = object()
_RECONSTRUCT = _Reconstruct()
_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DType(),
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused")
        return _KNOWN[module, name]
