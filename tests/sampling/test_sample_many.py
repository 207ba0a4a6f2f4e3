"""Many runs: each is that of `nw.sample`, finished ones stay, failed ones are named."""

import sys
from pathlib import Path

import pytest
import torch

import noisewalk as nw
from noisewalk.engines import work
from noisewalk.errors import ConfigError, NoisewalkError

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))
from units import FEW, Deadly, same, target


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The runs of `nw.sample`, with one thread."""
    folder, before = tmp_path_factory.mktemp("alone"), torch.get_num_threads()
    torch.set_num_threads(1)
    runs = {f"r{k}": nw.sample(target(k), store=folder / f"r{k}", **FEW) for k in range(3)}
    torch.set_num_threads(before)
    return runs


def test_every_engine_gives_the_runs_of_sample_bitwise_though_a_process_is_killed(
    tmp_path, alone, monkeypatch
):
    monkeypatch.setattr(work, "PAUSE", 0.01)
    targets = {f"r{k}": target(k) for k in range(3)}
    assert same(nw.sample_many(targets, tmp_path / "here", nw.engines.Serial(), **FEW), alone)
    marker = tmp_path / "killed"
    targets["r1"] = target(1, Deadly(str(marker), 6))
    found = nw.sample_many(targets, tmp_path / "two", nw.engines.Processes(2), **FEW)
    assert marker.exists()
    assert same(found, alone)


def test_finished_runs_are_not_computed_again_and_missing_ones_are(tmp_path, alone):
    targets = {f"r{k}": target(k) for k in range(3)}
    engine = nw.engines.Serial()
    nw.sample_many({"r0": targets["r0"]}, tmp_path, engine, **FEW)
    targets["r0"].nfe = 0
    assert same(nw.sample_many(targets, tmp_path, engine, **FEW), alone)
    assert targets["r0"].nfe == 0
    assert targets["r1"].nfe > 0
    longer = nw.sample_many({"r0": targets["r0"]}, tmp_path, engine, **{**FEW, "num_draws": 5})
    assert longer["r0"].draws.shape[2] == 5


def test_a_failed_run_is_named_and_the_others_are_there(tmp_path):
    bad = target(0)
    nw.sample(target(7), store=tmp_path / "b", **FEW)
    with pytest.raises(NoisewalkError, match=r"1 of 2 runs failed \(b: .*another run"):
        nw.sample_many({"a": bad, "b": target(1)}, tmp_path, **FEW)
    assert nw.open_run(tmp_path / "a").complete


def test_names_and_engines_that_cannot_be_are_refused(tmp_path):
    for name in ("", ".", "..", "a/b", "../up", ".hidden", "a\0b", 3):
        with pytest.raises(ConfigError, match="plain name"):
            nw.sample_many({name: target(0)}, tmp_path, **FEW)
    with pytest.raises(ConfigError, match=r"nw\.engines"):
        nw.sample_many({"a": target(0)}, tmp_path, "ray", **FEW)
    assert nw.sample_many({}, tmp_path, **FEW) == {}
