"""What an object says of itself: as text, the call that makes it; as facts, its name with its
fields. A tensor stands as its shape and a hash of its content in both."""

import hashlib
import math
from dataclasses import Field, fields, is_dataclass
from functools import partial
from types import CodeType, MethodType
from typing import Any, TypeVar

PLAIN = (bool, int, float, complex, str)
"""Globals that are part of a function that reads them; arrays are too."""
T = TypeVar("T")


def describe(value: Any, inside: tuple[int, ...] = ()) -> str:
    """One line that identifies a value: tensors, arrays and modules by their shape and the first 8
    hex digits of the SHA-256 of their content, functions by that of their code and of what they
    hold. `inside` are the ids of what holds this value: what holds itself is named once."""
    import torch

    if id(value) in inside:
        return type(value).__qualname__
    inside = (*inside, id(value))
    if isinstance(value, torch.Tensor):
        return f"Tensor{list(value.shape)}#{_digest([value])}"
    if isinstance(value, torch.nn.Module):
        tensors, told = [], repr(value)
        for part in value.state_dict().values():
            if isinstance(part, torch.Tensor):
                tensors.append(part)
            else:
                told += describe(part, inside)
        return f"{type(value).__name__}#{_digest(tensors, told)}"
    if _is_array(value):
        sha = hashlib.sha256(f"{value.dtype}".encode() + value.tobytes())
        return f"array{list(value.shape)}#{sha.hexdigest()[:8]}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(describe(v, inside) for v in value) + "]"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(describe(v, inside) for v in value)) + "}"
    if isinstance(value, dict):
        pairs = (f"{describe(k, inside)}: {describe(v, inside)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, partial):
        return f"partial({describe([value.func, value.args, value.keywords], inside)[1:-1]})"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    named = callable(value) and hasattr(value, "__qualname__")
    if named or type(value).__repr__ is object.__repr__:
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return f"{getattr(value, '__module__', '')}.{name}{_held(value, inside)}"
    return repr(value)


def facts_of(value: Any) -> Any:
    """What a value is, ready for JSON: a dataclass becomes its name with its fields, plain numbers,
    words and lists stay what they are, and `describe` tells anything else."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [facts_of(item) for item in value]
    if isinstance(value, dict):
        return {str(key): facts_of(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        shown = {f.name: facts_of(getattr(value, f.name)) for f in shown_fields(value)}
        return {"name": None, **shown} | {"name": name_of(type(value))}
    return describe(value)


def shown_fields(value: Any) -> list[Field[Any]]:
    """The fields that say what an object is: one marked `quiet` only where it is not usual."""
    return [
        f
        for f in fields(value)
        if f.repr and not (f.metadata.get("quiet") and getattr(value, f.name) == f.default)
    ]


def name_of(cls: type) -> str:
    """The name of a class in facts: plain for ours, with its module for anybody else's."""
    ours = cls.__module__.split(".")[0] == "noisewalk"
    return cls.__qualname__ if ours else f"{cls.__module__}.{cls.__qualname__}"


def readable(cls: type[T]) -> type[T]:
    """Class decorator: a dataclass made with `repr=False` prints its fields as `describe` does."""

    def __repr__(self: Any) -> str:  # noqa: N807
        parts = (f"{f.name}={describe(getattr(self, f.name))}" for f in shown_fields(self))
        return f"{type(self).__name__}({', '.join(parts)})"

    cls.__repr__ = __repr__  # type: ignore[method-assign, assignment]
    return cls


def _held(value: Any, inside: tuple[int, ...]) -> str:
    """The hash of what tells a function or an instance from another of the same name: its code,
    what it closes over, its attributes; what it calls is known by name alone."""
    held = [
        *(cell.cell_contents for cell in getattr(value, "__closure__", None) or ()),
        *(getattr(value, "__defaults__", None) or ()),
        *getattr(value, "__dict__", {}).values(),
        *([value.__self__] if isinstance(value, MethodType) else []),
    ]
    code = getattr(value, "__code__", None)
    if code is None and not held:
        return ""
    sha = hashlib.sha256(b"" if code is None else _code(code))
    names = getattr(value, "__globals__", {})
    read = (names[name] for name in getattr(code, "co_names", ()) if name in names)
    for item in [*held, *(v for v in read if isinstance(v, PLAIN) or _is_array(v))]:
        sha.update(describe(item, inside).encode())
    return f"#{sha.hexdigest()[:8]}"


def _is_array(value: Any) -> bool:
    """Whether a value is a numpy array of numbers, without the import."""
    array = hasattr(value, "__array_interface__") and getattr(value, "ndim", 0) > 0
    return array and value.dtype.kind != "O"


def _code(code: CodeType) -> bytes:
    """What a function does, functions inside it included: instructions, names and constants."""
    inside = [c for c in code.co_consts if isinstance(c, CodeType)]
    constants = [c for c in code.co_consts if not isinstance(c, CodeType)]
    plain = repr([describe(c) if isinstance(c, frozenset) else c for c in constants])
    names = repr(code.co_names) + plain
    return code.co_code + names.encode() + b"".join(map(_code, inside))


def _digest(tensors: list[Any], text: str = "") -> str:
    import torch

    sha = hashlib.sha256(text.encode())
    for tensor in tensors:
        sha.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        for part in _parts(tensor.detach().cpu()):
            plain = part.resolve_conj().resolve_neg().contiguous()
            sha.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:8]


def _parts(tensor: Any) -> list[Any]:
    """A tensor, or what a sparse one holds: as a dense one it may fit no memory."""
    import torch

    if tensor.layout == torch.strided:
        return [tensor]
    held = tensor.to_sparse_coo().coalesce()
    return [held.indices(), held.values()]
