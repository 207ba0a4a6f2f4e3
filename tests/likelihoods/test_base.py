"""What every likelihood promises: only observed entries count, sums are float64, the score's square
is the curvature, chi2 is 1 under its own sample, and every question of the contract is answered."""

import math
import pickle
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.likelihoods import Gaussian, Laplace, Poisson, StudentT, UnknownGaussian
from noisewalk.likelihoods.base import LikelihoodBase, complete
from noisewalk.noise import PROBE, rows

SHAPE = (2, 2, 3)
OBSERVED = (torch.arange(12) % 4 != 1).reshape(SHAPE)
LEVELS = [
    Gaussian(0.3),
    Gaussian(torch.tensor([[[0.1]], [[0.4]]])),
    Gaussian(torch.linspace(0.05, 1.0, 12).reshape(SHAPE)),
]
"""One level for all, for a channel, for an entry."""
UNIFORM = [LEVELS[0], Poisson(20.0), Laplace(0.2), StudentT(30.0, 0.4), StudentT(1.5, 0.1)]
"""Those that are sums over entries of one law."""
SEPARABLE = [*UNIFORM, *LEVELS[1:]]
ALL = [*SEPARABLE, UnknownGaussian(2.0, 0.1)]
REGULAR = UNIFORM[:4]
"""Those with a chi2 of finite spread."""


def each(likelihoods: list) -> Callable:
    """One case that checks every likelihood."""

    def decorate(check: Callable) -> Callable:
        def test() -> None:
            for likelihood in likelihoods:
                check(likelihood)

        test.__name__ = check.__name__
        return test

    return decorate


every, separable, uniform, regular = map(each, (ALL, SEPARABLE, UNIFORM, REGULAR))


def means(num, seed=0, dtype=torch.float64, shape=SHAPE):
    """Some A(x) in (-1, 1)."""
    return torch.tanh(rows(seed, num).normal(shape, PROBE, dtype))


def pair(likelihood, num=3, dtype=torch.float64, shape=SHAPE):
    """A(x), and a y that another A(x) made."""
    return means(num, 0, dtype, shape), likelihood.sample(means(num, 1, dtype, shape), rows(2, num))


@every
def test_unobserved_entries_change_nothing_even_when_nan(likelihood):
    mean, y = pair(likelihood)
    for junk in (torch.nan, torch.inf, -7.0):
        dirty_mean, dirty_y = (
            torch.where(OBSERVED, mean, junk).requires_grad_(),
            torch.where(OBSERVED, y, junk),
        )
        clean_mean = mean.clone().requires_grad_()
        clean, dirty = (
            likelihood.nll(clean_mean, y, OBSERVED),
            likelihood.nll(dirty_mean, dirty_y, OBSERVED),
        )
        assert torch.equal(dirty, clean)
        assert torch.isfinite(clean).all()
        (gradient,) = torch.autograd.grad(dirty.sum(), dirty_mean)
        assert torch.equal(gradient, torch.autograd.grad(clean.sum(), clean_mean)[0])
        assert (gradient[:, ~OBSERVED] == 0).all()
        for method in (likelihood.curvature, likelihood.residual, likelihood.residual_chi2):
            assert torch.equal(
                method(dirty_mean, dirty_y, OBSERVED).nan_to_num(),
                method(mean, y, OBSERVED).nan_to_num(),
            )
        for method in (likelihood.curvature, likelihood.residual):
            assert (method(dirty_mean, dirty_y, OBSERVED)[:, ~OBSERVED] == 0).all()
        assert torch.equal(
            likelihood.residual_chi2_std(dirty_mean, OBSERVED).nan_to_num(),
            likelihood.residual_chi2_std(mean, OBSERVED).nan_to_num(),
        )
        drawn = likelihood.sample(dirty_mean.detach(), rows(3, 3), OBSERVED)
        assert torch.equal(drawn, likelihood.sample(mean, rows(3, 3), OBSERVED))
        assert (drawn[:, ~OBSERVED] == 0).all()


@every
def test_the_gradient_is_the_derivative(likelihood):
    mean, y = pair(likelihood, 2)
    for observed in (None, OBSERVED):
        assert torch.autograd.gradcheck(
            lambda m, seen=observed: likelihood.nll(m, y, seen), mean.requires_grad_()
        )


