"""A sampler's state as bytes: nested dicts, lists and tuples of tensors, numbers, strings and None,
bit by bit and without pickle.

Tensors go into a safetensors file, the rest is JSON in its metadata, with floats as hexadecimal
digits of their 64 bits. The file is put together here: the safetensors package would copy every
tensor twice, or write under a temporary name of its own and hide that the disk is full. It is read
at once, since a writer may remove it at any moment.
"""

import json
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError
from .checksum import check_file
from .damage import UNREADABLE, damaged
from .segments import to_bytes

_FLOATS = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_INTEGERS = {torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"}
_OTHERS = {torch.uint8: "U8", torch.bool: "BOOL", torch.complex64: "C64"}
_KINDS = {**_FLOATS, **_INTEGERS, **_OTHERS}


def encode(state: dict[str, Any]) -> list[bytes | memoryview]:
    """The parts of a safetensors file, on the tensors' own memory; ConfigError for other values."""
    tensors: list[Tensor] = []
    header: dict[str, Any] = {"__metadata__": {"state": json.dumps(_pack(state, "state", tensors))}}
    parts: list[bytes | memoryview] = []
    end = 0
    largest_first = sorted(enumerate(tensors), key=lambda item: -item[1].itemsize)
    for name, tensor in largest_first:  # so that each lies at a multiple of its item size
        data = to_bytes(tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor)
        kind, shape, span = _KINDS[tensor.dtype], list(tensor.shape), [end, end + len(data)]
        header[str(name)] = {"dtype": kind, "shape": shape, "data_offsets": span}
        parts, end = [*parts, data], span[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return [struct.pack("<Q", len(text)), text, *parts]


def decode(path: Path, checksum: int | None = None) -> dict[str, Any]:
    """The inverse of `encode`, on the CPU; StoreError if the file is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise damaged(path, "there is no such file") from error
    check_file(path, [raw], checksum)
    try:
        (size,) = struct.unpack_from("<Q", raw)
        packed = json.loads(raw[8 : 8 + size])["__metadata__"]["state"]
        state = _unpack(json.loads(packed), load(raw))
        if not isinstance(state, dict):
            raise ValueError(f"its state is a {type(state).__name__}")
        return state
    except (SafetensorError, struct.error, *UNREADABLE) as error:
        raise damaged(path, error) from error


def _pack(value: Any, where: str, tensors: list[Tensor]) -> Any:
    if isinstance(value, Tensor):
        if value.dtype not in _KINDS or value.layout != torch.strided:
            kinds = ", ".join(_KINDS.values())
            raise ConfigError(
                f"{where} is a {value.dtype} tensor; allowed are dense ones of {kinds}"
            )
        tensors.append(value.detach())
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(value, float):
        return {"float": struct.pack(">d", value).hex()}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        items = {key: _pack(item, f"{where}[{key!r}]", tensors) for key, item in value.items()}
        return {"dict": items}
    if isinstance(value, list | tuple):
        entries = [_pack(item, f"{where}[{i}]", tensors) for i, item in enumerate(value)]
        return entries if isinstance(value, list) else {"tuple": entries}
    allowed = "tensors, int, float, str, bool, None and dicts (by str), lists and tuples of such"
    raise ConfigError(f"{where} is {value!r}; a state holds {allowed}")


def _unpack(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_unpack(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "float":
        return struct.unpack(">d", bytes.fromhex(content))[0]
    if kind == "tuple":
        return tuple(_unpack(item, tensors) for item in content)
    if kind == "dict":
        return {key: _unpack(item, tensors) for key, item in content.items()}
    raise ValueError(f"unknown kind {kind!r}")
