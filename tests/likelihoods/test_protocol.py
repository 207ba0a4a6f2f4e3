"""What every likelihood promises: only observed entries count, sums are float64, the score's square
is the curvature, chi2 is 1 under its own sample."""

import math

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.likelihoods import Gaussian, Laplace, Poisson, StudentT, UnknownGaussian
from noisewalk.noise import PROBE, rows

SHAPE = (2, 2, 3)
OBSERVED = (torch.arange(12) % 4 != 1).reshape(SHAPE)
SEPARABLE = [Gaussian(0.3), Poisson(20.0), Laplace(0.2), StudentT(30.0, 0.4), StudentT(1.5, 0.1)]
ALL = [*SEPARABLE, UnknownGaussian(2.0, 0.1)]
REGULAR = SEPARABLE[:4]
"""Those with a chi2 of finite spread."""

every = pytest.mark.parametrize("likelihood", ALL, ids=repr)
separable = pytest.mark.parametrize("likelihood", SEPARABLE, ids=repr)
regular = pytest.mark.parametrize("likelihood", REGULAR, ids=repr)


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
@pytest.mark.parametrize("observed", [None, OBSERVED])
def test_the_gradient_is_the_derivative(likelihood, observed):
    mean, y = pair(likelihood, 2)
    assert torch.autograd.gradcheck(lambda m: likelihood.nll(m, y, observed), mean.requires_grad_())


@separable
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


@pytest.mark.parametrize("value", [0.0, -0.1, math.nan, math.inf, True, "0.1", None, torch.ones(2)])
@pytest.mark.parametrize(
    ("build", "name"),
    [
        (Poisson, "Poisson's peak"),
        (Laplace, "Laplace's scale"),
        (lambda v: StudentT(v, 0.1), "StudentT's df"),
        (lambda v: StudentT(4.0, v), "StudentT's scale"),
        (lambda v: UnknownGaussian(concentration=v), "UnknownGaussian's concentration"),
        (lambda v: UnknownGaussian(rate=v), "UnknownGaussian's rate"),
    ],
)
def test_a_value_that_is_not_positive_and_finite_is_refused(build, name, value):
    with pytest.raises(ConfigError, match=f"{name} must be a positive finite number, got"):
        build(value)
