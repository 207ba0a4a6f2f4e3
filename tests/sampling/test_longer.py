"""Starts go on while they gain much, alone and no further than they may."""

import torch

import noisewalk as nw
from noisewalk.sampling import longer

COUNT = torch.tensor([100.0])


def at(taken, f, **changes):
    """The work of a start whose two chains have taken so many steps."""
    memory = {"f": torch.tensor(f, dtype=torch.float64), "active": torch.tensor([True, True])}
    return {"taken": taken, "memory": memory, **changes}


def test_a_chain_that_gains_goes_on_alone():
    work = longer.marked(at(60, [500.0, 100.0]), 75, COUNT)
    assert longer.end(work, 75) == 75
    work = longer.marked({**work, **at(75, [400.0, 99.0])}, 75, COUNT)
    assert longer.end(work, 75) == 90
    assert work["memory"]["active"].tolist() == [True, False]
    work = longer.marked({**work, **at(90, [399.0, 99.0])}, 75, COUNT)
    assert longer.end(work, 75) == 90


def test_nobody_goes_on_for_ever():
    work, f = at(60, [1e6, 1e6]), 1e6
    for taken in range(60, 1000):
        work = longer.marked({**work, "taken": taken}, 75, COUNT)
        if taken == longer.end(work, 75):
            break
        f -= 1e3
        work["memory"] = {**work["memory"], "f": torch.full((2,), f, dtype=torch.float64)}
    assert taken == 75 + longer.MOST


def test_a_second_try_has_its_own_end():
    work = at(0, [1.0, 1.0], first={})
    assert longer.end(work, 75) == 50


def chi2_after(most, monkeypatch):
    """Of four starts in a stiff linear problem whose steps may be as many more."""
    monkeypatch.setattr(longer, "MOST", most)
    turn = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(0)))[0]
    phi = nw.maps.Affine(turn * torch.logspace(-1, 2, 64) @ turn.T)
    y = phi(torch.randn(1, 64, generator=torch.Generator().manual_seed(1)))
    target = nw.NoisePosterior(phi, lambda x: x, nw.likelihoods.Gaussian(0.05), y)
    starts = nw.RandomizedStarts(num_candidates=1)
    run = nw.sample(target, warm_start=starts, num_warmup=1, thin=1, num_chains=4, progress=False)
    return run.arrays["chi2"]


def test_a_stiff_problem_gets_more_steps(monkeypatch):
    assert 2 * chi2_after(longer.MOST, monkeypatch).max() < chi2_after(0, monkeypatch).min()
