"""Elliptical slice sampling: it needs no gradient, stays on the slice, and gives a row that finds
nothing its old point."""

import torch
from torch import Tensor

import noisewalk as nw
from noisewalk import noise
from noisewalk.kernels import slice as elliptical
from noisewalk.sampling.tempered import Tempered
from noisewalk.types import State

ROWS, DIM = 128, 4


class Steps:
    """A staircase: no useful gradient anywhere."""

    def __call__(self, z: Tensor) -> State:
        return State(z, z, 2.0 * z.abs().floor().double().sum(1), torch.zeros_like(z))


def start() -> Tensor:
    return torch.randn(ROWS, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_next_point_is_on_the_ellipse_and_above_the_level() -> None:
    state, rows = Steps()(start()), noise.rows(1, 1, ROWS).at(3)
    after, info, _ = nw.EllipticalSlice().step(state, Steps(), rows)
    assert info.accepted.all()
    nu = rows.normal((DIM,), noise.PROPOSAL, torch.float64)
    level = -state.nll + torch.log(rows.uniform((), noise.ACCEPT))
    assert (-after.nll > level).all()
    basis = torch.stack([state.z, nu], 2)
    angle = torch.linalg.lstsq(basis, after.z[..., None]).solution[..., 0]
    torch.testing.assert_close(basis @ angle[..., None], after.z[..., None], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        (angle**2).sum(1), torch.ones(ROWS, dtype=torch.float64), rtol=1e-9, atol=1e-9
    )
    assert (after.z != state.z).any(1).all()


def test_a_row_that_finds_nothing_keeps_its_point() -> None:
    class Wall:
        """No likelihood anywhere."""

        def __call__(self, z: Tensor) -> State:
            return State(
                z, z, torch.full((len(z),), torch.inf, dtype=torch.float64), torch.zeros_like(z)
            )

    state = Steps()(start())
    after, info, _ = nw.EllipticalSlice().step(state, Wall(), noise.rows(1, 1, ROWS))
    assert not info.accepted.any()
    assert torch.equal(after.z, state.z)
    assert (info.acceptance_rate == 0).all()


def test_it_samples_a_posterior_that_has_no_gradient() -> None:
    posterior = nw.NoisePosterior(
        nw.maps.Warp((3,), 0.2),
        lambda x: x.round(),
        nw.likelihoods.Gaussian(0.3),
        torch.tensor([[1.0, 0.0, -1.0]]),
        differentiable=False,
    )
    run = nw.sample(
        posterior, nw.EllipticalSlice(), num_draws=40, num_chains=8, warm_start=None, progress=False
    )
    assert (
        float((run.draws[0, :, 20:].round() == posterior.y[0]).double().mean()) > 0.95
    )  # sigma 0.3 against steps of 1: e^-5.6 for the next one
    assert float(run.draws[0, :, 20:].std()) > 0.1


def test_the_number_of_points_is_bounded() -> None:
    assert 30 <= elliptical.MAX_SHRINKS <= 200


def test_it_pays_for_the_points_its_rows_try_and_gets_what_the_whole_batch_would() -> None:
    class Whole:
        """The same posterior, which can only be evaluated whole."""

        def __init__(self, posterior: nw.NoisePosterior) -> None:
            self.posterior = posterior

        def __call__(self, z: Tensor) -> State:
            return self.posterior(z)

    def made() -> nw.NoisePosterior:
        y = torch.tensor([[0.5, -1.0], [1.0, 0.3]], dtype=torch.float64)
        return nw.NoisePosterior(
            nw.maps.Warp((3,), 0.2),
            lambda x: x[:, :2],
            nw.likelihoods.Gaussian(0.2),
            y,
            microbatch=5,
        )

    some, whole = made(), made()
    rows = noise.rows(1, 2, 16)
    state = some(rows.at(0).normal((3,), noise.INIT, torch.float64))
    before = some.nfe
    one, info, _ = nw.EllipticalSlice().step(state, some, rows.at(1))
    other, _, _ = nw.EllipticalSlice().step(state, Whole(whole), rows.at(1))
    assert torch.equal(one.z, other.z)
    assert torch.equal(one.nll, other.nll)
    assert some.nfe - before == int((1 / info.acceptance_rate).round().sum()) < whole.nfe
    beta = torch.tensor([0.5, 0.25], dtype=torch.float64)
    tempered = Tempered(some, beta)
    part = tempered.value(state.z[[3, 20]], torch.tensor([3, 20]), 32)  # type: ignore[misc]
    assert torch.equal(part.nll, state.nll[[3, 20]] * beta)
    assert Tempered(Whole(some), beta).value is None
