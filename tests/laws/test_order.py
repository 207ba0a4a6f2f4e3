"""Law: the unadjusted kernels are of first order: the bias of the variance halves with the step."""

import math

import pytest
import torch
from cases import draw
from gaussian import TOLERANCE, kept_variance, problem, step_size_for

import noisewalk as nw
from noisewalk import noise

DIM, ROWS, EIGENVALUE = 8, 4096, 10.0


def measured_bias(scheme: str, step_size: float) -> float:
    """Relative bias of the variance after forgetting the start (the exact posterior), pooled over
    directions that are all alike."""
    case = problem((EIGENVALUE,) * DIM)
    kernel, rows = nw.Langevin(step_size, scheme=scheme), noise.rows(7, 1, ROWS)
    state = case.target(case.unwhiten(draw((DIM,), ROWS, seed=8, dtype=torch.float64)))
    for step in range(
        40
    ):  # the start is forgotten at (1 - stiffness)^2 a step: below 1e-6 at stiffness 0.2
        state, _, _ = kernel.step(state, case.target, rows.at(step))
    return float((case.whiten(state.z) ** 2).mean()) - 1


@pytest.mark.parametrize("scheme", ["em", "ei"])
def test_the_closed_form_bias_halves_with_the_step(scheme: str) -> None:
    eigenvalue = torch.tensor([EIGENVALUE], dtype=torch.float64)
    bias = [float(eigenvalue * kept_variance(scheme, t, eigenvalue)) - 1 for t in (2e-4, 1e-4)]
    assert bias[0] / bias[1] == pytest.approx(2, abs=4 * EIGENVALUE * 1e-4)  # the next order


@pytest.mark.parametrize("scheme", ["em", "ei"])
def test_the_measured_bias_halves_with_the_step(scheme: str) -> None:
    eigenvalue = torch.tensor([EIGENVALUE], dtype=torch.float64)
    measured, exact, error = [], [], []
    for stiffness in (0.4, 0.2):
        step_size = step_size_for(scheme, stiffness, eigenvalue)
        variance = float(eigenvalue * kept_variance(scheme, step_size, eigenvalue))
        measured.append(measured_bias(scheme, step_size))
        exact.append(variance - 1)
        error.append(variance * math.sqrt(2 / (ROWS * DIM)))
        assert abs(measured[-1] - exact[-1]) < TOLERANCE * error[-1]
    assert measured[1] > TOLERANCE * error[1]
    ratio_error = exact[0] / exact[1] * math.hypot(error[0] / exact[0], error[1] / exact[1])
    assert abs(measured[0] / measured[1] - exact[0] / exact[1]) < TOLERANCE * ratio_error
    assert 1.5 < measured[0] / measured[1] < 3  # neither order 0 (ratio 1) nor order 2 (ratio 4)
