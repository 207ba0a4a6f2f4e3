r"""Law: with the truth drawn from the prior and put at a uniformly random place of a reversible
chain, its rank among all places is uniform.

Given y the truth is a draw from the posterior. A kernel that keeps the posterior and is reversible
runs backward as it runs forward, so k transitions from the truth one way and n - k the other give a
chain in which every place is equally likely to hold the truth: no convergence needed, for any test
quantity, also one that depends on y. Ties (rejected moves) are broken at random.

References: Besag and Clifford, Generalized Monte Carlo significance tests, 1989; Geweke, Getting it
right, 2004.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from cases import TARGETS, Bent, diagonal, draw, low_rank
from torch import Tensor

import noisewalk as nw
from noisewalk import noise
from noisewalk.sampling.defaults import default_kernel
from noisewalk.types import State

PROBLEMS, TRANSITIONS, DIM, SEED = 2000, 29, 4, 50
STEP_SIZE = 0.08
LEVEL = 0.01
QUANTITIES = ("nll", "log posterior", "projection of x", "radius")


class Joined(nw.Kernel):
    """Three transitions that keep their velocity, the first of them a fresh one: reversible as a
    whole."""

    def __init__(self, kernel: nw.HMC) -> None:
        self.kernel = kernel

    exact = True

    def step(
        self, state: State, target: nw.NoisePosterior, rows: noise.Noise, carry: Any = None
    ) -> tuple[State, Any, None]:
        velocity = None
        for k in range(3):
            state, info, velocity = self.kernel.step(
                state, target, rows.at(3 * rows.step + k), velocity
            )
        return state, info, None


ADJUSTED = {
    "mala": nw.Langevin(STEP_SIZE, adjust=True),
    "pcnl": nw.Langevin(STEP_SIZE, scheme="ei", adjust=True),
    "preconditioned pcnl": nw.Langevin(
        0.3, scheme="ei", adjust=True, preconditioner=low_rank(torch.float64)
    ),
    "hmc": nw.HMC(0.35, 2),
    "preconditioned hmc": nw.HMC(0.5, 2, preconditioner=low_rank(torch.float64)),
    "spectral hmc": nw.HMC(0.5, 2, preconditioner=diagonal(torch.float64)),
    "mass matrix hmc": nw.HMC(0.5, 2, "leapfrog", low_rank(torch.float64)),
    "hmc, velocity kept": Joined(nw.HMC(0.5, 1, friction=0.2)),
    "preconditioned hmc, velocity kept": Joined(
        nw.HMC(0.7, 1, preconditioner=low_rank(torch.float64), friction=0.2)
    ),
    "default, as it runs": Joined(
        replace(default_kernel(TARGETS[0].build(torch.float64)), step_size=0.15)
    ),
    "slice": nw.EllipticalSlice(),
    "preconditioned slice": nw.EllipticalSlice(low_rank(torch.float64)),
}


def quantities(state: State) -> Tensor:
    """(B, 4) in the order of QUANTITIES."""
    direction = draw(state.x.shape[1:], seed=SEED, dtype=state.x.dtype)[0]
    radius = (state.z**2).flatten(1).sum(1)
    return torch.stack(
        [state.nll, state.nll + radius / 2, (state.x * direction).flatten(1).sum(1), radius], 1
    )


def problems() -> tuple[nw.NoisePosterior, Tensor]:
    """A target of PROBLEMS simulated measurements, and the truths."""
    rows = noise.rows(SEED, PROBLEMS)
    phi, operator, likelihood = (
        nw.maps.Warp((DIM,), 0.9),
        Bent(0.4 * draw((3, DIM), seed=SEED + 1, dtype=torch.float64)[0]),
        nw.likelihoods.Gaussian(0.5),
    )
    truth = rows.normal((DIM,), noise.INIT, torch.float64)
    return nw.NoisePosterior(
        phi, operator, likelihood, likelihood.sample(operator(phi(truth)), rows)
    ), truth


def walk(kernel: Any, target: nw.NoisePosterior, state: State, first_step: int) -> Tensor:
    """(TRANSITIONS, B, 4) quantities along a run that starts at the state."""
    rows, out = noise.rows(SEED + 2, PROBLEMS), []
    for step in range(first_step, first_step + TRANSITIONS):
        state, _, _ = kernel.step(state, target, rows.at(step))
        out.append(quantities(state))
    return torch.stack(out)


def ranks(kernel: Any) -> Tensor:
    """(B, 4) rank of the truth, 0 to TRANSITIONS."""
    target, z = problems()
    truth = target(z)
    forward, backward = walk(kernel, target, truth, 1), walk(kernel, target, truth, 1 + TRANSITIONS)
    pick = noise.rows(SEED + 3, PROBLEMS)
    place = (
        pick.uniform((), noise.JITTER) * (TRANSITIONS + 1)
    ).long()  # how many transitions go backward
    count = torch.arange(TRANSITIONS)[:, None]
    chain = torch.cat([forward, backward])
    kept = torch.cat([count < TRANSITIONS - place, count < place])[..., None]
    own = quantities(truth)
    below, ties = ((chain < own) & kept).sum(0), ((chain == own) & kept).sum(0)
    return below + (pick.at(1).uniform((len(QUANTITIES),), noise.JITTER) * (ties + 1)).long()


def p_value(rank: Tensor) -> float:
    """Pearson's chi-square test of uniformity; 67 ranks are expected per place."""
    expected = len(rank) / (TRANSITIONS + 1)
    counts = torch.bincount(rank, minlength=TRANSITIONS + 1).double()
    chi2 = ((counts - expected) ** 2).sum() / expected
    return float(
        torch.special.gammaincc(torch.tensor(TRANSITIONS / 2, dtype=torch.float64), chi2 / 2)
    )


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values."""
    out, worst = {}, 0.0
    for k, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - k) * p_values[name]))
        out[name] = worst
    return out


@cache
def adjusted_p_values() -> dict[str, float]:
    raw = {
        f"{name}: {quantity}": p_value(rank)
        for name, kernel in ADJUSTED.items()
        for quantity, rank in zip(QUANTITIES, ranks(kernel).T, strict=True)
    }
    return holm(raw)


@pytest.mark.parametrize("name", ADJUSTED)
def test_the_rank_of_the_truth_is_uniform(name: str) -> None:
    assert {
        k: p for k, p in adjusted_p_values().items() if k.startswith(f"{name}:") and p < LEVEL
    } == {}


@pytest.mark.parametrize("name", ADJUSTED)
def test_the_chains_move_and_reject(name: str) -> None:
    target, z = problems()
    _, info, _ = ADJUSTED[name].step(target(z), target, noise.rows(SEED + 2, PROBLEMS).at(1))
    assert 0.2 < float(info.acceptance_rate.mean()) < 0.99


def test_the_same_step_unadjusted_is_rejected() -> None:
    biased = ranks(nw.Langevin(STEP_SIZE))
    assert (
        min(holm({q: p_value(r) for q, r in zip(QUANTITIES, biased.T, strict=True)}).values())
        < LEVEL
    )
