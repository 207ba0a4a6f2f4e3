"""Law: both tests take kernels as `sample` does, without gradients too, and keep to the dtype."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.noise import Noise
from noisewalk.types import State, Target


def bent(x: Tensor) -> Tensor:
    return x[:, :3] / 2 + torch.tanh(x[:, 1:])


PHI, LIKELIHOOD = nw.maps.Warp((4,), 0.8), nw.likelihoods.Gaussian(0.4)


def test_an_adapted_hmc_is_what_sample_runs() -> None:
    found = nw.calibrate(
        PHI, bent, LIKELIHOOD, nw.HMC(0.3, 3), num_problems=30, num_draws=5, adapted=True
    )
    assert found.kernel.preconditioner.mean.shape == (30, 4)
    assert float(found.kernel.step_size.max()) <= nw.HMC(0.3, 3).quarter_turn * (1 + 1e-6)
    short = nw.calibrate(
        PHI,
        bent,
        LIKELIHOOD,
        nw.HMC(0.3, 3),
        num_problems=30,
        num_draws=5,
        adapted=True,
        test="converged",
        num_warmup=10,
        warm_start=nw.Adam(20),
    )
    probes = 2 * (1 + 2 * 4)  # a preconditioner of all four directions, twice
    found_out = 1  # whether the map has a Jacobian-vector product
    assert short.nfe == 30 * (1 + 20 + probes + 15 * 3 + 1 + 200) + found_out


@dataclass(frozen=True)
class Stateless(nw.Kernel):
    """A kernel whose step forgets what happened."""

    exact = True

    def step(self, state: State, target: Target, noise: Noise, carry: Any = None) -> Any:
        return state


def test_what_is_no_kernel_is_told_what_one_is() -> None:
    for kernel in (Stateless(), "mala", Stateless, object()):
        with pytest.raises(ConfigError, match=r"step must return|kernel must be"):
            nw.calibrate(PHI, bent, LIKELIHOOD, kernel, num_problems=20)  # type: ignore[arg-type]


def coarse(x: Tensor) -> Tensor:
    return torch.from_numpy(np.round(2 * x.numpy()) / 2)


def test_an_operator_without_gradients_is_calibrated_by_slice_sampling() -> None:
    settings: dict[str, Any] = {"num_problems": 200, "differentiable": False}
    for test in ("exactness", "converged"):
        found = nw.calibrate(PHI, coarse, LIKELIHOOD, test=test, thin=4, **settings)
        assert isinstance(found.kernel, nw.EllipticalSlice)
        assert float(found.p_values.min()) > 0.001
        with pytest.raises(ConfigError, match="needs gradients"):
            nw.calibrate(PHI, coarse, LIKELIHOOD, nw.HMC(0.1, 2), test=test, **settings)


def test_progress_is_silent_only_when_asked_to_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("noisewalk._progress.LINE_SECONDS", 0.0)
    for test in ("exactness", "converged"):
        for progress in (True, False):
            settings: dict[str, Any] = {"num_problems": 20, "num_draws": 2, "num_warmup": 2}
            nw.calibrate(PHI, bent, LIKELIHOOD, test=test, progress=progress, **settings)
            told = capsys.readouterr()
            assert told.out == ""
            assert bool(told.err) == progress


def test_the_whole_run_is_of_the_dtype() -> None:
    seen = set()

    def watched(x: Tensor) -> Tensor:
        seen.add(x.dtype)
        return x

    for test in ("exactness", "converged"):
        settings: dict[str, Any] = {"num_problems": 20, "num_draws": 2, "dtype": torch.float64}
        nw.calibrate(PHI, watched, LIKELIHOOD, nw.EllipticalSlice(), test=test, **settings)
    assert seen == {torch.float64}
