"""Checksums: a changed bit is told, never used."""

import numpy as np
import pytest
from run_edits import flip

from noisewalk.errors import StoreError
from noisewalk.storage.checksum import check_file, crc32c, read_sums
from noisewalk.storage.store import Layout, RunStore, open_store


def test_the_checksum_is_crc32c_of_the_joined_parts():
    assert crc32c([b"123456789"]) == 0xE3069283
    parts = [b"1234", memoryview(b"56"), np.frombuffer(b"789", np.uint8)]
    assert crc32c(parts) == 0xE3069283
    assert crc32c([]) == crc32c([b""]) == 0


def test_a_file_without_a_checksum_is_taken_as_it_is(tmp_path):
    check_file(tmp_path, [b"any"], None)
    with pytest.raises(StoreError, match="checksum"):
        check_file(tmp_path, [b"any"], 1)


def test_missing_checksums_are_damage(tmp_path):
    (tmp_path / "crc32c").write_bytes(bytes(7))
    assert read_sums(tmp_path / "crc32c", 1).tolist() == [0]
    with pytest.raises(StoreError, match="7 bytes instead of 8"):
        read_sums(tmp_path / "crc32c", 2)


def read(folder):
    return [array[...] for array in open_store(folder).arrays.values()]


def test_every_flipped_bit_of_what_is_committed_is_told(small_run):
    files = [p for p in sorted(small_run.rglob("*")) if p.is_file()]
    own = [p for p in files if p.name != ".lock"]
    meta = [p for p in own if p.name == "zarr.json" and p.parent.name != "run.zarr"]
    for path in own:
        slab = open_store(small_run).arrays
        array = slab.get(path.parent.name)
        size = path.stat().st_size
        if path.name.startswith("c.") and hasattr(array, "_array"):
            size = array._array.slab  # bytes beyond the committed draws are never read
        for at in range(0, size, max(1, size // 40)):
            flip(path, at, at % 8)
            if path not in meta:  # which only other programs read
                with pytest.raises(StoreError) as caught:
                    read(small_run)
                assert path.name in str(caught.value) or path.name == "crc32c"
            flip(path, at, at % 8)
    open_store(small_run)


def test_a_flipped_draw_is_named_with_its_file_and_the_way_out(small_run):
    flip(small_run / "run.zarr/x/c.0.0.0.0", 5)
    stored = open_store(small_run)
    with pytest.raises(StoreError, match=r"x/c\.0\.0\.0\.0 .*draw 0 of x .*noisewalk doctor"):
        stored.arrays["x"][0, 1, 0, 2]
    assert stored.arrays["z"][...].shape == (1, 2, 1, 2)


def test_a_flipped_fixed_array_stops_the_writer_too(small_run):
    from run_edits import FACTS

    flip(small_run / "run.zarr/y/c.0.0", 1)
    with RunStore.create_or_resume(small_run, FACTS, Layout(1, 2, (2,), (3,))) as store:
        import torch

        with pytest.raises(StoreError, match=r"y/c\.0\.0"):
            store.put("y", torch.zeros(1, 3), ("image", "y_0"))
