import errno
import json
import os
import random
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import xarray

from noisewalk.errors import ConfigError, StoreError
from noisewalk.storage.store import Layout, RunStore, open_store
from noisewalk.types import Info, State

IMAGES, CHAINS, X, Z = 2, 3, (3, 4), (5,)
ROWS = IMAGES * CHAINS


class Killed(BaseException):
    pass


@pytest.fixture(autouse=True)
def _two_draws_a_segment(monkeypatch):
    monkeypatch.setattr("noisewalk.storage.zarr_group.MOST_DRAWS", 2)


def make(folder, dtype=torch.float32):
    layout = Layout(IMAGES, CHAINS, Z, X, dtype)
    return RunStore.create_or_resume(folder, {"seed": 1}, layout)


def draw(n):
    """Draw number n as arguments of `append`: different in every entry, row and draw."""
    row = torch.arange(ROWS)
    x = (1000 * n + 100 * row)[:, None, None] + torch.arange(12.0).reshape(X)
    z = -(1000 * n + 100 * row)[:, None] - torch.arange(5.0)
    info = Info(
        acceptance_rate=(n + row) / 64, accepted=(n + row) % 2 == 0, diverging=(n + row) % 3 == 0
    )
    return State(z, x, row / 3 + n, z + 1), info, sampler(n + 1), {"step_size": row / 7 + n}


def sampler(n):
    return {"draws": n, "step": n / 7, "z": torch.full((ROWS, *Z), float(n))}


def expected(num_draws):
    """Every array of the first draws, (image, chain, draw, ...)."""
    rows = [{**s._asdict(), **i._asdict(), **e} for s, i, _, e in map(draw, range(num_draws))]
    names = ("x", "z", "nll", "acceptance_rate", "accepted", "diverging", "step_size")
    out = {
        k: torch.stack([r[k].reshape(IMAGES, CHAINS, *r[k].shape[1:]) for r in rows], 2)
        for k in names
    }
    return {k: v if k in "xz" or v.dtype == torch.bool else v.double() for k, v in out.items()}


def check(
    folder,
    num_draws,
    names=("x", "z", "nll", "acceptance_rate", "accepted", "diverging", "step_size"),
):
    """Our reader and xarray see exactly these draws, and the state that belongs to them."""
    stored = open_store(folder)
    assert stored.num_draws == num_draws
    assert (stored.sampler or {"draws": 0})["draws"] == num_draws
    with xarray.open_zarr(folder / "run.zarr") as data:
        assert data.sizes["draw"] == data.attrs["num_draws"] == num_draws
        for name, want in (expected(num_draws) if num_draws else {}).items():
            assert stored.arrays[name].dtype == want.dtype
            assert torch.equal(stored.arrays[name][...], want)
            assert data[name].shape == want.shape
            if name in names:
                assert torch.equal(torch.from_numpy(data[name].values), want)


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def sample(folder, num_draws, done=None):
    """A session of a sampling loop: goes on from the cursor."""
    with make(folder) as store:
        store.put("y", torch.arange(2.0)[:, None], ("image", "y_0"))
        n, state = store.cursor()
        if state is None:
            store.checkpoint(sampler(0))
        for i in range(n, num_draws):
            store.append(*draw(i))
            if done is not None:
                done.append(i)
        store.mark_complete()


def test_draws_come_back_bit_by_bit_with_named_axes(tmp_path):
    with make(tmp_path) as store:
        check(tmp_path, 0)
        for n in range(5):
            store.append(*draw(n))
            check(tmp_path, n + 1)
            assert store.cursor()[0] == n + 1
    check(tmp_path, 5)
    with xarray.open_zarr(tmp_path / "run.zarr") as data:
        assert data["x"].dims == ("image", "chain", "draw", "x_0", "x_1")
        assert data["z"].dims == ("image", "chain", "draw", "z_0")
        assert {
            data[k].dims for k in ("nll", "acceptance_rate", "accepted", "diverging", "step_size")
        } == {("image", "chain", "draw")}
        own = {"num_draws": 5, "serial": 5, "complete": False, "format": 3, "behind": 0}
        assert own.items() <= data.attrs.items()


