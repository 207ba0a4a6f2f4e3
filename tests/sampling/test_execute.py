"""Execution of a plan: stored runs of another specification, and the draws before a failure."""

import pytest
import torch
from affine_runs import KERNEL, settings, target

import noisewalk as nw
from noisewalk.errors import DivergedError, StoreError


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
