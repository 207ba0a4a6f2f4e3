"""The two rules of guidance."""

import pytest
import torch
from toys import Scale, Smooth

from noisewalk.errors import ConfigError
from noisewalk.evaluate import baselines


def test_an_exact_fit_has_a_finite_gradient() -> None:
    restored = baselines.dps(
        Smooth(), lambda x: 0 * x, torch.zeros(1, 1, 8, 8, dtype=torch.float64), num_steps=3
    )
    assert torch.equal(
        restored, baselines.unguided(Smooth(), num_steps=3, dtype=torch.float64, progress=False)
    )


def test_a_prior_is_no_denoiser_and_a_cut_gradient_is_named():
    with pytest.raises(ConfigError, match=r"prior.denoiser.*got object"):
        baselines.dps(object(), torch.sin, torch.zeros(1, 4))
    with pytest.raises(ConfigError, match="no gradient comes back"):
        baselines.dps(Scale(torch.ones(4)), torch.detach, torch.zeros(1, 4), num_steps=2)
