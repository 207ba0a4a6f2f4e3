"""Runs in object stores: published whole, gone on with bitwise, one writer."""

import json
import os
import signal
import subprocess
import sys
import time
from uuid import uuid4

import fsspec
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem

import noisewalk as nw
from noisewalk.errors import BusyError, ConfigError, MissingExtraError, StoreError
from noisewalk.storage import remote
from noisewalk.storage.doctor import examine
from noisewalk.storage.remote import address_of, copied, shown, working

WRITES = ("pipe_file", "put_file", "rm_file")


@pytest.fixture
def address():
    yield f"memory://runs-{uuid4().hex}/one"
    MemoryFileSystem.store.clear()


def objects(address):
    fs, base = fsspec.core.url_to_fs(address)
    return {key.removeprefix(base).lstrip("/"): fs.cat_file(key) for key in fs.find(base)}


def put(address, name, data):
    fs, base = fsspec.core.url_to_fs(address)
    fs.pipe_file(f"{base}/{name}", data)


def target():
    phi = nw.maps.Affine(torch.eye(3), torch.zeros(3))
    likelihood = nw.likelihoods.Gaussian(0.5)
    return nw.NoisePosterior(phi, torch.nn.Identity(), likelihood, torch.ones(1, 3), check=False)


def run(place, draws=3):
    settings = {"warm_start": None, "num_warmup": 1, "progress": False}
    return nw.sample(target(), nw.EllipticalSlice(), draws, 2, store=place, **settings)


def test_a_run_lives_at_an_address_and_goes_on_there(address, tmp_path):
    want = run(tmp_path / "run", 5).draws[...]
    first = run(address)
    assert torch.equal(first.draws[...], want[:, :, :3])
    longer = run(address, 5)
    assert torch.equal(longer.draws[...], want)
    stored = nw.open_run(address)
    assert stored.complete
    assert torch.equal(stored.draws[...], want)
    with pytest.raises(StoreError, match=r"^memory://.* holds another run"):
        nw.sample(target(), nw.EllipticalSlice(), 3, 4, store=address, progress=False)


def test_the_objects_are_the_files_of_a_folder(address, tmp_path):
    run(tmp_path / "run")
    run(address)
    names = {p.relative_to(tmp_path / "run").as_posix() for p in (tmp_path / "run").rglob("*")}
    kept = {name for name in names if (tmp_path / "run" / name).is_file()} - {".lock"}
    assert objects(address).keys() - {".writer"} == kept


def test_programs_that_read_zarr_open_the_objects(address):
    import zarr
    from zarr.storage import FsspecStore

    draws = run(address).draws[...]
    group = zarr.open_group(FsspecStore.from_url(f"{address}/run.zarr"), mode="r")
    assert torch.equal(torch.as_tensor(group["x"][...]), draws)


