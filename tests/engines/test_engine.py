"""Every engine opens an executor, has a number of threads and can be pickled."""

import pickle
from concurrent.futures import Executor

import pytest

import noisewalk as nw
from noisewalk.errors import ConfigError

ENGINES = [nw.engines.Serial(), nw.engines.Processes(2), nw.engines.Ray(), nw.engines.Slurm()]


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
def test_an_engine_is_a_value(engine):
    assert isinstance(engine, nw.engines.Engine)
    assert pickle.loads(pickle.dumps(engine)) == engine
    assert engine.num_threads == 1


def test_executors_are_those_of_the_standard_library(tmp_path):
    for engine in (nw.engines.Serial(), nw.engines.Processes(1)):
        with engine.open(tmp_path) as executor:
            assert isinstance(executor, Executor)
            assert executor.submit(max, 1, 2).result() == 2
            assert list(executor.map(abs, (-1, -2))) == [1, 2]


def test_values_out_of_range_are_refused():
    for wrong in (
        lambda: nw.engines.Serial(0),
        lambda: nw.engines.Processes(0),
        lambda: nw.engines.Ray(num_gpus=-1),
        lambda: nw.engines.Slurm(minutes=0),
        lambda: nw.engines.Slurm(cluster="cloud"),
    ):
        with pytest.raises(ConfigError):
            wrong()
