"""Runs whose chains are in several stores are read as one."""

import torch

from noisewalk.storage.shards import shard_folder, sizes
from noisewalk.storage.store import Layout, RunStore, open_store, read_sampler
from noisewalk.types import Info, State


def write(folder, chains, values, complete=True, facts=None):
    """A store of a draw for each value, times the chain's number from 1."""
    layout = Layout(1, chains, (2,), (3,))
    with RunStore.create_or_resume(folder, facts or {}, layout) as store:
        for k, value in enumerate(values):
            each = value * torch.arange(1.0, chains + 1)
            z, x = each[:, None].expand(chains, 2), each[:, None].expand(chains, 3)
            info = Info(each.double(), each > 0, each < 0)
            sampler = {"transitions": k, "nfe": 10, "seconds": 1.0}
            store.append(State(z, x, each.double(), z), info, sampler, {})
        if not values:
            store.checkpoint({"transitions": 7, "start_steps": 5, "nfe": 1, "seconds": 0.5})
        if complete:
            store.mark_complete()


def place(first):
    """The facts of a shard whose chains are those from `first` on."""
    return {"plan": {"part": [0, first]}}


def test_sizes_are_as_even_as_can_be():
    assert sizes(16, 4) == [4, 4, 4, 4]
    assert sizes(16, 3) == [6, 5, 5]
    assert sizes(3, 3) == [1, 1, 1]


def test_the_draws_that_all_shards_have_are_read(tmp_path):
    facts = {"shard_chains": 2, "plan": {"num_draws": 3}}
    write(tmp_path, 5, [], False, facts)
    stored = open_store(tmp_path)
    assert (stored.num_draws, stored.complete) == (0, False)
    assert stored.arrays["x"].shape == (1, 5, 0, 3)
    write(shard_folder(tmp_path, 1), 2, [3.0, 4.0], facts=place(3))
    assert open_store(tmp_path).num_draws == 0
    assert open_store(tmp_path).sampler["nfe"] == 11
    write(shard_folder(tmp_path, 0), 3, [1.0, 2.0, 5.0], facts=place(0))
    stored = open_store(tmp_path)
    assert (stored.num_draws, stored.complete) == (2, False)
    assert stored.arrays["x"][0, :, :, 0].tolist() == [[1, 2], [2, 4], [3, 6], [3, 4], [6, 8]]
    assert stored.arrays["nll"][0, 2:4, 1].tolist() == [6, 4]
    assert stored.arrays["nll"][0, torch.tensor([4, 0]), 1].tolist() == [8, 2]
    assert stored.arrays["nll"][0, 4:, [1, 0]].tolist() == [[8, 6]]
    want = {"start_steps": 5, "transitions": 1, "nfe": 21, "seconds": 5.5 - 3.0}
    assert stored.sampler == want
    write(shard_folder(tmp_path, 1), 2, [6.0], facts=place(3))
    assert open_store(tmp_path).complete
    assert read_sampler(tmp_path)["transitions"] == 7
