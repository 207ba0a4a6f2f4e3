"""The one intake of arrays: whatever holds numbers becomes a plain tensor of its own."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import ConfigError

WIDER = {"uint16": "int32", "uint32": "int64", "uint64": "float64", "float128": "float64"}
"""Types that torch can hold but not compute with, or not hold, and what they become."""


def plain(name: str, value: Any) -> Tensor:
    """The numbers of a tensor, an array of any byte order, strides and type, or a list, as a tensor
    that belongs to no graph; ConfigError for a masked entry and for what holds no numbers."""
    found, observed = with_mask(name, value)
    if observed is not None and not bool(observed.all()):
        count = int((~observed).sum())
        raise ConfigError(
            f"{name} has {count} masked entries: it must be known everywhere, so fill them "
            "(value.filled(...)), and mask y where nothing was measured"
        )
    return found


def with_mask(name: str, value: Any) -> tuple[Tensor, Tensor | None]:
    """`plain`, and for a masked array where it is not masked; masked entries become 0."""
    if isinstance(value, Tensor):
        value = value.detach()
        with torch.inference_mode(False):
            return (value.clone() if value.is_inference() else value), None
    observed = None
    try:
        array = np.asarray(value)
        mask = getattr(value, "mask", None)  # as numpy's and astropy's containers have it
        if isinstance(mask, np.ndarray | np.bool_):
            observed = _tensor(~np.broadcast_to(mask, array.shape))
            array = np.where(mask, np.zeros((), array.dtype), array)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be a tensor or an array of numbers: {error}") from error
    if array.dtype.kind not in "biufc":
        got = f"{type(value).__name__} of {array.dtype}"
        raise ConfigError(f"{name} must be a tensor or an array of numbers, got {got}")
    return _tensor(array), observed


def _tensor(array: np.ndarray) -> Tensor:
    """A copy in the machine's byte order."""
    native = array.dtype.newbyteorder("=")
    dtype = WIDER.get(native.name, native)
    with torch.inference_mode(False):
        return torch.from_numpy(np.array(array, dtype=dtype, order="C"))
