"""Slurm through submitit's own stand-ins: a debug executor and local processes."""

import pytest
from units import FEW, in_shards, same, target

import noisewalk as nw

pytest.importorskip("submitit")


@pytest.mark.parametrize("cluster", ["debug", pytest.param("local", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed")
def test_runs_are_those_of_this_process(tmp_path, path_of_workers, cluster):
    targets = {"a": target(0), "b": target(1)}
    want = nw.sample_many(targets, tmp_path / "here", nw.engines.Serial(), **FEW)
    engine = nw.engines.Slurm(cluster=cluster, minutes=5)
    assert same(nw.sample_many(targets, tmp_path / cluster, engine, **FEW), want)


@pytest.mark.parametrize("cluster", ["debug", pytest.param("local", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed")
def test_shards_are_the_whole_run(tmp_path, path_of_workers, cluster):
    want = in_shards(tmp_path / "here", target(1), nw.engines.Serial())
    engine = nw.engines.Slurm(cluster=cluster, minutes=5)
    assert same({"": in_shards(tmp_path / cluster, target(1), engine)}, {"": want})


def test_without_slurm_one_line_says_so(tmp_path):
    import shutil

    if shutil.which("srun"):
        pytest.skip("there is a Slurm")
    with pytest.raises(nw.errors.ConfigError, match="no Slurm"):
        nw.engines.Slurm("gpu").open(tmp_path)