@uniform
def test_nll_sums_the_observed_entries_in_float64(likelihood):
    shape = (3, 32, 32)
    mean, y = pair(likelihood, 1, torch.float32, shape)
    entries = likelihood.nll(mean.reshape(-1, 1), y.reshape(-1, 1))
    assert likelihood.nll(mean, y).item() == pytest.approx(math.fsum(entries.tolist()), rel=1e-12)
    observed = means(1, 4, shape=shape)[0] > 0
    seen = entries[observed.flatten()]
    assert likelihood.nll(mean, y, observed).item() == pytest.approx(
        math.fsum(seen.tolist()), rel=1e-12
    )


@every
def test_types_follow_the_input_and_sums_are_float64(likelihood):
    mean, y = pair(likelihood, 3, torch.float32)
    for method in (likelihood.nll, likelihood.residual, likelihood.residual_chi2):
        assert method(mean, y).dtype == torch.float64
        assert torch.equal(
            method(mean, y).nan_to_num(), method(mean.double(), y.double()).nan_to_num()
        )
    assert likelihood.residual_chi2_std(mean).dtype == torch.float64
    assert (
        likelihood.curvature(mean, y).dtype
        == likelihood.sample(mean, rows(0, 3)).dtype
        == torch.float32
    )


@every
def test_a_row_without_data_has_nll_0_and_no_chi2(likelihood):
    mean, y = pair(likelihood)
    nothing = torch.zeros(SHAPE, dtype=torch.bool)
    assert likelihood.nll(mean, y, nothing).abs().max() < 1e-14
    assert likelihood.residual_chi2(mean, y, nothing).isnan().all()


@every
def test_a_row_does_not_depend_on_its_neighbours(likelihood):
    mean, y = pair(likelihood)
    clean_mean, clean_y = mean[1:2].clone(), y[1:2].clone()
    mean[0], y[2] = torch.nan, -torch.inf
    for method in (
        likelihood.nll,
        likelihood.curvature,
        likelihood.residual,
        likelihood.residual_chi2,
    ):
        torch.testing.assert_close(
            method(mean, y, OBSERVED)[1:2],
            method(clean_mean, clean_y, OBSERVED),
            rtol=1e-12,
            atol=0,
            equal_nan=True,
        )
    torch.testing.assert_close(
        likelihood.sample(mean, rows(3, 3))[1:2],
        likelihood.sample(clean_mean.expand(3, *SHAPE), rows(3, 3))[1:2],
    )


@every
def test_samples_are_a_function_of_the_key(likelihood):
    mean, noise = means(4), rows(3, 4)
    assert torch.equal(likelihood.sample(mean, noise), likelihood.sample(mean, rows(3, 4)))
    assert torch.equal(likelihood.sample(mean, noise)[:2], likelihood.sample(mean[:2], rows(3, 2)))
    assert not torch.equal(likelihood.sample(mean, noise), likelihood.sample(mean, noise.at(1)))
    assert not torch.equal(likelihood.sample(mean, noise), likelihood.sample(mean, rows(4, 4)))


@separable
def test_the_score_vanishes_under_its_own_sample_and_its_square_is_the_curvature(likelihood):
    num = 20000
    mean = means(1).expand(num, *SHAPE).clone().requires_grad_()
    y = likelihood.sample(mean.detach(), rows(4, num), OBSERVED)
    (score,) = torch.autograd.grad(likelihood.nll(mean, y, OBSERVED).sum(), mean)
    curvature = likelihood.curvature(mean, y, OBSERVED)[0]
    standard = (score / curvature.sqrt())[:, OBSERVED]
    assert standard.mean(0).abs().max() < 5 / math.sqrt(num)
    assert (
        ((standard**2).mean(0) - 1).abs() < 5 * (standard**2).std(0) / math.sqrt(num) + 1e-12
    ).all()
    correlation = standard.T @ standard / num - torch.diag((standard**2).mean(0))
    assert correlation.abs().max() < 6 / math.sqrt(num)  # of 36 pairs


@regular
def test_chi2_is_1_under_its_own_sample_with_the_stated_spread(likelihood):
    num = 20000
    mean = means(1).expand(num, *SHAPE)
    y = likelihood.sample(mean, rows(5, num), OBSERVED)
    chi2, std = (
        likelihood.residual_chi2(mean, y, OBSERVED),
        likelihood.residual_chi2_std(mean[:1], OBSERVED).item(),
    )
    assert abs(chi2.mean().item() - 1) < 5 * std / math.sqrt(num)
    squares = (chi2 - 1) ** 2
    assert abs(squares.mean().item() / std**2 - 1) < 5 * squares.std().item() / std**2 / math.sqrt(
        num
    )
    torch.testing.assert_close(
        chi2,
        (likelihood.residual(mean, y, OBSERVED) ** 2).flatten(1).sum(1) / OBSERVED.sum(),
        rtol=1e-12,
        atol=0,
    )


