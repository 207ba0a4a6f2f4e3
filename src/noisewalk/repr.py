"""Readable representations: an object prints as the call that makes it, a tensor as its shape and a hash of its content."""

import hashlib
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


def describe(value: Any) -> str:
    """One line that identifies a value.

    Arguments:
        value: anything that a map, operator, likelihood or kernel is made of.

    Returns:
        The text; tensors and modules by shape and the first 8 hex digits of the SHA-256 of their content.
    """
    import torch

    if isinstance(value, torch.Tensor):
        return f"Tensor{list(value.shape)}#{_digest([value])}"
    if isinstance(value, torch.nn.Module):
        return f"{type(value).__name__}#{_digest(list(value.state_dict().values()))}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(describe(v) for v in value) + "]"
    if type(value).__repr__ is object.__repr__ or (callable(value) and hasattr(value, "__qualname__")):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return repr(value)


def readable(cls: type[T]) -> type[T]:
    """Class decorator: give a dataclass a `__repr__` made of `describe` on its fields.

    Arguments:
        cls: a dataclass made with `repr=False`.

    Returns:
        The same class.
    """

    def __repr__(self: Any) -> str:  # noqa: N807
        parts = (f"{f.name}={describe(getattr(self, f.name))}" for f in fields(self) if f.repr)
        return f"{type(self).__name__}({', '.join(parts)})"

    cls.__repr__ = __repr__  # type: ignore[method-assign, assignment]
    return cls


def _digest(tensors: list[Any]) -> str:
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()[:8]
