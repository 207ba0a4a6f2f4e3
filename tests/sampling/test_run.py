import math

import torch
from affine_runs import KERNEL, settings, target

import noisewalk as nw


def test_draws_of_another_sampler_are_a_run():
    draws = torch.randn(1, 2, 8, 3, generator=torch.Generator().manual_seed(0))
    run = nw.Run({"x": draws}, nfe=100, seconds=1.0)
    summary = run.summary()
    assert summary["r_hat_max"] > 0.5
    assert math.isnan(summary["chi2"])
    assert math.isnan(summary["acceptance_rate"])
    tree = run.to_arviz()
    assert tree["posterior"]["x"].shape == (2, 8, 1, 3)
    assert "sample_stats" not in tree


def test_a_run_prints_as_one_line():
    run = nw.sample(target(), KERNEL, **settings())
    assert repr(run) == f"Run(2 images, 3 chains, 6 draws of shape (4,), {run.nfe:,} network calls)"
