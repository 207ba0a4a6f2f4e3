"""The summary of a run with several images."""

import dataclasses
import math

import torch
from affine_runs import KERNEL, settings, target

import noisewalk as nw


def test_a_nan_in_one_image_is_not_hidden_by_the_others():
    run = nw.sample(target(), KERNEL, **settings(num_draws=20))
    assert run.summary()["r_hat_max"] > 0
    for image in (0, 1):
        spoiled = run.draws.clone()
        spoiled[image] = torch.nan
        summary = dataclasses.replace(run, arrays={**run.arrays, "x": spoiled}).summary()
        assert all(
            math.isnan(summary[key])
            for key in (
                "r_hat_max",
                "r_hat_median",
                "ess_bulk_min",
                "ess_bulk_median",
                "ess_tail_min",
                "jump",
            )
        )


def test_chains_too_short_for_r_hat_and_ess_have_none():
    run = nw.sample(target(), KERNEL, **settings(num_draws=4))
    summary = run.summary()
    assert all(math.isnan(v) for k, v in summary.items() if k.startswith(("r_hat", "ess")))
    assert summary["jump"] > 0
    few = run.draws[0]  # the diagnostics themselves keep arviz-stats' numbers
    assert nw.diagnostics.image_diagnostics(few)["ess_bulk_min"] > 0


def test_the_reason_of_a_verdict_is_told_in_a_word_too():
    draws = torch.randn(1, 2, 20, 3, generator=torch.Generator().manual_seed(0))
    assert nw.Run({"x": draws}, nfe=0, seconds=0.0).summary()["verdict_cause"] in (
        "foreign",
        "short",
    )
    draws[0, 1] = 5.0  # one chain stands still far away
    draws[0, 0] = -5.0
    assert nw.Run({"x": draws}, nfe=0, seconds=0.0).summary()["verdict_cause"] == "stuck"
