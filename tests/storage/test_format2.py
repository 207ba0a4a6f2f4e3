"""Runs of format 2 are read as they are, and converted when they go on."""

import json

import torch
from run_edits import FACTS, as_format, flip

from noisewalk.storage.doctor import examine
from noisewalk.storage.format2 import migrated
from noisewalk.storage.store import Layout, RunStore, open_store


def test_a_run_of_format_2_is_read_and_not_touched(small_run):
    as_format(small_run, 2)
    before = {p: p.read_bytes() for p in small_run.rglob("*") if p.is_file()}
    stored = open_store(small_run)
    assert (stored.format, stored.num_draws) == (2, 1)
    assert torch.equal(stored.arrays["x"][...], torch.ones(1, 2, 1, 3))
    assert stored.sampler["n"] == 1
    assert not examine(small_run).faults
    assert not examine(small_run).checked
    assert {p: p.read_bytes() for p in small_run.rglob("*") if p.is_file()} == before


def test_a_run_of_format_2_is_converted_when_it_goes_on(small_run):
    whole = {p: p.read_bytes() for p in small_run.rglob("*") if p.is_file()}
    as_format(small_run, 2)
    with RunStore.create_or_resume(small_run, FACTS, Layout(1, 2, (2,), (3,))) as store:
        assert store.cursor()[0] == 1
        store.put("y", torch.zeros(1, 3), ("image", "y_0"))
    assert {p: p.read_bytes() for p in small_run.rglob("*") if p.is_file()} == whole
    assert open_store(small_run).format == 3
    flip(small_run / "run.zarr/nll/c.0.0.0", 0)
    assert examine(small_run).good_draws == 0


def test_a_kill_between_the_two_documents_does_no_harm(small_run):
    as_format(small_run, 2)
    assert migrated(small_run).format == 3
    assert json.loads((small_run / "spec.json").read_text())["format"] == 2
    assert open_store(small_run).num_draws == 1
    with RunStore.create_or_resume(small_run, FACTS, Layout(1, 2, (2,), (3,))):
        assert open_store(small_run).format == 3
