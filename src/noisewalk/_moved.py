"""A copy of any object whose tensors are on another device or of another type.

It is a deep copy in which every tensor is moved instead. What has to be moved is found by the copy
itself, so that maps, operators and likelihoods of any class can be moved. A tensor that a function
closes over stays where it is.
"""

from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

T = TypeVar("T")
COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


def moved(value: T, device: torch.device | None, dtype: torch.dtype | None) -> T:
    """The copy; None keeps a device, or every type. The type is of what is in single or double
    precision, complex too: what is in half precision, as networks may be, stays so."""
    with _Moving(device, dtype):
        return deepcopy(value)


class _Moving(TorchFunctionMode):
    """A tensor's copy is the tensor itself, elsewhere."""

    def __init__(self, device: torch.device | None, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.device, self.dtype = device, dtype

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.__deepcopy__:
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = self._to(tensor)
            return memo[id(tensor)]
        if func is Tensor.clone:  # of a parameter, which copies itself
            return self._to(args[0])
        return func(*args, **(kwargs or {}))

    def _to(self, tensor: Tensor) -> Tensor:
        dtype = None
        if self.dtype is not None and tensor.dtype in COMPLEX:
            dtype = self.dtype
        elif self.dtype is not None and tensor.dtype in COMPLEX.values():
            dtype = COMPLEX[self.dtype]
        return tensor.detach().to(device=self.device, dtype=dtype)