@regular
def test_chi2_grows_where_the_mean_does_not_explain_y(likelihood):
    mean = means(1, shape=(32, 32))
    y = likelihood.sample(mean, rows(6, 1))
    excess = likelihood.residual_chi2(-mean, y).item() - 1
    assert excess > 10 * likelihood.residual_chi2_std(mean).item()


@every
def test_shapes_that_would_broadcast_by_accident_are_refused(likelihood):
    mean = torch.zeros(3, *SHAPE)
    for method in (likelihood.nll, likelihood.residual, likelihood.residual_chi2):
        with pytest.raises(ConfigError, match="same shape"):
            method(mean, mean[:1])
        with pytest.raises(ConfigError, match="does not broadcast"):
            method(mean, mean, torch.ones(5, dtype=torch.bool))
        with pytest.raises(ConfigError, match=r"bool tensor, got torch\.float32"):
            method(mean, mean, torch.ones(SHAPE))
    with pytest.raises(ConfigError, match="one row per row"):
        likelihood.sample(mean, rows(0, 2))


def test_a_value_that_is_not_positive_and_finite_is_refused():
    for name, build in (
        ("Poisson's peak", Poisson),
        ("Laplace's scale", Laplace),
        ("StudentT's df", lambda v: StudentT(v, 0.1)),
        ("StudentT's scale", lambda v: StudentT(4.0, v)),
        ("UnknownGaussian's concentration", lambda v: UnknownGaussian(concentration=v)),
        ("UnknownGaussian's rate", lambda v: UnknownGaussian(rate=v)),
    ):
        for value in (0.0, -0.1, math.nan, math.inf, True, "0.1", None, torch.ones(2)):
            with pytest.raises(ConfigError, match=f"{name} must be a finite number above 0, got"):
                build(value)


def test_numbers_of_numpy_and_of_torch_are_taken_where_plain_ones_are():
    for number in (np.float32, np.float64, torch.tensor):
        assert Laplace(number(0.5)) == Laplace(0.5)
        assert StudentT(number(2.0), number(0.5)) == StudentT(2.0, 0.5)
        assert type(Poisson(number(2.0)).peak) is float
    assert UnknownGaussian(np.int64(2), torch.tensor(3)) == UnknownGaussian(2.0, 3.0)
    assert Gaussian(np.float32(0.5)).sigma_y == 0.5


@every
def test_is_pure_and_survives_pickling(likelihood):
    (mean, y), state = pair(likelihood), torch.get_rng_state()
    kept, text = (mean.clone(), y.clone()), repr(likelihood)
    copy = pickle.loads(pickle.dumps(likelihood))
    results = [
        (one.nll(mean, y, OBSERVED), one.sample(mean, rows(1, 3), OBSERVED))
        for one in (likelihood, likelihood, copy)
    ]
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert torch.equal(mean, kept[0])
    assert torch.equal(y, kept[1])
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(likelihood) == repr(copy) == text
    assert text.startswith(type(likelihood).__name__ + "(")
    assert "tensor(" not in text


@each([*LEVELS, Laplace(0.2), StudentT(4.0, 0.4)])
def test_additive_noise_has_its_largest_density_at_y(likelihood):
    _, y = pair(likelihood)
    gaps = torch.where(OBSERVED, y, torch.nan)
    best = torch.nan_to_num(gaps)
    found = likelihood.sup_log_likelihood(gaps, OBSERVED)
    assert found.dtype == torch.float64
    assert torch.equal(found, -likelihood.nll(best, best, OBSERVED))
    assert (found > -likelihood.nll(y + 0.01, y, OBSERVED)).all()
    if likelihood not in LEVELS[1:]:
        assert likelihood.sup_log_likelihood() * OBSERVED.sum() == pytest.approx(found[0].item())


def test_a_level_for_each_entry_and_counts_ask_for_y():
    for likelihood in (*LEVELS[1:], Poisson(20.0)):
        with pytest.raises(ConfigError, match="give sup_log_likelihood the y"):
            likelihood.sup_log_likelihood()
    assert UnknownGaussian().sup_log_likelihood() is None


