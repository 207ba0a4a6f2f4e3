import json
import os
import warnings

import pytest
import torch
import zarr

from noisewalk.errors import ConfigError, StoreError
from noisewalk.storage.atomic import write_file
from noisewalk.storage.segments import (
    DTYPES,
    Segmented,
    SegmentWriter,
    document,
    dtype_name,
    to_bytes,
)
from noisewalk.storage.zarr_group import Layout

FLOAT = torch.arange(24.0).reshape(2, 3, 4) - 5


def test_metadata_is_what_zarr_itself_writes(tmp_path):
    arrays = {
        name: Segmented(tmp_path / name, 2, 3, shape, kind, 4)
        for name, shape, kind in (("x", (4, 5), "float32"), ("ok", (), "bool"))
    }
    docs = {name: array.document(7) for name, array in arrays.items()}
    docs |= {kind: document((2, 3), (2, 3), kind, ("a", "b")) for kind in DTYPES}
    docs["scalar"] = document((), (), "int64", ())
    for name, doc in docs.items():
        (tmp_path / name).mkdir()
        write_file(tmp_path / name / "zarr.json", [json.dumps(doc).encode()])
    (tmp_path / "zarr.json").write_text(
        json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}})
    )
    with warnings.catch_warnings(
        action="ignore"
    ):  # consolidated metadata is not yet in the specification
        zarr.consolidate_metadata(tmp_path)
    theirs = json.loads((tmp_path / "zarr.json").read_text())["consolidated_metadata"]
    assert theirs.pop("metadata") == docs
    assert theirs == {"kind": "inline", "must_understand": False}


def test_zarr_reads_the_values_of_every_dtype(tmp_path):
    for kind in DTYPES:
        values, dtype = FLOAT.abs() if kind == "uint8" else FLOAT, getattr(torch, kind)
        array = Segmented(tmp_path / kind, 1, 2, (3, 4), kind, 2)
        array.folder.mkdir()
        (array.folder / "zarr.json").write_text(json.dumps(array.document(3)))
        writer = SegmentWriter(array)
        for draw in range(3):
            writer.write(draw, (values + draw).to(dtype))
        writer.close()
        read = torch.from_numpy(zarr.open_array(array.folder, mode="r")[...])
        want = torch.stack([values + draw for draw in range(3)], 1)[None].to(dtype)
        assert torch.equal(read, want), kind


def test_the_document_says_everything_about_the_array(tmp_path):
    array = Segmented(tmp_path / "x", 2, 3, (4, 5), "float32", 4)
    doc = json.loads(json.dumps(array.document(7)))
    assert Segmented.from_document(array.folder, doc) == array
    for wrong in (
        {**doc, "data_type": "float63"},
        {**doc, "codecs": []},
        {**doc, "shape": [2, 3]},
        {},
    ):
        with pytest.raises((KeyError, ValueError, TypeError, IndexError)):
            Segmented.from_document(array.folder, wrong)


def test_a_short_write_goes_on_where_it_stopped(tmp_path, monkeypatch):
    array = Segmented(tmp_path, 1, 2, (3, 4), "float32", 2)
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: whole(fd, data[:5], offset))
    writer = SegmentWriter(array)
    writer.write(1, FLOAT)
    writer.close()
    assert array.path(0).read_bytes() == bytes(96) + bytes(to_bytes(FLOAT))


def test_a_segment_is_preallocated_without_taking_space(tmp_path):
    array = Segmented(tmp_path, 1, 2, (3, 4), "float32", 1 << 20)
    writer = SegmentWriter(array)
    writer.write(0, FLOAT)
    writer.close()
    stat = array.path(0).stat()
    assert stat.st_size == array.length * array.slab
    assert stat.st_blocks * 512 < stat.st_size / 100
    array.verify(1)


def test_segments_are_bounded_in_bytes_and_draws(tmp_path):
    for chains, shape in ((1, (1,)), (4, (1, 32, 32)), (4, (3, 256, 256)), (64, (3, 256, 256))):
        for array in Layout(1, chains, shape, shape).arrays(tmp_path, ()).values():
            assert 8 <= array.length <= 1024
            assert array.length == 8 or array.length * array.slab <= 1 << 26


def test_missing_and_cut_segments_are_damage(tmp_path):
    array = Segmented(tmp_path, 1, 2, (3, 4), "float32", 2)
    writer = SegmentWriter(array)
    for draw in range(4):
        writer.write(draw, FLOAT)
    writer.close()
    array.verify(4)
    os.truncate(array.path(1), 100)
    array.verify(2)
    with pytest.raises(StoreError, match="100 bytes instead of 192"):
        array.verify(3)
    array.path(0).unlink()
    with pytest.raises(StoreError, match=r"c\.0\.0\.0"):
        array.verify(1)


def test_dtypes_without_a_zarr_name_are_refused():
    assert {dtype_name(getattr(torch, kind)) for kind in DTYPES} == set(DTYPES)
    with pytest.raises(ConfigError, match="bfloat16"):
        dtype_name(torch.bfloat16)
