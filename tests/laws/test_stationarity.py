"""Law: each kernel keeps its own stationary law on a linear-Gaussian target: the posterior if
adjusted, the closed-form biased one if not."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from cases import draw
from gaussian import (
    TOLERANCE,
    Problem,
    deviations,
    kept_variance,
    problem,
    reference,
    step_size_for,
)

import noisewalk as nw
from noisewalk import noise
from noisewalk.gaussians.low_rank import LowRank
from noisewalk.sampling.defaults import default_kernel

EIGENVALUES = (1.0, 1.0, 1.5, 2.0, 3.0, 5.0, 9.0, 16.0)
STIFFNESS = (0.4, 0.8, 1.4)
ROWS = 4096


def evolve(
    case: Problem, kernel: Any, z: torch.Tensor, num_steps: int, seed: int = 1
) -> tuple[torch.Tensor, float]:
    """Final positions and the mean acceptance rate."""
    rows, state, rate = noise.rows(seed, 1, len(z)), case.target(z), 0.0
    for step in range(num_steps):
        state, info, _ = kernel.step(state, case.target, rows.at(step))
        rate += float(info.acceptance_rate.mean()) / num_steps
    return state.z, rate


def start(case: Problem, whitened_variance: torch.Tensor) -> torch.Tensor:
    return case.unwhiten(
        draw((len(EIGENVALUES),), ROWS, seed=2, dtype=torch.float64) * whitened_variance.sqrt()
    )


@pytest.mark.parametrize("stiffness", STIFFNESS)
@pytest.mark.parametrize("scheme", ["em", "ei"])
def test_an_unadjusted_kernel_keeps_its_closed_form_biased_law(
    scheme: str, stiffness: float
) -> None:
    case = problem(EIGENVALUES)
    step_size = step_size_for(scheme, stiffness, case.eigenvalues)
    whitened_variance = case.eigenvalues * kept_variance(scheme, step_size, case.eigenvalues)
    z, _ = evolve(
        case, nw.Langevin(step_size, scheme=scheme), start(case, whitened_variance), num_steps=25
    )
    assert deviations(case.whiten(z) / whitened_variance.sqrt()).abs().max() < TOLERANCE


@pytest.mark.parametrize("stiffness", STIFFNESS)
@pytest.mark.parametrize("scheme", ["em", "ei"])
def test_an_adjusted_kernel_keeps_the_posterior(scheme: str, stiffness: float) -> None:
    case = problem(EIGENVALUES)
    kernel = nw.Langevin(
        step_size_for(scheme, stiffness, case.eigenvalues), scheme=scheme, adjust=True
    )
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
    z, _ = evolve(
        case, kernel, wrong, num_steps=300
    )  # the flattest direction forgets at e^(-0.075 x acceptance) a step
    assert deviations(case.whiten(z)).abs().max() < TOLERANCE


EXACT = {
    "preconditioned ei, full rank": lambda case: nw.Langevin(
        0.8, "ei", preconditioner=reference(case, 8)
    ),
    "preconditioned pcnl, full rank": lambda case: nw.Langevin(
        2.0, "ei", adjust=True, preconditioner=reference(case, 8)
    ),
    "preconditioned pcnl, rank 1": lambda case: nw.Langevin(
        0.15, "ei", adjust=True, preconditioner=reference(case, 1, exact=False)
    ),
    "preconditioned pcnl, wrong everywhere": lambda case: nw.Langevin(
        0.05, "ei", adjust=True, preconditioner=wrong(case)
    ),
    "hmc": lambda case: nw.HMC(0.3, 3),
    "hmc, rank 1": lambda case: nw.HMC(0.4, 3, preconditioner=reference(case, 1, exact=False)),
    "hmc, full rank": lambda case: nw.HMC(0.9, 2, preconditioner=reference(case, 8)),
    "hmc, wrong everywhere": lambda case: nw.HMC(0.25, 3, preconditioner=wrong(case)),
    "leapfrog": lambda case: nw.HMC(0.3, 3, "leapfrog"),
    "leapfrog, rank 1": lambda case: nw.HMC(0.5, 3, "leapfrog", reference(case, 1, exact=False)),
    "leapfrog, full rank": lambda case: nw.HMC(0.9, 3, "leapfrog", reference(case, 8)),
    "slice": lambda case: nw.EllipticalSlice(),
    "slice, rank 1": lambda case: nw.EllipticalSlice(reference(case, 1, exact=False)),
    "slice, full rank": lambda case: nw.EllipticalSlice(reference(case, 8)),
}


def wrong(case: Problem) -> LowRank:
    """A Gaussian far from the posterior: an adjusted kernel is exact around any."""
    basis = torch.linalg.qr(draw((8, 3), seed=16, dtype=torch.float64)[0])[0].T
    return LowRank(
        0.5 * draw((8,), seed=17, dtype=torch.float64),
        basis[None],
        torch.tensor([[4.0, 1.0, 0.3]], dtype=torch.float64),
    )


@pytest.mark.parametrize("name", EXACT)
def test_a_kernel_around_another_gaussian_keeps_the_posterior(name: str) -> None:
    case = problem(EIGENVALUES)
    z, rate = evolve(
        case, EXACT[name](case), start(case, torch.ones_like(case.eigenvalues)), num_steps=20
    )
    assert rate > 0.15  # a kernel that rejects everything keeps every law
    assert deviations(case.whiten(z)).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", [name for name in EXACT if "slice" in name or "hmc" in name])
def test_a_kernel_around_another_gaussian_reaches_the_posterior_from_a_wrong_law(name: str) -> None:
    case = problem(EIGENVALUES)
    far = start(case, torch.full_like(case.eigenvalues, 2.0)) + 0.5
    z, _ = evolve(case, EXACT[name](case), far, num_steps=120)
    assert deviations(case.whiten(z)).abs().max() < TOLERANCE


@pytest.mark.parametrize("kernel", ["pcnl", "hmc"])
def test_around_its_own_gaussian_nothing_is_ever_rejected(kernel: str) -> None:
    case = problem(EIGENVALUES)
    own = reference(case, 8)
    made = (
        nw.Langevin(3.0, "ei", adjust=True, preconditioner=own)
        if kernel == "pcnl"
        else nw.HMC(1.2, 4, preconditioner=own)
    )
    _, rate = evolve(case, made, start(case, torch.ones_like(case.eigenvalues)), num_steps=3)
    assert rate > 1 - 1e-9


def carried(case: Problem, kernel: nw.HMC, num_steps: int) -> tuple[torch.Tensor, float]:
    """Position and kept velocity together, whitened, and the mean acceptance rate."""
    rows, state, velocity, rate = (
        noise.rows(1, 1, ROWS),
        case.target(start(case, torch.ones_like(case.eigenvalues))),
        None,
        0.0,
    )
    for step in range(num_steps):
        state, info, velocity = kernel.step(state, case.target, rows.at(step), velocity)
        rate += float(info.acceptance_rate.mean()) / num_steps
    return torch.cat([case.whiten(state.z), velocity], 1), rate


KEPT = {
    "leapfrog": lambda case: nw.HMC(0.45, 2, "leapfrog", friction=0.1),
    "rank 1": lambda case: nw.HMC(
        0.6, 2, preconditioner=reference(case, 1, exact=False), friction=0.1
    ),
    "default": lambda case: replace(
        default_kernel(case.target), step_size=0.3, preconditioner=reference(case, 1, exact=False)
    ),
    "wrong everywhere": lambda case: nw.HMC(0.35, 2, preconditioner=wrong(case), friction=0.1),
}


@pytest.mark.parametrize("name", KEPT)
def test_position_and_kept_velocity_keep_their_joint_law(name: str) -> None:
    joint, rate = carried(case := problem(EIGENVALUES), KEPT[name](case), num_steps=20)
    assert 0.3 < rate < 0.95
    assert deviations(joint).abs().max() < TOLERANCE


def test_a_velocity_that_is_not_reversed_after_a_rejection_keeps_another_law() -> None:
    class Forgetful(nw.HMC):
        def step(self, *args):
            state, info, velocity = super().step(*args)
            return state, info, torch.where(info.accepted[:, None], velocity, -velocity)

    joint, _ = carried(
        problem(EIGENVALUES), Forgetful(0.45, 1, "leapfrog", friction=0.02), num_steps=80
    )
    assert deviations(joint).abs().max() > 2 * TOLERANCE


def test_the_preconditioned_unadjusted_scheme_is_biased_where_its_gaussian_is_wrong() -> None:
    case = problem(EIGENVALUES)
    z, _ = evolve(
        case,
        nw.Langevin(0.6, "ei", preconditioner=wrong(case)),
        start(case, torch.ones_like(case.eigenvalues)),
        num_steps=25,
    )
    assert deviations(case.whiten(z)).abs().max() > 2 * TOLERANCE
