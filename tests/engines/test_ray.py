"""A real Ray of two workers on this machine, one of which is killed in the middle of a run."""

import pytest
from units import FEW, Deadly, same, target

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


def test_no_cluster_is_one_line(tmp_path):
    assert not ray.is_initialized()
    with pytest.raises(ConfigError, match="ray start --head"):
        nw.engines.Ray().open(tmp_path)
