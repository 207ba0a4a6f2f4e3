"""How far a run is, in every phase, from its files alone."""

import math
import os
import time

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import StoreError
from noisewalk.sampling import chains
from noisewalk.sampling.defaults import resolve, resolve_smc
from noisewalk.sampling.execute import draw
from noisewalk.sampling.watch import progress_of, runs_in, watched


@pytest.fixture(scope="module")
def target():
    phi = nw.maps.Affine(torch.eye(3), torch.zeros(3))
    likelihood = nw.likelihoods.Gaussian(0.5)
    return nw.NoisePosterior(phi, torch.nn.Identity(), likelihood, torch.ones(1, 3))


class StoppedError(Exception):
    pass


def stopped(plan, target, folder, at, monkeypatch):
    """Draw until the tick number `at`, with a checkpoint after every step."""
    monkeypatch.setattr(chains, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(chains, "SHARE", 0.0)
    run, count = type(plan).run, 0

    def some(self, *arguments):
        nonlocal count
        for tick in run(self, *arguments):
            count += 1
            yield tick
            if count == at:
                raise StoppedError

    monkeypatch.setattr(type(plan), "run", some)
    with pytest.raises(StoppedError):
        draw(plan, target, folder, progress=False)
    monkeypatch.undo()


@pytest.mark.parametrize(("at", "phase"), [(3, "starts"), (8, "warm-up"), (14, "draws")])
def test_phases_and_shares_are_those_of_the_plan(target, tmp_path, monkeypatch, at, phase):
    plan = resolve(target, nw.HMC(0.1, 2), 6, 2, 6, warm_start=nw.Adam(4), refresh=None)
    stopped(plan, target, tmp_path / "run", at, monkeypatch)
    found = progress_of(tmp_path / "run")
    assert found.phase == phase
    assert found.share == pytest.approx(at / 16)
    assert (found.num_draws, found.planned) == (max(0, at - 10), 6)
    assert found.seconds_left > 0
    assert math.isnan(found.acceptance_rate) == (phase != "draws")
    assert not found.ended
    old = time.time() - 1e6
    os.utime(tmp_path / "run/run.zarr/zarr.json", (old, old))
    assert progress_of(tmp_path / "run").phase == f"{phase}, stopped"


def test_particles_have_a_temperature(target, tmp_path, monkeypatch):
    plan = resolve_smc(target, 40)
    stopped(plan, target, tmp_path / "run", 2, monkeypatch)
    found = progress_of(tmp_path / "run")
    assert found.phase.startswith("beta 0")
    assert 0 < found.share < 1


def test_a_folder_of_runs_is_watched_to_its_end(target, tmp_path):
    for name in ("b", "a"):
        nw.sample(
            target,
            nw.EllipticalSlice(),
            6,
            2,
            warm_start=None,
            store=tmp_path / name,
            progress=False,
        )
    (look,) = watched(tmp_path, 0.01)
    assert [(one.name, one.phase, one.share) for one in look] == [
        ("a", "done", 1),
        ("b", "done", 1),
    ]
    assert all(one.acceptance_rate > 0 for one in look)
    (tmp_path / "a/run.zarr/zarr.json").write_text("{}")
    assert progress_of(tmp_path / "a").phase == "damaged"
    assert [p.name for p in runs_in(tmp_path / "b")] == ["b"]


def test_no_run_is_one_line(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(StoreError, match="holds no run"):
            runs_in(folder)