@pytest.mark.parametrize("stride", [23, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dies", [True, False], ids=["all that follow too", "once"])
def test_an_error_at_every_write_loses_nothing_that_was_published(
    address, monkeypatch, dies, stride
):
    want = run(f"{address}-whole").draws[...]
    monkeypatch.setattr(remote, "EVERY", 0.0)
    monkeypatch.setattr(remote, "SHARE", 0)
    with monkeypatch.context() as patch:
        counted = failing(patch, sys.maxsize, dies)
        run(f"{address}-counted")
        total = counted()
    assert total > 40
    for at in range(1, total + 1, stride):
        place = f"{address}-{at}"
        with monkeypatch.context() as patch:
            failing(patch, at, dies)
            with pytest.raises(StoreError, match=r"^cannot reach memory://") as caught:
                run(place)
        assert "\n" not in str(caught.value)
        if "run.zarr/zarr.json" in objects(place):
            found = nw.open_run(place).draws
            assert torch.equal(found[...], want[:, :, : found.shape[2]])
        assert torch.equal(run(place).draws[...], want), at
        with copied(place) as folder:
            assert examine(folder).faults == ()


def failing(monkeypatch, at, dies):
    """Let write number `at`, and if it dies all that follow, fail; the count goes on."""
    count = 0

    def wrap(whole):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count == at or (dies and count > at):
                raise ConnectionError("the network\nis down")
            return whole(*args, **kwargs)

        return call

    for name in WRITES:
        monkeypatch.setattr(MemoryFileSystem, name, wrap(getattr(MemoryFileSystem, name)))
    return lambda: count


def test_the_root_document_is_the_last_object_of_a_publication(address, monkeypatch):
    seen = []
    for name in WRITES:
        whole = getattr(MemoryFileSystem, name)

        def noted(fs, *args, whole=whole, **kwargs):
            seen.append(args[-1] if whole.__name__ == "put_file" else args[0])
            return whole(fs, *args, **kwargs)

        monkeypatch.setattr(MemoryFileSystem, name, noted)
    run(address)
    names = [str(key).partition("/one/")[2] for key in seen]
    assert names[:2] == [".writer", "spec.json"]
    assert names[-1] == "run.zarr/zarr.json"


def test_an_earlier_writer_stops_before_it_publishes_again(address):
    run(address)

    def overtaken():
        with working(address) as early:
            early.claim()
            with working(address) as late:
                late.claim()
            (early.folder / "spec.json").write_text("changed")
            early.publish()

    with pytest.raises(BusyError, match="another process is writing to memory://"):
        overtaken()
    assert nw.open_run(address).complete


def test_who_fetched_before_another_one_published_is_no_writer(address):
    with working(address) as late:
        run(address)
        before = objects(address)
        with pytest.raises(BusyError):
            late.claim()
        assert objects(address) == before


def test_a_refused_run_stops_no_writer(address):
    run(address)
    before = objects(address)
    with pytest.raises(StoreError, match="holds another run"):
        nw.sample(target(), nw.EllipticalSlice(), 3, 4, store=address, progress=False)
    assert objects(address) == before


def test_a_reader_follows_a_writer_that_replaces_the_state(address, monkeypatch):
    run(address)
    whole, calls = MemoryFileSystem.get_file, []

    def slow(fs, key, *args, **kwargs):
        if not calls:
            calls.append(key)
            run(address, 5)
        return whole(fs, key, *args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "get_file", slow)
    assert nw.open_run(address).draws.shape[2] == 5


def test_a_flipped_bit_is_told_and_repaired(address):
    want = run(address).draws[...]
    name = "run.zarr/x/c.0.0.0.0"
    data = bytearray(objects(address)[name])
    data[2 * 3 * 4] ^= 1
    put(address, name, bytes(data))
    with pytest.raises(StoreError, match="draw 1 of x"):
        nw.open_run(address).draws[...]
    assert torch.equal(nw.open_run(address).draws[:, :, 0], want[:, :, 0])


def test_what_is_no_run_is_refused(address):
    with pytest.raises(StoreError, match=r"memory://.* holds no run"):
        nw.open_run(address)
    put(address, "holiday.jpg", b"1")
    for use in (nw.open_run, run):
        with pytest.raises(StoreError, match=r"it holds holiday\.jpg"):
            use(address)
    assert objects(address) == {"holiday.jpg": b"1"}


def test_no_object_is_written_outside_the_copy(address):
    run(address)
    put(address, "run.zarr/../../escaped", b"1")
    with pytest.raises(StoreError, match="escaped"):
        nw.open_run(address)


def test_addresses():
    assert address_of("runs/one") is None
    assert address_of("C:/runs") is None
    assert shown("s3:/bucket/run/") == "s3://bucket/run"
    for wrong, message in (
        ("file:///tmp/run", "is a local folder"),
        ("nosuch://a/b", "is no address"),
        ("memory://", "names no run"),
    ):
        with pytest.raises(ConfigError, match=message):
            nw.open_run(wrong)
    with pytest.raises(ConfigError, match="must be a local folder"):
        nw.sample_many({"a": target()}, "memory://a/b")


def test_a_missing_client_is_named_with_its_extra(monkeypatch):
    def absent(*_):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", absent)
    with pytest.raises(MissingExtraError, match=r"noisewalk\[s3\]"):
        nw.open_run("s3://bucket/run")
    with pytest.raises(ConfigError, match="gs://bucket/run needs a package"):
        nw.open_run("gs://bucket/run")


KILLED = """
import sys
sys.path.insert(0, {folder!r})
from test_remote import remote, run
remote.EVERY, remote.SHARE = 0.0, 0
run("s3://bucket/run", 4000)
"""


def published(fs):
    """The draws in the bucket."""
    fs.invalidate_cache()
    root = "bucket/run/run.zarr/zarr.json"
    there = fs.exists(root)
    return json.loads(fs.cat_file(root))["attributes"]["num_draws"] if there else 0


def test_a_killed_run_goes_on_in_s3(monkeypatch, tmp_path):
    """With the real client, against a server on this machine; the kill is a real one."""
    pytest.importorskip("s3fs", reason="needs the extra s3")
    server = pytest.importorskip("moto.server", reason="needs moto[server]")
    served = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    served.start()
    host, port = served.get_host_and_port()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ("AWS_ACCESS_KEY_ID", "any"),
        ("AWS_SECRET_ACCESS_KEY", "any"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    try:
        fs = fsspec.filesystem("s3")
        fs.mkdir("bucket")
        code = KILLED.format(folder=os.path.dirname(__file__))
        worker = subprocess.Popen([sys.executable, "-c", code], env={**os.environ})
        deadline = time.monotonic() + 300
        while published(fs) < 3 and time.monotonic() < deadline:
            assert worker.poll() is None
            time.sleep(0.1)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        done = nw.open_run("s3://bucket/run").draws.shape[2]
        assert 3 <= done < 4000
        found = run("s3://bucket/run", done + 3).draws[...]
        assert torch.equal(found, run(tmp_path / "whole", done + 3).draws[...])
        assert torch.equal(nw.open_run("s3://bucket/run").draws[...], found)
    finally:
        served.stop()
