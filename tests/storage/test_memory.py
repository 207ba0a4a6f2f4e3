from contextlib import nullcontext

import torch

from noisewalk.storage.memory import MemoryStore
from noisewalk.storage.store import Layout, RunStore, open_store
from noisewalk.types import Info, State


def test_memory_and_folder_have_one_interface_and_hold_the_same(tmp_path):
    flags = torch.tensor([True, False, True, True])
    folder = RunStore.create_or_resume(tmp_path / "run", {}, Layout(2, 2, (3,), (5,)))
    for store in (MemoryStore(2, 2), folder):
        with store if store is folder else nullcontext():
            assert store.cursor() == (0, None)
            store.checkpoint({"warmup": 1})
            assert store.cursor() == (0, {"warmup": 1})
            for n in range(3):
                z, x = torch.arange(12.0).reshape(4, 3) + n, torch.arange(20.0).reshape(4, 5) - n
                info = Info(torch.full((4,), 0.5), flags, ~flags)
                extras = {"step_size": torch.full((4,), 0.1 * n)}
                store.append(State(z, x, z[:, 0], z), info, {"draw": n}, extras)
            assert store.num_draws == 3
            assert store.cursor() == (3, {"draw": 2})
            store.mark_complete()
            held = open_store(folder.folder) if store is folder else store
            arrays = {name: array[...] for name, array in held.arrays.items()}
            assert arrays["x"].shape == (2, 2, 3, 5)
            for n in range(3):
                assert torch.equal(
                    arrays["x"][:, :, n].flatten(0, 1), torch.arange(20.0).reshape(4, 5) - n
                )
                assert torch.equal(
                    arrays["z"][:, :, n].flatten(0, 1), torch.arange(12.0).reshape(4, 3) + n
                )
                assert torch.equal(
                    arrays["nll"][:, :, n].flatten().float(), torch.arange(0.0, 12, 3) + n
                )
                assert torch.equal(
                    arrays["step_size"][:, :, n].flatten().float(), torch.full((4,), 0.1 * n)
                )
                assert torch.equal(arrays["accepted"][:, :, n].flatten(), flags)
                assert torch.equal(arrays["diverging"][:, :, n].flatten(), ~flags)


def test_memory_without_draws_has_no_arrays():
    assert MemoryStore(1, 2).arrays == {}
