"""The options of engines: each is read by one of them."""

import pytest

from noisewalk import engines
from noisewalk.cli.engines import engine_of
from noisewalk.errors import ConfigError


def test_options_make_an_engine():
    assert engine_of(None) is None
    assert engine_of("serial") == engines.Serial()
    assert engine_of("process", 3) == engines.Processes(3)
    assert engine_of("ray", address="host:1", num_gpus=1) == engines.Ray("host:1", 1)
    assert engine_of("slurm", partition="gpu", num_threads=2) == engines.Slurm("gpu", num_threads=2)


def test_an_option_that_nobody_reads_is_refused():
    wrong = [("cloud",), (None, 2), ("ray", 2), ("process", None, "auto"), ("ray", None, None, "p")]
    for words in wrong:
        with pytest.raises(ConfigError, match="--"):
            engine_of(*words)
    with pytest.raises(ConfigError):
        engine_of("process", 0)


def test_bench_reads_them(refused):
    assert "--workers is for" in refused("bench", "table1", "--prior", "fashion32", "--workers", 2)
    told = refused("bench", "table1", "--prior", "fashion32", "--engine", "ray", "--jobs", 2)
    assert "does not read --jobs" in told
    assert "--engine" in refused("bench", "figure1", "--engine", "serial")
