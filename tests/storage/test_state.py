import json
import math
import struct
from types import SimpleNamespace

import pytest
import torch
from run_edits import deep, refused
from safetensors.torch import load_file

from noisewalk.errors import ConfigError, StoreError
from noisewalk.storage.state import decode, encode

FLOATS = [
    0.1,
    -0.0,
    5e-324,
    1.7976931348623157e308,
    math.inf,
    -math.inf,
    math.nan,
    struct.unpack("<d", b"\x01\x00\x00\x00\x00\x00\xf4\xff")[0],
]
DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.complex64,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
]


def write(path, state):
    path.write_bytes(b"".join(encode(state)))
    return path


def test_floats_come_back_bit_by_bit(tmp_path):
    back = decode(write(tmp_path / "s", {"floats": FLOATS}))["floats"]
    assert [struct.pack("<d", v) for v in back] == [struct.pack("<d", v) for v in FLOATS]


def test_tensors_come_back_bit_by_bit_whatever_their_layout(tmp_path):
    for dtype in (*DTYPES, torch.bool):
        base = torch.arange(12).reshape(3, 4).to(dtype)
        tensors = [base, base.T, base[1:, ::2], base[0, 0], base[:0]]
        state = {"odd": torch.ones(3, dtype=torch.uint8), "tensors": tensors}
        back = decode(write(tmp_path / "s", state))["tensors"]
        for got, want in zip(back, tensors, strict=True):
            assert got.dtype == want.dtype
            assert got.shape == want.shape
            assert torch.equal(got, want)


def test_special_values_of_tensors_come_back_bit_by_bit(tmp_path):
    values = torch.tensor(FLOATS, dtype=torch.float64)
    back = decode(write(tmp_path / "s", {"v": values}))["v"]
    assert torch.equal(back.view(torch.int64), values.view(torch.int64))


def test_structure_and_types_come_back(tmp_path):
    state = {
        "a": {},
        "b": [1, True, None, "é\n", 2**70, -3],
        "c": ({"tensor": "no", "float": 1.0}, []),
        "dict": {"dict": (1.5,)},
    }
    back = decode(write(tmp_path / "s", state))
    assert back == state
    assert repr(back) == repr(state)  # equality takes True for 1


def test_a_saved_state_does_not_follow_the_file(tmp_path):
    path = write(tmp_path / "s", {"v": torch.ones(3)})
    back = decode(path)["v"]
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(back, torch.ones(3))


def test_the_safetensors_package_reads_the_file(tmp_path):
    path = write(
        tmp_path / "s",
        {
            "flag": torch.ones(1, dtype=torch.bool),
            "v": torch.arange(3.0),
            "w": torch.ones(2, dtype=torch.float64),
        },
    )
    assert torch.equal(load_file(path)["1"], torch.arange(3.0))


def test_other_values_are_refused_by_name():
    tensors = [torch.zeros(1, dtype=torch.complex128), torch.zeros(2).to_sparse()]
    for value in (object(), {1, 2}, 1j, {1: 2}, *tensors, SimpleNamespace(a=1)):
        with pytest.raises(ConfigError, match=r"state\['deep'\]\[0\]"):
            encode({"deep": [value]})


def test_a_damaged_file_is_named(tmp_path):
    path = write(tmp_path / "s", {"v": torch.ones(300)})
    content = path.read_bytes()
    for damaged in (b"", content[:20], content[:-1], content.replace(b"dict", b"tcid")):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="damaged"):
            decode(path)
    with pytest.raises(StoreError, match="there is no such file"):
        decode(tmp_path / "absent")


def test_every_strange_state_is_one_line(small_run):
    path = next(small_run.glob("state-*"))
    whole = path.read_bytes()

    def header(text):
        return struct.pack("<Q", len(text)) + text

    def told(state):
        return header(json.dumps({"__metadata__": {"state": state}}).encode())

    contents = [
        b"",
        b"\xff" * 7,
        b"\xff" * 8,
        whole[:-1],
        whole[:20],
        header(b"\xff"),
        header(b"[]"),
    ]
    contents += [header(b"{}"), header(b'{"__metadata__": 3}'), header(deep(100_000).encode())]
    states = [3, None, "", "{", "[]", "3", "null", '{"tensor": "9"}', '{"tensor": ["0"]}']
    states += ['{"dict": 3}', '{"dict": []}', '{"tuple": 3}', '{"float": 1}', '{"float": "00"}']
    states += ['{"what": 1}', '{"a": 1, "b": 2}', '{"dict": {"n": {"tuple": []', deep(900)]
    states += ['{"dict": {"a": ' * 2000 + "1" + "}}" * 2000, deep(100_000), "\ud800"]
    for raw in [*contents, *map(told, states)]:
        path.write_bytes(raw)
        refused(small_run, path.name)
        with pytest.raises(StoreError, match=path.name):
            decode(path)
    path.write_bytes(b"".join(encode({"n": 1})))
    assert decode(path) == {"n": 1}
    path.unlink()
    refused(small_run, path.name)
    path.mkdir()
    refused(small_run, "")