def test_each_arrays_own_metadata_follows_when_a_segment_is_full_at_close_and_at_open(tmp_path):
    def length():
        return json.loads((tmp_path / "run.zarr/x/zarr.json").read_text())["shape"][2]

    with make(tmp_path) as store:
        lengths = []
        for n in range(4):
            store.append(*draw(n))
            lengths.append(length())
        assert lengths == [0, 0, 2, 2]
    assert length() == 4
    path = tmp_path / "run.zarr/x/zarr.json"
    path.write_text(path.read_text().replace("[2, 3, 4, 3, 4]", "[2, 3, 2, 3, 4]"))
    assert length() == 2
    with make(tmp_path):
        assert length() == 4


def test_special_values_and_float_types_keep_their_bits(tmp_path):
    for dtype, bits in ((torch.float16, torch.int16), (torch.float64, torch.int64)):
        special = torch.tensor(
            [float("nan"), float("inf"), -float("inf"), -0.0, 1e-7], dtype=dtype
        ).view(bits)
        z = (special + torch.tensor([1, 0, 0, 0, 0], dtype=bits)).view(dtype).repeat(ROWS, 1)
        with make(tmp_path / str(bits), dtype=dtype) as store:
            state, info, extra, _ = draw(0)
            store.append(
                State(z, state.x.to(dtype), torch.full((ROWS,), float("nan")), z), info, extra, {}
            )
        arrays = open_store(store.folder).arrays
        assert torch.equal(arrays["z"][...].view(bits), z.view(bits).reshape(IMAGES, CHAINS, 1, 5))
        assert arrays["nll"][...].isnan().all()
        assert arrays["step_size"][...].isnan().all()


def test_rows_may_need_gradients_or_have_any_layout(tmp_path):
    state, info, extra, extras = draw(0)
    odd = state._replace(
        x=state.x.mT.contiguous().mT.requires_grad_(), z=state.z.repeat_interleave(2, -1)[:, ::2]
    )
    with make(tmp_path) as store:
        store.append(odd, info, extra, extras)
    check(tmp_path, 1)


def test_fixed_arrays_are_stored_once_and_must_stay_the_same(tmp_path):
    y = torch.tensor([[1.5, float("nan")], [0.0, -0.0]])
    with make(tmp_path) as store:
        store.put("y", y, ("image", "y_0"))
        store.put("observed", y.isnan(), ("image", "y_0"))
        store.put("scale", torch.tensor(2.5), ())
        store.append(*draw(0))
    with make(tmp_path) as store:
        store.put("y", y.clone(), ("image", "y_0"))
        with pytest.raises(StoreError, match="y differs from the one stored"):
            store.put("y", y.abs(), ("image", "y_0"))
        with pytest.raises(StoreError, match="y differs"):
            store.put("y", y.double(), ("image", "y_0"))
    stored = open_store(tmp_path)
    assert torch.equal(stored.arrays["y"].view(torch.int32), y.view(torch.int32))
    assert stored.arrays["scale"] == 2.5
    with xarray.open_zarr(tmp_path / "run.zarr") as data:
        assert data["observed"].dims == ("image", "y_0")
        assert np.array_equal(data["y"].values, y.numpy(), equal_nan=True)
        assert data["scale"].values == 2.5
    stored.arrays["y"].zero_()
    assert not open_store(tmp_path).arrays["y"].isfinite().all()


def test_fixed_arrays_that_do_not_fit_are_refused(tmp_path):
    with make(tmp_path) as store:
        for name, shape, dims in (
            ("y", (3,), ("image",)),
            ("y", (2, 3), ("image", "x_1")),
            ("y", (2,), ("image", "y_0")),
            ("y", (2, 2), ("image", "image")),
            ("y", (4,), ("draw",)),
            ("y", (2, 0), ("image", "y_0")),
            ("x", (2,), ("image",)),
            ("a/b", (2,), ("image",)),
        ):
            with pytest.raises(ConfigError):
                store.put(name, torch.zeros(shape), dims)
            check(tmp_path, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"x": torch.zeros(ROWS, 4, 3)},
            r"x of a draw is float32 \(6, 4, 3\), but .* holds float32 \(6, 3, 4\)",
        ),
        ({"z": torch.zeros(ROWS, *Z, dtype=torch.float64)}, "z of a draw is float64"),
        ({"nll": torch.zeros(ROWS - 1)}, r"nll of a draw is float64 \(5,\)"),
    ],
)
def test_a_draw_that_does_not_fit_is_refused_and_changes_nothing(tmp_path, change, message):
    state, info, extra, extras = draw(0)
    with make(tmp_path) as store:
        before = tree(tmp_path)
        with pytest.raises(StoreError, match=message):
            store.append(state._replace(**change), info, extra, extras)
        with pytest.raises(StoreError, match="no place for energy"):
            store.append(state, info, extra, {"energy": torch.zeros(ROWS)})
        with pytest.raises(ConfigError, match=r"state\['kernel'\]"):
            store.append(state, info, {"kernel": object()}, extras)
        assert tree(tmp_path) == before
        store.append(state, info, extra, extras)
    check(tmp_path, 1)


