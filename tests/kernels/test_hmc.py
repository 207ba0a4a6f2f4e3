"""Hamiltonian Monte Carlo: reversible trajectories, energies that need no large differences, and
the errors of its constructor."""

import math

import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.gaussians.low_rank import LowRank
from noisewalk.gaussians.reference import reference_of
from noisewalk.types import State

DIM, ROWS = 5, 64


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reference() -> LowRank:
    basis = torch.linalg.qr(normal(DIM, 2, seed=1))[0].T
    return LowRank(
        normal(1, DIM, seed=2), basis[None], torch.tensor([[5.0, 1.0]], dtype=torch.float64)
    )


class Quartic:
    """L = sum z^4 / 4 + sin(z_0)."""

    def __call__(self, z: Tensor) -> State:
        grad = z**3
        grad[:, 0] += torch.cos(z[:, 0])
        return State(z, z, (z**4 / 4).sum(1) + torch.sin(z[:, 0]), grad)


CASES = [
    nw.HMC(0.2, 4),
    nw.HMC(0.2, 4, preconditioner=reference()),
    nw.HMC(0.2, 4, "leapfrog"),
    nw.HMC(0.2, 4, "leapfrog", reference()),
]


def trajectory(kernel: nw.HMC, state: State, v: Tensor, h: Tensor) -> tuple[State, Tensor, Tensor]:
    """End state, end velocity and change of kinetic energy by the kicks."""
    work = torch.zeros(len(state.z), dtype=torch.float64)
    for _ in range(kernel.num_leapfrog):
        v, done = kernel.kick(state, v, h)
        z, v = kernel.flow(state.z, v, h)
        state, work = Quartic()(z), work + done
        v, done = kernel.kick(state, v, h)
        work = work + done
    return state, v, work


@pytest.mark.parametrize("kernel", CASES, ids=str)
def test_a_trajectory_run_backward_ends_where_it_began(kernel: nw.HMC) -> None:
    start, v, h = (
        Quartic()(normal(ROWS, DIM, seed=3)),
        normal(ROWS, DIM, seed=4),
        torch.full((ROWS, 1), 0.2, dtype=torch.float64),
    )
    end, w, work = trajectory(kernel, start, v, h)
    back, x, undone = trajectory(kernel, end, -w, h)
    torch.testing.assert_close(back.z, start.z, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(-x, v, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(undone, -work, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kernel", CASES, ids=str)
def test_the_grouped_energy_is_the_naive_one(kernel: nw.HMC) -> None:
    start, v, h = (
        Quartic()(normal(ROWS, DIM, seed=5)),
        normal(ROWS, DIM, seed=6),
        torch.full((ROWS, 1), 0.2, dtype=torch.float64),
    )
    end, w, work = trajectory(kernel, start, v, h)
    gaussian = reference_of(kernel.preconditioner)

    def energy(state: State, velocity: Tensor) -> Tensor:
        return (
            state.nll
            + 0.5 * (state.z**2).sum(1)
            + 0.5 * (velocity * gaussian.power(velocity, 1.0)).sum(1)
        )

    naive = energy(start, v) - energy(end, w)
    torch.testing.assert_close(kernel.drop(start, end) - work, naive, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("integrator", ["gaussian", "leapfrog"])
def test_the_energy_error_falls_with_the_square_of_the_step(integrator: str) -> None:
    errors = []
    for halvings in range(3):
        kernel = nw.HMC(0.1, 4 * 2**halvings, integrator, reference())
        h = torch.full((ROWS, 1), 0.1 / 2**halvings, dtype=torch.float64)
        start, v = Quartic()(0.5 * normal(ROWS, DIM, seed=7)), normal(ROWS, DIM, seed=8)
        end, _, work = trajectory(kernel, start, v, h)
        errors.append(float((kernel.drop(start, end) - work).abs().mean()))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_without_a_likelihood_a_quarter_turn_is_a_fresh_draw_of_the_prior() -> None:
    class Flat:
        def __call__(self, z: Tensor) -> State:
            return State(z, z, torch.zeros(len(z), dtype=torch.float64), torch.zeros_like(z))

    rows, z = noise.rows(9, 1, ROWS).at(1), normal(ROWS, DIM, seed=9)
    after, info, _ = nw.HMC(math.pi / 2, 1, jitter=0.0).step(Flat()(z), Flat(), rows)
    assert (info.acceptance_rate > 1 - 1e-12).all()
    torch.testing.assert_close(
        after.z, rows.normal((DIM,), noise.PROPOSAL, torch.float64), rtol=1e-12, atol=1e-12
    )


def test_a_transition_costs_its_leapfrogs() -> None:
    calls = []

    class Counted(Quartic):
        def __call__(self, z: Tensor) -> State:
            calls.append(len(z))
            return super().__call__(z)

    nw.HMC(0.1, 5).step(Quartic()(normal(ROWS, DIM)), Counted(), noise.rows(1, 1, ROWS))
    assert calls == [ROWS] * 5


def test_the_jitter_is_per_row_and_within_its_bounds() -> None:
    seen = []

    class Kernel(nw.HMC):
        def flow(self, z: Tensor, v: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(h.flatten())
            return super().flow(z, v, h)

    Kernel(0.1, 2, jitter=0.3).step(Quartic()(normal(ROWS, DIM)), Quartic(), noise.rows(1, 1, ROWS))
    assert torch.equal(seen[0], seen[1])
    assert len(seen[0].unique()) == ROWS
    assert 0.07 <= float(seen[0].min()) < 0.08
    assert 0.12 < float(seen[0].max()) <= 0.13


def test_short_transitions_that_keep_their_velocity_mix_like_a_long_one() -> None:
    """On a stiff Gaussian, at equal cost: a random walk of short transitions against the same with
    velocities kept."""
    matrix = torch.diag(torch.cat([torch.full((3,), 30.0), torch.zeros(3)])).double()
    target = nw.NoisePosterior(
        nw.maps.Affine(matrix),
        torch.nn.Identity(),
        nw.likelihoods.Gaussian(1.0),
        torch.zeros(1, 6, dtype=torch.float64),
    )
    sizes = []
    for friction in (math.inf, 0.5):
        run = nw.sample(
            target,
            nw.HMC(0.02, 4, friction=friction),
            1000,
            4,
            num_warmup=0,
            warm_start=None,
            adapt=None,
            progress=False,
        )
        sizes.append(float(nw.diagnostics.ess_bulk(run.z[0])[3:].min()))
    assert sizes[1] > 4 * sizes[0]


@pytest.mark.parametrize(
    "change",
    [
        {"step_size": 0.0},
        {"step_size": float("nan")},
        {"num_leapfrog": 0},
        {"num_leapfrog": 1.5},
        {"integrator": "verlet"},
        {"jitter": 1.0},
        {"friction": 0.0},
    ],
)
def test_a_value_out_of_range_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        nw.HMC(**{"step_size": 0.1, "num_leapfrog": 3, **change})  # type: ignore[arg-type]
