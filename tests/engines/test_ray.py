"""A real Ray of two workers on this machine, one of which is killed in the middle of a run."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from units import FEW, Deadly, Slow, in_shards, same, target

import noisewalk as nw
from noisewalk.engines import work
from noisewalk.errors import ConfigError

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def cluster(path_of_workers):
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_runs_are_those_of_this_process_though_a_worker_is_killed(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(work, "PAUSE", 0.1)
    want = nw.sample_many(
        {f"r{k}": target(k) for k in range(4)}, tmp_path / "here", nw.engines.Serial(), **FEW
    )
    marker = tmp_path / "killed"
    targets = {f"r{k}": target(k) for k in range(4)}
    targets["r2"] = target(2, Deadly(str(marker), 6))
    found = nw.sample_many(targets, tmp_path / "ray", nw.engines.Ray(), **FEW)
    assert marker.exists()
    assert same(found, want)
    assert ray.is_initialized()


def test_shards_are_the_whole_run_though_a_worker_is_killed(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(work, "PAUSE", 0.1)
    want = in_shards(tmp_path / "here", target(1), nw.engines.Serial())
    marker = tmp_path / "killed"
    mortal = target(1, Deadly(str(marker), 4, 3))  # in the draws of the shard of three
    found = in_shards(tmp_path / "ray", mortal, nw.engines.Ray())
    assert marker.exists()
    assert same({"": found}, {"": want})


def test_no_cluster_is_one_line(tmp_path):
    assert not ray.is_initialized()
    with pytest.raises(ConfigError, match="ray start --head"):
        nw.engines.Ray().open(tmp_path)


class Head:
    """A Ray head of two workers, in a group of processes of its own, that can be killed."""

    def __init__(self, port, folder):
        self.address, command = f"127.0.0.1:{port}", Path(sys.executable).parent / "ray"
        words = ["start", "--head", "--block", "--num-cpus=2", f"--port={port}"]
        quiet = ["--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}"]
        with open(os.devnull, "w") as nowhere:
            self._process = subprocess.Popen(
                [command, *words, *quiet], stdout=nowhere, stderr=nowhere, start_new_session=True
            )

    def wait(self):
        """Until a port is open."""
        host, port = self.address.split(":")
        for _ in range(600):
            with socket.socket() as one:
                if one.connect_ex((host, int(port))) == 0:
                    return
            time.sleep(0.1)
        raise TimeoutError("no Ray head")

    def kill(self):
        """Its processes and those of its workers, at once."""
        import psutil

        family = [self._process.pid]
        family += [p.pid for p in psutil.Process(family[0]).children(recursive=True)]
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait(30)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def driver(folder, head):
    script = Path(__file__).with_name("ray_driver.py")
    return subprocess.Popen([sys.executable, script, folder, head.address])


def ended(folder):
    """The runs that are finished."""
    roots = (folder / f"r{k}/run.zarr/zarr.json" for k in range(4))
    return [p.parents[1].name for p in roots if p.is_file() and '"complete": true' in p.read_text()]


def test_a_driver_goes_on_after_the_head_was_lost(tmp_path, path_of_workers):
    targets = {f"r{k}": target(k, Slow(0.0)) for k in range(4)}
    want = nw.sample_many(targets, tmp_path / "here", nw.engines.Serial(), **FEW)
    folder, place = tmp_path / "runs", "/tmp/nw-ray-" + str(os.getpid())  # Ray wants a short one
    head = Head(free_port(), place)
    try:
        head.wait()
        first = driver(folder, head)
        limit = time.monotonic() + 180
        while not ended(folder) and first.poll() is None and time.monotonic() < limit:
            time.sleep(0.02)
        done = ended(folder)
        assert 0 < len(done) < 4
        when = {name: (folder / name / "run.zarr/zarr.json").stat().st_mtime_ns for name in done}
        head.kill()
        first.kill()  # it waits for a head that does not come back
        first.wait(30)
        head = Head(free_port(), place)
        head.wait()
        assert driver(folder, head).wait(180) == 0
    finally:
        head.kill()
        shutil.rmtree(place, ignore_errors=True)
    assert same({name: nw.open_run(folder / name) for name in targets}, want)
    assert all((folder / n / "run.zarr/zarr.json").stat().st_mtime_ns == t for n, t in when.items())