def test_a_closed_store_refuses_and_closes_again(tmp_path):
    store = make(tmp_path)
    store.close()
    store.close()
    for write in (
        lambda: store.append(*draw(0)),
        lambda: store.checkpoint({}),
        store.mark_complete,
    ):
        with pytest.raises(StoreError, match="closed"):
            write()


def test_checkpoints_keep_the_last_state_and_no_draw(tmp_path):
    with make(tmp_path) as store:
        for k in range(3):
            store.checkpoint({"warmup": k})
    with make(tmp_path) as store:
        assert store.cursor() == (0, {"warmup": 2})
        store.append(*draw(0))
    check(tmp_path, 1)
    assert [p.name for p in tmp_path.glob("state-*")] == ["state-4.safetensors"]


def test_complete_is_what_was_marked_last(tmp_path):
    sample(tmp_path, 2)
    assert open_store(tmp_path).complete
    with make(tmp_path) as store:
        assert open_store(tmp_path).complete
        store.append(*draw(2))
        assert not open_store(tmp_path).complete
    assert not open_store(tmp_path).complete


def test_files_do_not_grow_with_the_draws(tmp_path, monkeypatch):
    monkeypatch.setattr("noisewalk.storage.zarr_group.MOST_DRAWS", 50)
    with make(tmp_path) as store:
        store.append(*draw(0))
        before = len(tree(tmp_path))
        for n in range(1, 50):
            store.append(*draw(n))
        assert len(tree(tmp_path)) == before
        store.append(*draw(50))
        assert len(tree(tmp_path)) == before + 7
    check(tmp_path, 51)


def test_a_reader_keeps_what_it_opened_while_the_writer_goes_on(tmp_path):
    with make(tmp_path) as store:
        for n in range(3):
            store.append(*draw(n))
        stored, data = open_store(tmp_path), xarray.open_zarr(tmp_path / "run.zarr")
        for n in range(3, 6):
            store.append(*draw(n))
        for name, want in expected(3).items():
            assert torch.equal(stored.arrays[name][...], want)
            assert torch.equal(torch.from_numpy(data[name].values), want)


