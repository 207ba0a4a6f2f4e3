"""Law: without a likelihood the exponential integrator keeps the prior N(0, I) exactly,
Metropolised or not; Euler-Maruyama keeps variance 1 / (1 - t / 2)."""

import math

import pytest
import torch
from cases import draw
from gaussian import TOLERANCE, deviations
from torch import Tensor

import noisewalk as nw
from noisewalk import noise
from noisewalk.types import Info, State

ROWS = 4096


class Flat:
    """A target that has measured nothing: nll = 0."""

    def __call__(self, z: Tensor) -> State:
        return State(z, z, torch.zeros(len(z), dtype=torch.float64), torch.zeros_like(z))

    def linearize(self, z: Tensor) -> tuple[Tensor, object, object]:
        return z, torch.zeros_like, torch.zeros_like


def evolve(kernel: nw.Langevin, z: Tensor, num_steps: int) -> tuple[State, list[Info]]:
    rows, state, infos = noise.rows(3, 1, len(z)), Flat()(z), []
    for step in range(num_steps):
        state, info, _ = kernel.step(state, Flat(), rows.at(step))
        infos.append(info)
    return state, infos


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("step_size", [1e-4, 0.3, 5.0])
@pytest.mark.parametrize("adjust", [False, True])
def test_the_exponential_integrator_accepts_every_move(
    adjust: bool, step_size: float, dtype: torch.dtype
) -> None:
    _, infos = evolve(
        nw.Langevin(step_size, scheme="ei", adjust=adjust), draw((3, 64, 64), 2, dtype=dtype), 3
    )
    for info in infos:
        assert info.accepted.all()
        assert not info.diverging.any()
        # 1 - (1 - a^2) / s^2 is 0 up to the rounding of its terms (eps / s^2), and multiplies <z -
        # z', z + z'> = O(s sqrt(d))
        assert (1 - info.acceptance_rate).abs().max() < 100 * torch.finfo(
            torch.float64
        ).eps / math.sqrt(step_size) * math.sqrt(3 * 64 * 64)


@pytest.mark.parametrize("adjust", [False, True])
@pytest.mark.parametrize("step_size", [0.3, 5.0])
def test_the_exponential_integrator_keeps_the_prior(step_size: float, adjust: bool) -> None:
    state, _ = evolve(
        nw.Langevin(step_size, scheme="ei", adjust=adjust),
        draw((8,), ROWS, seed=4, dtype=torch.float64),
        10,
    )
    assert deviations(state.z).abs().max() < TOLERANCE


@pytest.mark.parametrize("num_steps", [1, 4])
def test_the_exponential_integrator_has_the_exact_law_of_the_diffusion_at_every_time(
    num_steps: int,
) -> None:
    z, step_size = torch.full((ROWS, 8), 1.5, dtype=torch.float64), 0.2
    state, _ = evolve(nw.Langevin(step_size, scheme="ei"), z, num_steps)
    decay = math.exp(-num_steps * step_size)
    assert deviations((state.z - decay * z) / math.sqrt(1 - decay**2)).abs().max() < TOLERANCE


@pytest.mark.parametrize("step_size", [0.1, 0.5, 1.5])
def test_euler_maruyama_keeps_its_own_variance(step_size: float) -> None:
    scale = 1 / math.sqrt(1 - step_size / 2)
    state, _ = evolve(
        nw.Langevin(step_size), scale * draw((8,), ROWS, seed=5, dtype=torch.float64), 25
    )
    assert deviations(state.z / scale).abs().max() < TOLERANCE


@pytest.mark.parametrize("step_size", [0.1, 0.5, 0.8])
def test_metropolised_euler_maruyama_keeps_the_prior(step_size: float) -> None:
    state, infos = evolve(
        nw.Langevin(step_size, adjust=True), draw((8,), ROWS, seed=6, dtype=torch.float64), 25
    )
    assert sum(float(info.accepted.double().mean()) for info in infos) / 25 > 0.3
    assert deviations(state.z).abs().max() < TOLERANCE
