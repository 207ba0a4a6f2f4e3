"""Law: runs that are long enough pass the converged test, and others fail."""

from typing import Any

import torch
from torch import Tensor

import noisewalk as nw


def bent(x: Tensor) -> Tensor:
    return x[:, :3] / 2 + torch.tanh(x[:, 1:])


PHI, LIKELIHOOD = nw.maps.Warp((4,), 0.8), nw.likelihoods.Gaussian(0.4)


def test_draws_from_a_stuck_start_fail_the_converged_test_and_good_ones_pass() -> None:
    stuck = nw.calibrate(
        PHI, bent, LIKELIHOOD, nw.Langevin(1e-6), num_problems=300, test="converged"
    )
    assert float(stuck.p_values.min()) < 1e-6
    assert (
        float(stuck.coverage.empirical.max()) < 0.3
    )  # near-copies: no interval of theirs holds the truth
    sound = nw.calibrate(
        PHI, bent, LIKELIHOOD, num_problems=300, test="converged", num_draws=9, thin=2
    )
    assert float(sound.p_values.min()) > 0.001
    assert sound.quantities[-1] == "TARP of x"
    assert len(sound.p_values) == len(sound.quantities)
    error = (
        sound.coverage.empirical - sound.coverage.nominal[:, None]
    ) / sound.coverage.standard_error
    assert float(error.abs().max()) < 4.5


def test_tempered_smc_passes_the_converged_test() -> None:
    found = nw.calibrate(
        PHI, bent, LIKELIHOOD, "smc", num_problems=200, test="converged", num_carried=60
    )
    assert found.ranks.shape == (200, len(found.quantities) - 1)
    assert float(found.p_values.min()) > 0.001


def test_a_run_that_is_ranked_takes_the_refresh_too() -> None:
    settings: dict[str, Any] = {
        "num_problems": 20,
        "test": "converged",
        "num_draws": 3,
        "num_warmup": 10,
    }
    found = [
        nw.calibrate(PHI, bent, LIKELIHOOD, refresh=refresh, **settings).nfe
        for refresh in (None, nw.SpectralRefresh((0.0,), 4))
    ]
    assert found[1] - found[0] == 20 * (1 + 4)
