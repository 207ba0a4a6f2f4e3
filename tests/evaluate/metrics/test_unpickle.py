"""The restricted reader: arrays come back as they were, and no pickle makes it run or build
anything else."""

import os
import pickle
import pickletools
import subprocess

import numpy as np
import pytest

from noisewalk.errors import WeightsError
from noisewalk.evaluate.metrics.unpickle import read_arrays


def written(folder, content, protocol=4):
    path = folder / "weights.ckpt"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


class Call:
    """A pickle that calls a function when it is read."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_arrays_come_back_as_they_were(tmp_path):
    for dtype in ("float16", "float32", "float64"):
        values = np.arange(24).reshape(2, 3, 4).astype(dtype)
        bias, empty = np.array(2.5, dtype), np.zeros((0, 3), dtype)
        tree = {"a": {"kernel": values, "bias": bias}, "b": {"c": {"d": values.T}}, "empty": empty}
        expected = {"a/kernel": values, "a/bias": bias, "b/c/d": values.T, "empty": empty}
        # Protocol 2 writes bytes as an encoded text: another function is asked for.
        with pytest.raises(WeightsError, match=r"_codecs\.encode, which is refused"):
            read_arrays(written(tmp_path, tree, 2))
        for protocol in (3, 4):
            got = read_arrays(written(tmp_path, tree, protocol))
            assert got.keys() == expected.keys()
            for key, array in got.items():
                np.testing.assert_array_equal(array, expected[key])
                assert array.dtype == expected[key].dtype
                array += 1  # their own memory, writable


def test_the_file_of_an_older_numpy_is_read(tmp_path):
    content = pickle.dumps({"a": np.ones(2, "float32")}, 3).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )
    assert b"numpy.core.multiarray" in content
    np.testing.assert_array_equal(read_arrays(written(tmp_path, content))["a"], np.ones(2))


def test_a_pickle_bomb_does_not_go_off(tmp_path):
    marker = tmp_path / "ran"
    bombs = [
        Call(os.system, f"touch {marker}"),
        Call(subprocess.check_output, ["touch", str(marker)]),
        Call(eval, f"__import__('pathlib').Path({str(marker)!r}).touch()"),
    ]
    says = r"weights\.ckpt as a pickle of nothing but arrays: it asks for \S+, which is refused"
    for bomb in bombs:
        for protocol in range(6):
            path = written(tmp_path, {"a": np.ones(2), "b": bomb}, protocol)
            pickle.loads(path.read_bytes())
            assert marker.exists()  # it is a bomb
            marker.unlink()
            with pytest.raises(WeightsError, match=says):
                read_arrays(path)
            assert not marker.exists()


def test_numpys_own_functions_are_not_reached(tmp_path):
    path = written(tmp_path, {"a": np.array([{}], object)})
    with pytest.raises(WeightsError, match="'O8'"):
        read_arrays(path)
    for value, asks in (
        (np.float32(1), "scalar"),
        (np.ma.masked_array([1.0]), "_mareconstruct"),
        (np.dtype("f4"), "dtype|_Format"),
    ):
        with pytest.raises(WeightsError, match=asks):
            read_arrays(written(tmp_path, {"a": value}))


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


RECONSTRUCT, NDARRAY = b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n"
PROGRAMS = {
    "sets a function's attributes by its dictionary": (
        RECONSTRUCT + b"}" + text("name") + b"Ns" + b"b",
        "no attribute '__dict__'",
    ),
    "sets a function's attributes one by one": (
        RECONSTRUCT + b"N}" + text("__defaults__") + b")s\x86" + b"b",
        "no attribute '__defaults__'",
    ),
    "makes an instance of a function": (RECONSTRUCT + b")\x81", "must be a (type|class)"),
    "makes an instance of the array class": (NDARRAY + b")\x81", "must be a (type|class)"),
    "calls the array class": (NDARRAY + b")R", "not callable"),
    "makes another kind of array": (RECONSTRUCT + b"NNN\x87R", "another kind than numpy.ndarray"),
    "leaves an array empty": (b"}" + text("a") + RECONSTRUCT + NDARRAY + b"NN\x87Rs", "no content"),
    "fills an array with something else": (
        b"}" + text("a") + RECONSTRUCT + NDARRAY + b"NN\x87R}bs",
        "not as numpy writes one",
    ),
}


def test_the_known_names_can_only_be_used_as_numpy_uses_them(tmp_path):
    for program, says in PROGRAMS.values():
        with pytest.raises(WeightsError, match=says):
            read_arrays(written(tmp_path, b"\x80\x03" + program + b"."))


def test_shape_and_bytes_must_agree(tmp_path):
    content = pickle.dumps({"a": np.ones((2, 3), "float32")}, 3)
    shape = next(
        position
        for opcode, value, position in pickletools.genops(content)
        if opcode.name == "BININT1" and value == 3 and position > 0
    )
    for side in (2, 255):
        changed = content[: shape + 1] + bytes([side]) + content[shape + 2 :]
        with pytest.raises(WeightsError, match="24 bytes, which are no float32 of shape"):
            read_arrays(written(tmp_path, changed))


def test_big_endian_and_whole_numbers_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="little-endian"):
        read_arrays(written(tmp_path, {"a": np.ones(2, ">f4")}))
    with pytest.raises(WeightsError, match="'i8', allowed are f2, f4, f8"):
        read_arrays(written(tmp_path, {"a": np.ones(2, "int64")}))


def test_only_dictionaries_with_texts_as_keys_are_read(tmp_path):
    for tree in ([np.ones(2)], {1: np.ones(2)}, {"a": 3.0}, {"a": {"b": [np.ones(2)]}}, None):
        with pytest.raises(WeightsError, match="it holds a"):
            read_arrays(written(tmp_path, tree))
    endless: dict = {}
    endless["a"] = endless
    with pytest.raises(WeightsError, match="16 dictionaries"):
        read_arrays(written(tmp_path, endless))


def test_damaged_files_are_one_line(tmp_path):
    cut, endless = pickle.dumps({"a": np.ones(9)})[:-20], b"\x80\x04\x95" + 8 * b"\xff" + b"."
    for content in (b"", b"no pickle", b"\x80\x04.", endless, cut):
        with pytest.raises(WeightsError) as caught:
            read_arrays(written(tmp_path, content))
        assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match="nowhere"):
        read_arrays(tmp_path / "nowhere")
