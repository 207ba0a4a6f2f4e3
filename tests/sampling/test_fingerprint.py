"""The number that tells whether a stored run's model is still the same."""

import pytest
import torch
from affine_runs import KERNEL, settings, target

import noisewalk as nw
from noisewalk.errors import StoreError

GAIN = 1.0


class Scale(torch.nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        return self.gain * x


def scaled_by_a_global(x):
    return scale(x)


def scale(x):
    return GAIN * x


@pytest.mark.parametrize(
    ("before", "after"),
    [(Scale(1.0), Scale(1.5)), (scaled_by_a_global, None)],
    ids=["attribute of a module", "global of a function"],
)
def test_a_stored_run_of_a_model_that_was_changed_is_refused(tmp_path, monkeypatch, before, after):
    def made(operator):
        kept = target()
        return nw.NoisePosterior(kept.phi, operator, kept.likelihood, kept.y)

    nw.sample(made(before), KERNEL, **settings(), store=tmp_path / "run")
    same = nw.sample(made(before), KERNEL, **settings(), store=tmp_path / "run")
    assert same.complete
    monkeypatch.setattr(f"{__name__}.GAIN", 1.5)
    with pytest.raises(StoreError, match="operator or likelihood has changed"):
        nw.sample(made(after or before), KERNEL, **settings(), store=tmp_path / "run")
