"""Execution of a plan: stored runs of another specification, and the draws before a failure."""

import pytest
import torch
from affine_runs import KERNEL, settings, target

import noisewalk as nw
from noisewalk.errors import DivergedError, StoreError
from noisewalk.sampling import execute


def test_another_specification_is_refused(tmp_path):
    nw.sample(target(), KERNEL, **settings(), store=tmp_path / "run")
    with pytest.raises(StoreError, match="seed"):
        nw.sample(target(), KERNEL, **settings(), seed=1, store=tmp_path / "run")


def test_the_draws_before_a_divergence_are_kept(monkeypatch):
    victim, calls, evaluate = target(), 0, nw.NoisePosterior.__call__

    def dying(self, z):
        nonlocal calls
        calls += 1
        parts = evaluate(self, z)
        return parts if calls <= 8 else parts._replace(nll=parts.nll * torch.nan)

    monkeypatch.setattr(nw.NoisePosterior, "__call__", dying)
    with pytest.raises(DivergedError, match="this error's `run`") as raised:
        nw.sample(
            victim,
            KERNEL,
            **settings(num_draws=500, num_warmup=0, thin=1, warm_start=None, adapt=None),
        )
    assert raised.value.run.draws.shape[2] >= 7
    assert not raised.value.run.complete


def test_what_a_run_is_must_be_known_before_any_work(monkeypatch):
    def broken(plan, target):
        raise RuntimeError("no facts")

    monkeypatch.setattr(execute, "spec_of", broken)
    posed = target()
    before = posed.nfe
    with pytest.raises(RuntimeError, match="no facts"):
        nw.sample(posed, num_draws=2, progress=False)
    assert posed.nfe - before <= 2  # of the checks
