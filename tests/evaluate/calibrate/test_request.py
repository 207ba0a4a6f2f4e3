"""Law: what cannot be calibrated is refused before any network call."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.kernels.split_hmc import SplitHMC


def bent(x: Tensor) -> Tensor:
    return x[:, :3] / 2 + torch.tanh(x[:, 1:])


PHI, LIKELIHOOD = nw.maps.Warp((4,), 0.8), nw.likelihoods.Gaussian(0.4)


def test_an_exact_kernel_that_is_not_reversible_is_refused() -> None:
    with pytest.raises(ConfigError, match="not reversible"):
        nw.calibrate(PHI, bent, LIKELIHOOD, SplitHMC(0.2, 6), num_problems=20)


def test_a_value_out_of_range_is_refused() -> None:
    changes: list[dict[str, Any]] = [
        {"test": "both"},
        {"num_problems": 5},
        {"num_draws": 1},
        {"thin": 0},
        {"thin": "often"},
        {"seed": -1},
        {"kernel": nw.Langevin(0.1)},
        {"kernel": "smc"},
        {"kernel": "em"},
        {"adapted": True},
        {"refresh": "spectral"},
        {"kernel": "smc", "test": "converged", "refresh": nw.SpectralRefresh()},
        {"kernel": nw.Langevin(0.1, "em", adjust=True), "refresh": nw.SpectralRefresh()},
    ]
    for change in changes:
        with pytest.raises(ConfigError):
            nw.calibrate(PHI, bent, LIKELIHOOD, **change)


def test_whole_numbers_of_any_kind_are_taken() -> None:
    kernel = nw.EllipticalSlice()
    counts = [(20, 3, 1, 5), (np.int64(20), torch.tensor(3), np.int32(1), np.uint8(5))]
    found = [
        nw.calibrate(PHI, bent, LIKELIHOOD, kernel, n, seed=seed, num_draws=draws, thin=thin)
        for n, draws, thin, seed in counts
    ]
    assert torch.equal(found[0].ranks, found[1].ranks)
