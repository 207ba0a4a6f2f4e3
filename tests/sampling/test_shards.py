"""One run's chains in shards: bitwise those of the whole run where rows do not meet, whoever draws
them, and whatever was killed on the way."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

import noisewalk as nw
from noisewalk.engines import work
from noisewalk.errors import ConfigError, NoisewalkError, StoreError
from noisewalk.sampling import chains
from noisewalk.sampling.defaults import resolve
from noisewalk.sampling.execute import draw
from noisewalk.sampling.shards import HEAD, Parted, _unit, draw_shards
from noisewalk.sampling.watch import progress_of
from noisewalk.storage.doctor import examine, repair

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))
from units import Deadly, same, target

SHORT = {"num_chains": 5, "num_warmup": 6, "num_draws": 2, "thin": 2}
LONG = {**SHORT, "plan": "long_chains", "num_draws": 6}
PLANS = {"short": SHORT, "long": LONG, "slice": {**LONG, "kernel": nw.EllipticalSlice()}}


def sharded(folder, posterior, engine=None, num_shards=2, settings=SHORT, **more):
    plan = resolve(posterior, **settings)
    used = engine or nw.engines.Serial()
    return draw_shards(plan, posterior, folder, False, engine=used, num_shards=num_shards, **more)


def whole(folder, posterior, settings=SHORT):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    run = draw(resolve(posterior, **settings), posterior, folder, False)
    torch.set_num_threads(before)
    return run


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("num_shards", [1, 2, 5])
def test_shards_are_the_whole_run_bitwise(tmp_path, name, num_shards):
    settings = PLANS[name]
    one = whole(tmp_path / "one", target(1), settings)
    found = sharded(tmp_path / "some", target(1), None, num_shards, settings)
    assert same({"": found}, {"": one})
    assert (found.complete, found.nfe) == (True, one.nfe)
    for key in ("early_x", "early_lp", "y"):
        assert torch.equal(vars(found)[key], vars(one)[key])
    assert found.summary()["verdict"] == one.summary()["verdict"]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [2, None])
def test_a_network_that_sees_the_rows_of_a_shard_gives_the_same_bits(tmp_path, rows):
    prior, likelihood = nw.load_prior("fashion32"), nw.likelihoods.Gaussian(0.1)
    y = torch.zeros(1, 1, 8, 8)
    parts = prior.map(), nw.operators.AveragePool(4), likelihood, y
    posterior = nw.NoisePosterior(*parts, microbatch=rows)
    start = nw.RandomizedStarts(num_steps=2)
    settings = {"num_chains": 4, "num_warmup": 2, "thin": 2, "num_draws": 2, "warm_start": start}
    settings["kernel"] = nw.Langevin(1e-3, adjust=True)
    one = whole(tmp_path / "one", posterior, settings)
    found = sharded(tmp_path / "some", posterior, settings=settings)
    if rows == 2:
        assert same({"": found}, {"": one})
    else:  # the network rounds otherwise
        torch.testing.assert_close(found.draws[...], one.draws[...], atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("rows", "at"),
    [(5, 9), (3, 4), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((5, 2), (2, 14)))],
)
def test_a_worker_that_is_killed_in_any_phase_is_replaced(tmp_path, monkeypatch, rows, at):
    monkeypatch.setattr(work, "PAUSE", 0.01)
    settings = {**LONG, "kernel": nw.HMC(0.3, 2), "warm_start": None}
    marker = tmp_path / "killed"
    mortal = target(1, Deadly(str(marker), at, rows))
    found = sharded(tmp_path / "some", mortal, nw.engines.Processes(2), 2, settings)
    assert marker.exists()
    assert same({"": found}, {"": whole(tmp_path / "one", target(1), settings)})


class Stops:
    """The identity; Ctrl-C at every so many calls of it."""

    every = 10**9
    calls = 0

    def __call__(self, x):
        Stops.calls += 1
        if Stops.calls % Stops.every == 0:
            raise KeyboardInterrupt
        return x

    def __repr__(self):
        return "Deadly()"


@pytest.mark.parametrize("name", ["short", "long"])
def test_a_driver_that_is_stopped_again_and_again_goes_on_bitwise(tmp_path, monkeypatch, name):
    monkeypatch.setattr(chains, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(chains, "SHARE", 0.0)
    one, stops, seen = whole(tmp_path / "one", target(1), PLANS[name]), 0, set()
    posterior = target(1, Stops())
    monkeypatch.setattr(Stops, "every", 17)
    while True:
        try:
            found = sharded(tmp_path / "some", posterior, settings=PLANS[name])
            break
        except KeyboardInterrupt:
            stops += 1
            seen.add(progress_of(tmp_path / "some").phase)
            if (tmp_path / "some/run.zarr").is_dir():
                assert not nw.open_run(tmp_path / "some").complete
    assert stops >= 4
    assert seen >= {"starts", "warm-up", "draws"}
    assert same({"": found}, {"": one})


def test_finished_parts_are_not_computed_again_and_more_draws_go_on(tmp_path):
    engine, posterior = nw.engines.Serial(), target(1)
    sharded(tmp_path, posterior, engine, settings=LONG)
    posterior.nfe = 0
    sharded(tmp_path, posterior, engine, settings=LONG)
    assert posterior.nfe == 0
    more = {**LONG, "num_draws": 9}
    longer = sharded(tmp_path, posterior, engine, settings=more)
    assert longer.complete
    assert same({"": longer}, {"": whole(tmp_path / "one", target(1), more)})


def test_what_shards_have_is_read_together(tmp_path):
    plan = resolve(target(1), **LONG)
    parted = Parted(plan, target(1), tmp_path, 2)
    for unit, draws in ((HEAD, 0), (0, 0), (1, 6)):
        _unit(parted, unit)
        run = nw.open_run(tmp_path)
        assert (run.draws.shape[2], run.complete) == (draws, draws == 6)
        assert run.nfe > 0
    assert progress_of(tmp_path).phase == "done"
    assert nw.open_run(tmp_path / "shards/1").draws.shape[1] == 2
    want = run.draws[...]
    for index in ((0, 3), (..., 1), (0, slice(1, None, 2), [4, 0]), (0, torch.tensor([4, 0]))):
        assert torch.equal(run.draws[index], want[index])


def test_another_number_of_shards_and_a_stored_run_are_refused(tmp_path):
    sharded(tmp_path, target(1))
    with pytest.raises(StoreError, match="shard_chains is 2 there, 3 here"):
        sharded(tmp_path, target(1), None, 3)
    with pytest.raises(StoreError, match="shard_chains"):
        nw.sample(target(1), store=tmp_path, **{**SHORT, "progress": False})
    with pytest.raises(StoreError, match="--resume"):
        sharded(tmp_path, target(1), resume=False)
    with pytest.raises(ConfigError, match="up to 5"):
        sharded(tmp_path / "new", target(1), None, 6)
    assert not (tmp_path / "new").exists()


def test_a_shard_that_fails_is_told(tmp_path):
    sharded(tmp_path, target(1))
    spec = tmp_path / "shards/1/spec.json"
    told = json.loads(spec.read_text())
    told["plan"]["seed"] = 1
    del told["checksum"]
    spec.write_text(json.dumps(told))
    with pytest.raises(NoisewalkError, match=r"1 of 2 shards failed \(.*another run.*--resume"):
        sharded(tmp_path, target(1))


def test_a_damaged_shard_is_found_and_repaired(tmp_path):
    one = sharded(tmp_path, target(1), settings=LONG).draws[...].clone()
    draws = next((tmp_path / "shards/1/run.zarr/x").glob("c.*"))
    data = bytearray(draws.read_bytes())
    data[4 * len(data) // 6] ^= 1
    draws.write_bytes(data)
    with pytest.raises(StoreError, match="draw 4 of x"):
        nw.open_run(tmp_path).draws[...]
    health = examine(tmp_path)
    assert (health.num_draws, health.good_draws) == (6, 4)
    assert "shards/1" in health.faults[0]
    repair(tmp_path)
    assert examine(tmp_path).faults == ()
    assert torch.equal(nw.open_run(tmp_path).draws[...], one[:, :, :4])
    assert torch.equal(sharded(tmp_path, target(1), settings=LONG).draws[...], one)


def test_shards_that_cannot_be_are_one_line(tmp_path):
    sharded(tmp_path, target(1))
    spec = tmp_path / "spec.json"
    facts = json.loads(spec.read_text())
    del facts["checksum"]
    for count, says in (
        (10**9, "restore"),
        (3, "other arrays"),
        (0, "whole number"),
        ("2", "null"),
    ):
        spec.write_text(json.dumps({**facts, "shard_chains": count}))
        with pytest.raises(StoreError, match=says):
            nw.open_run(tmp_path)


def test_a_shard_in_the_place_of_another_is_no_part_of_the_run(tmp_path):
    made = sharded(tmp_path, target(1), settings={**SHORT, "num_chains": 4})
    shutil.rmtree(tmp_path / "shards/1")
    shutil.copytree(tmp_path / "shards/0", tmp_path / "shards/1")
    assert "chains of another shard" in examine(tmp_path).faults[0]
    with pytest.raises(StoreError, match=r"shards/1 holds the chains of another shard.*--resume"):
        nw.open_run(tmp_path)
    repair(tmp_path)
    assert "chains of another shard" in examine(tmp_path).faults[0]  # which only a person can mend
    shutil.rmtree(tmp_path / "shards/1")
    again = sharded(tmp_path, target(1), settings={**SHORT, "num_chains": 4})
    assert same({"": again}, {"": made})


@pytest.mark.parametrize("gone", ["shards/1", "shards"])
def test_a_lost_shard_differs_from_one_that_is_to_come(tmp_path, gone):
    made = sharded(tmp_path, target(1))
    shutil.rmtree(tmp_path / gone)
    health = examine(tmp_path)
    assert (health.num_draws, len(health.faults)) == (0, 1 if gone == "shards/1" else 2)
    with pytest.raises(StoreError, match=r"shards/[01] is lost: .*--resume"):
        nw.open_run(tmp_path)
    assert progress_of(tmp_path).phase == "damaged"
    repair(tmp_path)
    assert examine(tmp_path).faults == ()
    assert nw.open_run(tmp_path).draws.shape[2] == 0
    assert same({"": sharded(tmp_path, target(1))}, {"": made})


def test_a_lost_shard_is_drawn_again_without_a_repair(tmp_path):
    made = sharded(tmp_path, target(1))
    shutil.rmtree(tmp_path / "shards/0")
    assert same({"": sharded(tmp_path, target(1))}, {"": made})


def test_a_damaged_specification_of_a_shard_is_told(tmp_path):
    sharded(tmp_path, target(1))
    spec = tmp_path / "shards/1/spec.json"
    spec.write_text(spec.read_text().replace('"num_draws": 2', '"num_draws": 3'))
    with pytest.raises(StoreError, match=r"spec\.json"):
        nw.open_run(tmp_path)
