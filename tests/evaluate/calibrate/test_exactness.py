"""Law: exact kernels pass the exactness test, and a biased one is found out."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.gaussians.spectral import Spectral
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
