"""Law: calibration passes exact kernels, and names what is wrong with the others."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.gaussians.spectral import Spectral
from noisewalk.kernels.split_hmc import SplitHMC
from noisewalk.noise import Noise
from noisewalk.types import Info, State, Target


def bent(x: Tensor) -> Tensor:
    return x[:, :3] / 2 + torch.tanh(x[:, 1:])


PHI, LIKELIHOOD = nw.maps.Warp((4,), 0.8), nw.likelihoods.Gaussian(0.4)


def test_an_exact_kernel_passes() -> None:
    kernels = (None, nw.Langevin(0.1, adjust=True), nw.EllipticalSlice(), nw.HMC(0.3, 3))
    for kernel in kernels:
        found = nw.calibrate(PHI, bent, LIKELIHOOD, kernel, num_problems=400)
        assert found.ranks.shape == (400, len(found.quantities))
        assert 0.2 < found.acceptance_rate < 1
        assert float(found.p_values.min()) > 0.001, kernel


def test_ties_of_rejected_moves_are_broken_independently_of_the_truths_place() -> None:
    found = nw.calibrate(PHI, bent, LIKELIHOOD, nw.Langevin(0.25, adjust=True), num_problems=20_000)
    assert found.acceptance_rate < 0.2
    assert float(found.p_values.min()) > 0.001


def test_the_cost_of_fitting_a_kernel_is_counted() -> None:
    kernel, settings = nw.Langevin(0.1, adjust=True), {"num_problems": 30, "num_draws": 5}
    given, fitted = (
        nw.calibrate(PHI, bent, LIKELIHOOD, kernel, **settings, adapted=adapted)
        for adapted in (False, True)
    )  # type: ignore[arg-type]
    assert given.nfe == 30 * 5
    assert fitted.nfe == 30 * (5 + 1 + 60 + 20 + 1)


def test_a_kernel_that_keeps_velocities_keeps_them_between_two_places() -> None:
    def cost(kernel: nw.HMC, **settings: int) -> float:
        return nw.calibrate(
            PHI, bent, LIKELIHOOD, kernel, num_problems=30, num_draws=5, **settings
        ).nfe / (30 * 5 * 3)  # type: ignore[arg-type]

    kept = nw.HMC(0.3, 3, friction=0.5)
    assert [cost(kept), cost(kept, thin=1), cost(nw.HMC(0.3, 3))] == [2, 1, 1]


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
    )
    probes = 2 * (1 + 2 * 4)  # a preconditioner of all four directions, twice
    assert short.nfe == 30 * (1 + 200 + probes + 15 * 3 + 1 + 200)


def test_an_exact_kernel_that_is_not_reversible_is_refused() -> None:
    with pytest.raises(ConfigError, match="not reversible"):
        nw.calibrate(PHI, bent, LIKELIHOOD, SplitHMC(0.2, 6), num_problems=20)


@dataclass(frozen=True)
class Careless(nw.Kernel):
    """MALA that accepts everything and says it is exact."""

    exact = True

    def step(
        self, state: State, target: Target, noise: Noise, carry: Tensor | None = None
    ) -> tuple[State, Info, Tensor | None]:
        return nw.Langevin(0.15).step(state, target, noise)


def test_a_biased_kernel_is_found_out() -> None:
    found = nw.calibrate(PHI, bent, LIKELIHOOD, Careless(), num_problems=1500)
    assert float(found.p_values.min()) < 0.001


@dataclass(frozen=True)
class Stateless(nw.Kernel):
    """A kernel whose step forgets what happened."""

    exact = True

    def step(self, state: State, target: Target, noise: Noise, carry: Any = None) -> Any:
        return state


def test_what_is_no_kernel_is_told_what_one_is() -> None:
    for kernel in (Stateless(), "mala", Careless, object()):
        with pytest.raises(ConfigError, match=r"step must return|kernel must be"):
            nw.calibrate(PHI, bent, LIKELIHOOD, kernel, num_problems=20)  # type: ignore[arg-type]


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


def test_tempered_smc_passes_the_converged_test() -> None:
    found = nw.calibrate(
        PHI, bent, LIKELIHOOD, "smc", num_problems=200, test="converged", num_carried=60
    )
    assert found.ranks.shape == (200, len(found.quantities) - 1)
    assert float(found.p_values.min()) > 0.001


def test_a_run_that_knows_nothing_of_the_truth_fits_step_and_preconditioner_to_every_y() -> None:
    default = nw.calibrate(PHI, bent, LIKELIHOOD, num_problems=30)
    assert default.kernel.step_size.shape == (30,)
    assert default.kernel.preconditioner.eigenvalues.shape[0] == 30
    adapted = nw.calibrate(
        PHI, bent, LIKELIHOOD, nw.Langevin(1e-3, adjust=True), num_problems=30, adapted=True
    )
    assert adapted.kernel.step_size.shape == (30,)
    assert float(adapted.kernel.step_size.min()) > 2e-3


def test_a_spectral_gaussian_is_fitted_where_it_is_asked_for() -> None:
    settings: dict[str, Any] = {"num_problems": 200, "refresh": nw.SpectralRefresh(num_probes=4)}
    for kernel in (None, nw.HMC(0.3, 4), nw.EllipticalSlice()):
        found = nw.calibrate(PHI, bent, LIKELIHOOD, kernel, **settings)
        assert isinstance(found.kernel.preconditioner, Spectral)
        assert len(found.kernel.preconditioner.mean) == 200
        assert kernel is None or found.kernel.step_size == kernel.step_size
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


def test_the_plot_has_a_curve_per_quantity() -> None:
    found = nw.calibrate(PHI, bent, LIKELIHOOD, nw.EllipticalSlice(), num_problems=40)
    assert [len(axes.lines) for axes in found.plot().axes] == [len(found.quantities)]
    ranked = nw.calibrate(
        PHI, bent, LIKELIHOOD, nw.EllipticalSlice(), num_problems=40, test="converged"
    )
    assert [len(axes.lines) for axes in ranked.plot().axes] == [
        len(found.quantities),
        1 + len(found.quantities),
    ]
    assert "smallest p" in repr(found)


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