def test_the_largest_mass_of_counts_is_at_the_rate_that_they_are():
    likelihood, y = Poisson(20.0), torch.tensor([[0.0, 3.0, 17.0, 50.0]])
    grid = torch.linspace(-1, 6, 7001, dtype=torch.float64)[:, None]
    each = [likelihood.nll(grid, y[:, k].double().expand(len(grid), 1)).min() for k in range(4)]
    found = likelihood.sup_log_likelihood(y)
    assert found.shape == (1,)
    assert found.item() == pytest.approx(-sum(each).item(), abs=1e-4)
    seen = torch.tensor([True, False, True, False])
    gaps = torch.where(seen, y, torch.nan)
    assert torch.equal(
        likelihood.sup_log_likelihood(gaps, seen), likelihood.sup_log_likelihood(y[:, ::2])
    )


@every
def test_says_whether_its_chi2_is_exact_and_whether_y_are_counts(likelihood):
    assert likelihood.chi2_is_exact == isinstance(likelihood, Gaussian)
    assert likelihood.counts == isinstance(likelihood, Poisson)
    mean, y = pair(likelihood)
    likelihood.check_measurement(y, OBSERVED)
    level = likelihood.noise_level(mean, y, OBSERVED)
    assert (level is not None) == isinstance(likelihood, UnknownGaussian)
    assert complete(likelihood) is likelihood


class Plain:
    """A user's likelihood of the three methods of the protocol."""

    def nll(self, mean, y, observed=None):
        return Gaussian(0.3).nll(mean, y, observed)

    def curvature(self, mean, y, observed=None):
        return Gaussian(0.3).curvature(mean, y, observed)

    def sample(self, mean, noise, observed=None):
        return Gaussian(0.3).sample(mean, noise, observed)


class WithChi2(Plain):
    noise_level = 0.3  # a number, and not the method of the contract

    def residual_chi2(self, mean, y, observed=None):
        return Gaussian(0.3).residual_chi2(mean, y, observed)

    def check_measurement(self, y, observed=None):
        raise ConfigError("never")


def test_a_users_likelihood_is_completed():
    mean, y = pair(LEVELS[0])
    whole = complete(Plain())
    assert isinstance(whole, LikelihoodBase)
    assert torch.equal(whole.nll(mean, y, OBSERVED), LEVELS[0].nll(mean, y, OBSERVED))
    assert torch.equal(whole.curvature(mean, y), LEVELS[0].curvature(mean, y))
    assert torch.equal(whole.sample(mean, rows(0, 3)), LEVELS[0].sample(mean, rows(0, 3)))
    assert whole.residual(mean, y).isnan().all()
    assert whole.residual(mean, y).shape == mean.shape
    for chi2 in (whole.residual_chi2(mean, y, OBSERVED), whole.residual_chi2_std(mean)):
        assert chi2.shape == (3,)
        assert chi2.dtype == torch.float64
        assert chi2.isnan().all()
    whole.check_measurement(y)
    assert whole.noise_level(mean, y) is whole.sup_log_likelihood(y) is None
    assert not whole.chi2_is_exact
    assert not whole.counts
    assert "Plain" in repr(whole)
    again = pickle.loads(pickle.dumps(whole))
    assert torch.equal(again.nll(mean, y), whole.nll(mean, y))


def test_a_users_own_answers_are_kept():
    mean, y = pair(LEVELS[0])
    whole = complete(WithChi2())
    assert torch.equal(whole.residual_chi2(mean, y), LEVELS[0].residual_chi2(mean, y))
    assert whole.noise_level(mean, y) is None
    with pytest.raises(ConfigError, match="never"):
        whole.check_measurement(y)


def test_what_is_no_likelihood_or_lacks_a_method_is_named():
    with pytest.raises(ConfigError, match=r"such as nw\.likelihoods\.Gaussian\(0\.1\), got 3"):
        complete(3)
    partial, mean = complete(SimpleNamespace(nll=Plain().nll)), torch.zeros(1, 2)
    with pytest.raises(ConfigError, match="no method curvature, which is needed here"):
        partial.curvature(mean, mean)
    with pytest.raises(ConfigError, match="no method sample"):
        partial.sample(mean, rows(0, 1))


def test_a_second_measurement_is_a_sample_where_nothing_of_the_noise_is_unknown():
    mean, noise = torch.zeros(3, 4), rows(0, 3)
    likelihood = Gaussian(0.5)
    again = likelihood.replicate(mean, mean + 9, noise)
    assert torch.equal(again, likelihood.sample(mean, noise))
