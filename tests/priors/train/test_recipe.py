"""The settings of a training: the learning rate, and what is not allowed."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.priors.train.recipe import TrainSettings

NOT_ALLOWED = {
    **dict.fromkeys(("num_images", "batch_size", "lr_hold"), (0, -1, 1.5, True, "3", None)),
    "lr": (0.0, -1.0, math.nan, math.inf, True, "3", None),
    "lr_decay": (-0.1, 1.1, math.nan),
    "seed": (-1, 2**32),
    "lr_warmup": (-5,),
    "ema_gamma": (-1.0,),
    "augment": ("mirror",),
    "checkpoint_seconds": (-1.0, math.nan),
}


@pytest.mark.parametrize("name", NOT_ALLOWED)
def test_settings_that_are_not_allowed_are_refused(name: str) -> None:
    for value in NOT_ALLOWED[name]:
        with pytest.raises(ConfigError, match=name):
            TrainSettings(**{"num_images": 4, name: value})


def test_numbers_of_numpy_and_torch_become_plain_ones() -> None:
    chosen = TrainSettings(np.int64(8), torch.tensor(4), seed=2**32 - 1, lr=np.float32(0.5))
    assert chosen == TrainSettings(8, 4, seed=2**32 - 1, lr=0.5)
    assert {type(v) for v in dataclasses.asdict(chosen).values()} == {
        *(int, float, bool, str),
        type(None),
    }


def test_the_rate_rises_linearly_holds_and_falls_as_one_over_the_root() -> None:
    chosen = TrainSettings(1, lr=0.02, lr_warmup=10, lr_hold=100)
    expected = {1: 0.002, 5: 0.01, 10: 0.02, 11: 0.02, 100: 0.02, 400: 0.01, 2500: 0.004}
    assert {k: chosen.learning_rate(k) for k in expected} == pytest.approx(expected, rel=1e-12)


def test_the_rate_falls_to_nothing_over_the_last_share() -> None:
    chosen = TrainSettings(400, 4, lr=0.02, lr_warmup=0, lr_hold=1000, lr_decay=0.2)
    expected = {1: 0.02, 80: 0.02, 81: 0.02, 91: 0.01, 100: 0.001}
    assert {k: chosen.learning_rate(k) for k in expected} == pytest.approx(expected, rel=1e-12)


def test_a_rate_without_warm_up_starts_full() -> None:
    assert TrainSettings(1, lr=0.02, lr_warmup=0).learning_rate(1) == 0.02
