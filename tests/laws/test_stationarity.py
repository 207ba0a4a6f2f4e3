"""Law: each kernel keeps its own stationary law on a linear-Gaussian target: the posterior if adjusted, the closed-form biased one if not."""

import pytest
import torch
from cases import draw
from gaussian import TOLERANCE, Problem, deviations, kept_variance, problem, step_size_for

import noisewalk as nw
from noisewalk import noise

EIGENVALUES = (1.0, 1.0, 1.5, 2.0, 3.0, 5.0, 9.0, 16.0)
STIFFNESS = (0.4, 0.8, 1.4)
ROWS = 4096


def evolve(case: Problem, kernel: nw.Langevin, z: torch.Tensor, num_steps: int, seed: int = 1) -> tuple[torch.Tensor, float]:
    """Final positions and the mean acceptance rate."""
    rows, state, rate = noise.rows(seed, 1, len(z)), case.target(z), 0.0
    for step in range(num_steps):
        state, info = kernel.step(state, case.target, rows.at(step))
        rate += float(info.acceptance_rate.mean()) / num_steps
    return state.z, rate


def start(case: Problem, whitened_variance: torch.Tensor) -> torch.Tensor:
    return case.unwhiten(draw((len(EIGENVALUES),), ROWS, seed=2, dtype=torch.float64) * whitened_variance.sqrt())


@pytest.mark.parametrize("stiffness", STIFFNESS)
@pytest.mark.parametrize("scheme", ["em", "ei"])
def test_an_unadjusted_kernel_keeps_its_closed_form_biased_law(scheme: str, stiffness: float) -> None:
    case = problem(EIGENVALUES)
    step_size = step_size_for(scheme, stiffness, case.eigenvalues)
    whitened_variance = case.eigenvalues * kept_variance(scheme, step_size, case.eigenvalues)
    z, _ = evolve(case, nw.Langevin(step_size, scheme=scheme), start(case, whitened_variance), num_steps=25)
    assert deviations(case.whiten(z) / whitened_variance.sqrt()).abs().max() < TOLERANCE


@pytest.mark.parametrize("stiffness", STIFFNESS)
@pytest.mark.parametrize("scheme", ["em", "ei"])
def test_an_adjusted_kernel_keeps_the_posterior(scheme: str, stiffness: float) -> None:
    case = problem(EIGENVALUES)
    kernel = nw.Langevin(step_size_for(scheme, stiffness, case.eigenvalues), scheme=scheme, adjust=True)
    z, rate = evolve(case, kernel, start(case, torch.ones_like(case.eigenvalues)), num_steps=25)
    assert rate > 0.3  # a kernel that rejects everything keeps every law
    assert deviations(case.whiten(z)).abs().max() < TOLERANCE


@pytest.mark.parametrize("scheme", ["em", "ei"])
def test_an_unadjusted_kernel_fails_the_adjusted_test_at_the_largest_step(scheme: str) -> None:
    case = problem(EIGENVALUES)
    kernel = nw.Langevin(step_size_for(scheme, STIFFNESS[-1], case.eigenvalues), scheme=scheme)
    z, _ = evolve(case, kernel, start(case, torch.ones_like(case.eigenvalues)), num_steps=25)
    assert deviations(case.whiten(z)).abs().max() > 2 * TOLERANCE


@pytest.mark.parametrize("scheme", ["em", "ei"])
def test_an_adjusted_kernel_converges_to_the_posterior_from_a_wrong_law(scheme: str) -> None:
    case = problem(EIGENVALUES)
    kernel = nw.Langevin(step_size_for(scheme, 1.2, case.eigenvalues), scheme=scheme, adjust=True)
    wrong = start(case, torch.full_like(case.eigenvalues, 2.0)) + 0.5
    assert deviations(case.whiten(wrong)).abs().max() > 2 * TOLERANCE
    z, _ = evolve(case, kernel, wrong, num_steps=300)  # the flattest direction forgets at e^(-0.075 x acceptance) a step
    assert deviations(case.whiten(z)).abs().max() < TOLERANCE
