"""A job that no machine can do ends before anything is allocated, with its estimate."""

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.likelihoods import StudentT
from noisewalk.sampling import limits
from noisewalk.sampling.defaults import resolve, resolve_smc
from noisewalk.types import Estimate


@pytest.fixture
def target():
    phi = nw.maps.Affine(torch.eye(3), torch.zeros(3))
    likelihood = nw.likelihoods.Gaussian(0.5)
    return nw.NoisePosterior(phi, torch.nn.Identity(), likelihood, torch.ones(1, 3))


@pytest.mark.parametrize("store", [True, False])
def test_absurd_numbers_end_with_the_estimate(target, tmp_path, store):
    folder = tmp_path / "run" if store else None
    for settings in ({"num_chains": 10**12}, {"num_draws": 10**13}, {"num_chains": 10**18}):
        with pytest.raises(ConfigError, match=r"B of memory|B on the disk"):
            nw.sample(target, store=folder, progress=False, **settings)
    with pytest.raises(ConfigError, match="PB of memory"):
        nw.tempered_smc(target, 10**14, store=folder, progress=False)
    assert not (tmp_path / "run").exists()
    assert target.nfe < 10


def test_force_goes_on(target, monkeypatch):
    monkeypatch.setattr(limits, "total_memory", lambda device: 10)
    plan = resolve_smc(target, 50)
    with pytest.raises(ConfigError, match=r"has 10 bytes.*--force"):
        limits.check_size(plan, target, None)
    limits.check_size(plan, target, None, force=True)


def test_what_a_run_already_has_counts_as_room(target, tmp_path, monkeypatch):
    plan = resolve(target, nw.EllipticalSlice(), 4000, 2, warm_start=None)
    nw.sample(target, nw.EllipticalSlice(), 4, 2, warm_start=None, store=tmp_path, progress=False)
    monkeypatch.setattr(limits, "free_disk", lambda folder: plan.estimate(target).disk - 10)
    limits.check_size(plan, target, tmp_path)
    with pytest.raises(ConfigError, match="are free at"):
        limits.check_size(plan, target, tmp_path / "other")


def test_a_long_run_tells_its_days(target, monkeypatch, capsys):
    plan = resolve(target, nw.EllipticalSlice(), 10, 2, warm_start=None)
    limits.tell_time(plan, target)
    before = target.nfe
    monkeypatch.setattr(type(plan), "estimate", lambda *_: Estimate(10**13, 1, 1))
    limits.tell_time(plan, target)
    (line,) = capsys.readouterr().err.splitlines()
    assert "10,000,000,000,000 network calls" in line
    assert "days" in line
    assert target.nfe == before


def test_problems_and_batches_have_their_bounds(target):
    with pytest.raises(ConfigError, match="B of memory"):
        nw.calibrate(
            target.phi, target.operator, target.likelihood, num_problems=10**14, progress=False
        )
    with pytest.raises(ConfigError, match="microbatch"):
        nw.NoisePosterior(
            target.phi, target.operator, target.likelihood, target.y, microbatch=10**20
        )
    with pytest.raises(ConfigError, match="at most 1e"):
        StudentT(1e308, 0.1)


def test_sizes_are_for_people():
    texts = [limits.size_text(n) for n in (0, 999, 1500, 2.5e9, 10**40)]
    assert texts == ["0 bytes", "999 bytes", "1.5 kB", "2.5 GB", "1e+22 EB"]
    assert limits.total_memory(torch.device("cpu")) > 10**8
