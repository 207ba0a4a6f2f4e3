"""PyTorch's files: what is damaged, exchanged or holds code is refused by name, and nothing of it
runs."""

import hashlib
import os

import pytest
import torch

from noisewalk._pickled import load_pickled
from noisewalk.errors import WeightsError


class Bomb:
    def __reduce__(self):
        return os.mkdir, (self.path,)

    def __init__(self, path):
        self.path = path


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_come_back(tmp_path, zipped):
    path = tmp_path / "w.pt"
    torch.save({"a": torch.arange(3.0)}, path, _use_new_zipfile_serialization=zipped)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for found in (load_pickled(path), load_pickled(path, digest.upper())):
        assert torch.equal(found["a"], torch.arange(3.0))


def test_another_file_than_the_hash_says_is_refused(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(WeightsError, match=r"w\.pt has sha256 .* not 00000000"):
        load_pickled(path, "0" * 64)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_does_not_run(tmp_path, zipped):
    path, made = tmp_path / "w.pt", tmp_path / "made"
    torch.save({"a": Bomb(str(made))}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="none of its code was run"):
        load_pickled(path)
    assert not made.exists()


def test_a_changed_byte_is_found(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"a": torch.full((1000,), 3.0)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(torch.full((4,), 3.0).numpy().tobytes()) + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.pt is damaged: the checksum"):
        load_pickled(path)
