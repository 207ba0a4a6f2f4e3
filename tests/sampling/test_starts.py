import math

import pytest
import torch

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.sampling.starts import Adam, AdamState
from noisewalk.types import State


def draw(*shape, seed=0):
    return noise.rows(seed, shape[0]).normal(shape[1:], noise.PROBE, torch.float64)


def target(size=5, seen=3, sigma=0.3):
    operator = nw.maps.Affine(draw(seen, size, seed=0))
    return nw.NoisePosterior(
        nw.maps.Warp((size,), 0.6), operator, nw.likelihoods.Gaussian(sigma), draw(2, seen, seed=1)
    )


def optimised(adam, posterior, z):
    state = adam.start(posterior(z))
    for k in range(1, adam.num_steps + 1):
        state = adam.step(state, posterior, k)
    return state


@pytest.mark.parametrize("objective", ["likelihood", "posterior"])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5), (0.5, 0.0)])
def test_every_row_is_torchs_adam_on_its_own(objective, betas):
    posterior, z, adam = target(), draw(4, 5, seed=2), Adam(15, 0.05, betas, objective)
    found = optimised(adam, posterior, z)
    for row in range(4):
        image = row // 2
        leaf = z[row : row + 1].clone().requires_grad_()
        alone = torch.optim.Adam([leaf], lr=0.05, betas=betas)
        for _ in range(15):
            mean = posterior.operator(posterior.phi(leaf))
            loss = posterior.likelihood.nll(mean, posterior.y[image : image + 1]).sum()
            loss = loss + leaf.square().sum() / 2 if objective == "posterior" else loss
            (leaf.grad,) = torch.autograd.grad(loss, leaf)
            alone.step()
        torch.testing.assert_close(
            found.state.z[row : row + 1], leaf.detach(), rtol=1e-9, atol=1e-9
        )
        torch.testing.assert_close(
            found.m[row : row + 1], alone.state[leaf]["exp_avg"], rtol=1e-9, atol=1e-9
        )
        torch.testing.assert_close(
            found.v[row : row + 1], alone.state[leaf]["exp_avg_sq"], rtol=1e-9, atol=1e-9
        )


def test_the_first_step_moves_every_coordinate_by_the_learning_rate():
    posterior, z = target(), draw(2, 5, seed=3)
    moved = optimised(Adam(1, 0.01), posterior, z).state
    torch.testing.assert_close(moved.z, z - 0.01 * posterior(z).grad.sign(), rtol=0, atol=1e-8)


def test_a_step_costs_one_evaluation_and_returns_one():
    posterior = target()
    before = posterior.nfe
    state = optimised(Adam(7), posterior, draw(4, 5)).state
    assert posterior.nfe - before == 4 * (1 + 7)
    for one, other in zip(state, posterior(state.z), strict=True):
        assert torch.equal(one, other)


def test_no_step_is_the_initial_state():
    posterior, z = target(), draw(2, 5)
    start = optimised(Adam(0), posterior, z)
    assert torch.equal(start.state.z, z)
    assert not start.m.any()
    assert not start.v.any()


def wide_problem(size=2000, seen=200):
    """Few measurements of many coordinates, as in inverse problems: x = z, y = the first
    coordinates."""
    observed = torch.arange(size) < seen
    truth = draw(1, size, seed=4)
    y = torch.where(observed, truth + 0.1 * draw(1, size, seed=5), torch.nan)
    return nw.NoisePosterior(
        nw.maps.Warp((size,), 0.0),
        torch.nn.Identity(),
        nw.likelihoods.Gaussian(0.1),
        y,
        observed[None],
    )


def test_only_the_likelihood_objective_keeps_the_norm_of_z_near_its_dimension():
    posterior, size = wide_problem(), 2000
    z = noise.rows(6, 1, 4).normal((size,), noise.INIT, torch.float64)
    band = (
        5 * math.sqrt(2 / size) + 0.01
    )  # chi-square of d numbers, of which a tenth is y with its noise
    kept = optimised(Adam(300, 0.05, objective="likelihood"), posterior, z).state
    pulled = optimised(Adam(300, 0.05, objective="posterior"), posterior, z).state
    ratio = kept.z.square().sum(1) / size
    assert ((ratio - 1).abs() < band).all()
    assert (
        pulled.z.square().sum(1) / size < 0.1 * (1 + 5 * math.sqrt(2 / 200)) + band
    ).all()  # only the 200 measured coordinates are held away from 0
    assert (posterior.chi2(kept.x) < 1e-2).all()  # it fits the noise too


def test_the_posterior_objective_ends_at_the_mode():
    matrix, y = draw(3, 5, seed=7), draw(1, 3, seed=8)
    posterior = nw.NoisePosterior(
        nw.maps.Affine(matrix), torch.nn.Identity(), nw.likelihoods.Gaussian(0.5), y
    )
    mode = torch.linalg.solve(
        torch.eye(5, dtype=torch.float64) + matrix.T @ matrix / 0.25, matrix.T @ y[0] / 0.25
    )
    state = optimised(Adam(2000, 0.01, objective="posterior"), posterior, draw(2, 5, seed=9)).state
    torch.testing.assert_close(
        state.z, mode.expand(2, 5), rtol=0, atol=0.01
    )  # Adam without decay ends within one learning rate


class Cliff:
    """A quadratic whose value is not finite where the first coordinate is below 0."""

    def __call__(self, z):
        nll = torch.where(z[:, 0] < 0, torch.nan, z.square().sum(1) / 2)
        return State(z, z, nll, torch.where(z[:, :1] < 0, torch.inf, z))

    def linearize(self, z):
        raise NotImplementedError


def test_a_row_that_would_leave_the_finite_stays_and_holds_no_other_back():
    z = torch.tensor([[0.005, 1.0], [2.0, 1.0]], dtype=torch.float64)
    cliff, adam = Cliff(), Adam(lr=0.01)
    first = adam.step(adam.start(cliff(z)), cliff, 1)
    assert torch.equal(first.state.z[0], z[0])
    torch.testing.assert_close(first.state.z[1], z[1] - 0.01, rtol=0, atol=1e-9)
    alone = optimised(Adam(20, 0.01), cliff, z[1:]).state
    both = optimised(Adam(20, 0.01), cliff, z).state
    assert torch.equal(both.z[1:], alone.z)
    assert torch.isfinite(both.nll).all()


def test_a_row_of_nan_stays_alone():
    posterior, z = target(), draw(4, 5)
    spoilt = z.clone()
    spoilt[1] = torch.nan
    whole, part = (
        optimised(Adam(5), posterior, z).state,
        optimised(Adam(5), posterior, spoilt).state,
    )
    for row in (0, 2, 3):
        assert torch.equal(whole.z[row], part.z[row])


def test_it_goes_on_from_any_step():
    posterior, z, adam = target(), draw(2, 5), Adam(8)
    through = optimised(adam, posterior, z)
    state = optimised(Adam(3), posterior, z)
    again = AdamState(
        State(*(part.clone() for part in state.state)), state.m.clone(), state.v.clone()
    )
    for k in range(4, 9):
        again = adam.step(again, posterior, k)
    assert torch.equal(again.state.z, through.state.z)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_steps": -1}, "num_steps"),
        ({"lr": 0.0}, "lr"),
        ({"lr": -0.1}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"betas": (-0.1, 0.9)}, "betas"),
        ({"objective": "evidence"}, "choose one of likelihood, posterior"),
    ],
)
def test_a_setting_out_of_range_is_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        Adam(**change)