def mortal(monkeypatch, lives):
    """Kill the process, as far as the disk can tell, at the call number `lives` that changes it:
    half of it is done, and nothing after it."""
    count = 0

    def wrap(name, half):
        whole = getattr(os, name)

        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count == lives:
                half(whole, *args)
            if count >= lives:
                raise Killed
            return whole(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    for name in ("replace", "unlink", "ftruncate", "mkdir"):
        wrap(name, lambda *_: None)
    wrap("pwrite", lambda whole, fd, data, offset: whole(fd, data[: len(data) // 2], offset))


def test_a_kill_at_any_moment_loses_at_most_the_draw_in_flight(tmp_path, monkeypatch):
    sample(tmp_path / "whole", 3)
    want = tree(tmp_path / "whole")
    for lives in range(1, 1000):
        folder, done = tmp_path / str(lives), []
        with monkeypatch.context() as patch:
            mortal(patch, lives)
            try:
                sample(folder, 3, done)
                died = False
            except Killed:
                died = True
        if (folder / "run.zarr").exists():
            check(folder, open_store(folder).num_draws, names=("x",))
            assert open_store(folder).num_draws - len(done) in (0, 1)
        sample(folder, 3)
        assert tree(folder) == want
        if not died:
            break
    assert 50 < lives < 999


@pytest.mark.parametrize("call", ["pwrite", "replace", "ftruncate"])
def test_when_the_disk_is_full_the_draws_so_far_are_safe(tmp_path, monkeypatch, call):
    for code, reason in (
        (errno.ENOSPC, "no space left on the disk"),
        (errno.EIO, "Input/output error"),
    ):

        def full(*_, code=code):
            raise OSError(code, os.strerror(code))

        folder = tmp_path / str(code)
        told = f"^cannot write to .*: {reason}; the 2 draws so far are safe: [^\n]*--resume$"
        with make(folder) as store:
            for n in range(2):
                store.append(*draw(n))
            with monkeypatch.context() as patch:
                patch.setattr(os, call, full)
                with pytest.raises(StoreError, match=told):
                    store.append(*draw(2))
            check(folder, 2)
            for n in range(2, 4):
                store.append(*draw(n))
        check(folder, 4)


WRITER = """
import os, random, signal, sys, time
import torch
from noisewalk.storage import zarr_group as group
from noisewalk.storage.store import Layout, RunStore, open_store
from noisewalk.types import Info, State

group.MOST_DRAWS = 8

def session(folder):
    layout = Layout(2, 2, (64, 64), (64, 64))
    with RunStore.create_or_resume(folder, {}, layout) as store:
        n, state = store.cursor()
        assert n == (state or {"n": 0})["n"], (n, state)
        while True:
            value = torch.full((4, 64, 64), float(n))
            flags = torch.ones(4, dtype=torch.bool)
            n += 1
            row, state = value[:, 0, 0], {"n": n, "z": value}
            info = Info(row, flags, ~flags)
            store.append(State(value, -value, row, value), info, state, {"step_size": row})

def committed():
    started = os.path.exists(sys.argv[1] + "/run.zarr")
    return open_store(sys.argv[1]).num_draws if started else 0

torch.set_num_threads(1)
times = random.Random(int(sys.argv[2]))
for _ in range(8):
    before = committed()
    child = os.fork()
    if child == 0:
        session(sys.argv[1])
    time.sleep(times.uniform(0.02, 0.12))
    while committed() == before:
        time.sleep(times.uniform(0.0, 0.02))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
"""


def test_sigkill_leaves_a_run_that_goes_on_and_readers_never_see_half_a_draw(tmp_path):
    seed = random.SystemRandom().randrange(1 << 30)
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "OMP_NUM_THREADS": "1",
    }
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "run"), str(seed)],
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    lengths = []
    try:
        while writer.poll() is None:
            time.sleep(0.01)
            if (tmp_path / "run" / "run.zarr").exists():
                lengths.append(look(tmp_path / "run"))
    finally:
        errors = writer.communicate()[1]
    assert errors == "", f"seed {seed}"
    assert writer.returncode == 0
    lengths.append(look(tmp_path / "run"))
    assert lengths == sorted(lengths)
    assert lengths[-1] >= 8
    layout = Layout(2, 2, (64, 64), (64, 64))
    with RunStore.create_or_resume(tmp_path / "run", {}, layout) as store:
        assert store.cursor()[0] == store.cursor()[1]["n"] == lengths[-1]
    assert len(tree(tmp_path)) < 20 + 7 * (lengths[-1] // 8 + 1)


def look(folder):
    """The number of draws that xarray sees, after a look at the last segment's values and our own
    reader's."""
    with xarray.open_zarr(folder / "run.zarr") as data:
        n = data.sizes["draw"]
        last = data.isel(draw=slice(max(0, n - 8), n))
        want = np.arange(max(0, n - 8), n)
        for name, sign in (
            ("x", -1),
            ("z", 1),
            ("nll", 1),
            ("acceptance_rate", 1),
            ("step_size", 1),
        ):
            values = np.moveaxis(last[name].values, 2, -1)
            assert np.array_equal(values, np.broadcast_to(sign * want, values.shape)), name
        assert last["accepted"].values.all()
    stored = open_store(folder)
    assert stored.num_draws == (stored.sampler or {"n": 0})["n"] >= n
    return n


def test_states_of_running_and_absent_runs(tmp_path):
    with pytest.raises(StoreError, match=re.escape(f"{tmp_path / 'none'} holds no run")):
        open_store(tmp_path / "none")
    with make(tmp_path / "run") as store:
        stored = open_store(tmp_path / "run")
        assert (stored.num_draws, stored.complete, stored.sampler, stored.spec) == (
            0,
            False,
            None,
            {"seed": 1},
        )
        assert stored.arrays["x"].shape == (IMAGES, CHAINS, 0, *X)
        assert stored.arrays["x"][...].shape == (IMAGES, CHAINS, 0, *X)
        assert "num_draws=0" in repr(stored)
        store.append(*draw(0))
        assert torch.equal(open_store(tmp_path / "run").sampler["z"], sampler(1)["z"])
