"""The summary of a run with several images."""

import dataclasses
import math

import torch
from affine_runs import KERNEL, settings, target

import noisewalk as nw


def test_a_nan_in_one_image_is_not_hidden_by_the_others():
    run = nw.sample(target(), KERNEL, **settings(num_draws=8))
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
