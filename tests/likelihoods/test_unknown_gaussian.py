import math

import numpy as np
import pytest
import torch
from scipy import stats

from noisewalk.errors import ConfigError
from noisewalk.likelihoods import Gaussian, UnknownGaussian
from noisewalk.likelihoods.unknown_gaussian import gamma_quantile
from noisewalk.noise import PROBE, rows

PRIORS = pytest.mark.parametrize(("concentration", "rate"), [(1e-3, 1e-3), (0.5, 0.02), (3.0, 0.1)])
OBSERVED = torch.tensor([True, True, False, True, True])
SIGMA = torch.logspace(-8, 12, 80001, dtype=torch.float64)
"""A grid of noise levels for quadrature in log sigma."""


def pair(num=4, scale=0.1):
    mean = rows(0, num).normal((5,), PROBE, torch.float64)
    return mean, mean + scale * rows(1, num).normal((5,), PROBE, torch.float64)


def log_joint(concentration, rate, mean, y, observed):
    """(sigma, row): log p(y | x, sigma) p(log sigma)."""
    a, variance = concentration, SIGMA[:, None] ** 2
    squares = ((y - mean) ** 2 * observed).sum(1)
    log_normal = -0.5 * squares / variance - 0.5 * observed.sum() * torch.log(
        2 * math.pi * variance
    )
    log_prior = (
        a * math.log(rate)
        - math.lgamma(a)
        - (a + 1) * torch.log(variance)
        - rate / variance
        + torch.log(2 * variance)
    )
    return log_normal + log_prior


def integral(log_values):
    step = math.log(SIGMA[1] / SIGMA[0])
    return torch.logsumexp(log_values, 0) + math.log(step)


@PRIORS
def test_nll_is_that_of_the_mixture_over_noise_levels(concentration, rate):
    for scale in (0.0, 1e-3, 0.1, 3.0):
        mean, y = pair(scale=scale)
        expected = -integral(log_joint(concentration, rate, mean, y, OBSERVED))
        found = UnknownGaussian(concentration, rate).nll(mean, y, OBSERVED)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@PRIORS
def test_nll_is_that_of_a_multivariate_t(concentration, rate):
    mean, y = pair()
    t = stats.multivariate_t(np.zeros(5), rate / concentration * np.eye(5), df=2 * concentration)
    expected = -torch.from_numpy(t.logpdf((y - mean).numpy()))
    torch.testing.assert_close(
        UnknownGaussian(concentration, rate).nll(mean, y), expected, rtol=1e-9, atol=1e-9
    )


@PRIORS
def test_curvature_is_the_mean_precision_given_x_and_y(concentration, rate):
    mean, y = pair()
    joint = log_joint(concentration, rate, mean, y, OBSERVED)
    expected = torch.exp(integral(joint - 2 * torch.log(SIGMA)[:, None]) - integral(joint))
    likelihood = UnknownGaussian(concentration, rate)
    curvature = likelihood.curvature(mean, y, OBSERVED)
    torch.testing.assert_close(curvature, expected[:, None] * OBSERVED, rtol=1e-9, atol=0)
    torch.testing.assert_close(
        likelihood.noise_level(mean, y, OBSERVED), expected**-0.5, rtol=1e-9, atol=0
    )
    torch.testing.assert_close(
        likelihood.residual(mean, y, OBSERVED),
        (y - mean) * OBSERVED * expected[:, None] ** 0.5,
        rtol=1e-9,
        atol=0,
    )


@PRIORS
def test_curvature_bounds_the_second_derivative_but_for_one_direction_that_it_equals(
    concentration, rate
):
    likelihood, (mean, y) = UnknownGaussian(concentration, rate), pair(1)
    second = torch.autograd.functional.hessian(lambda m: likelihood.nll(m, y)[0], mean).reshape(
        5, 5
    )
    weight = likelihood.curvature(mean, y)[0]
    gap = torch.linalg.eigvalsh(torch.diag(weight) - second)
    assert (gap[:4].abs() < 1e-10 * weight[0]).all()
    assert gap[4] > 0
    residual = (y - mean)[0]
    expected = weight[0] ** 2 / (concentration + 2.5) * torch.outer(residual, residual)
    torch.testing.assert_close(
        torch.diag(weight) - second, expected, rtol=1e-8, atol=1e-10 * weight[0].item()
    )


def test_the_density_is_bounded_where_the_fit_is_exact():
    mean = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    nll = UnknownGaussian().nll(mean, torch.zeros_like(mean))
    assert torch.isfinite(nll).all()
    assert (torch.autograd.grad(nll.sum(), mean)[0] == 0).all()


def test_a_weak_prior_finds_the_level_of_the_noise():
    mean = torch.zeros(1, 64, 64, dtype=torch.float64)
    y = Gaussian(0.1).sample(mean, rows(3, 1))
    assert UnknownGaussian().noise_level(mean, y).item() == pytest.approx(
        0.1, rel=5 / math.sqrt(2 * 64**2)
    )


def test_a_strong_prior_is_gaussian_noise_of_its_level():
    mean, y = pair()
    strong = UnknownGaussian(1e9, 1e9 * 0.09)
    torch.testing.assert_close(strong.nll(mean, y), Gaussian(0.3).nll(mean, y), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        strong.curvature(mean, y), Gaussian(0.3).curvature(mean, y), rtol=1e-8, atol=0
    )


def test_there_is_no_chi2():
    mean, y = pair()
    assert UnknownGaussian().residual_chi2(mean, y).isnan().all()
    assert UnknownGaussian().residual_chi2_std(mean).isnan().all()


@pytest.mark.parametrize("concentration", [1.0, 2.5, 40.0])
def test_one_level_is_drawn_for_every_row(concentration):
    num, likelihood = 20000, UnknownGaussian(concentration, 0.3)
    residual = likelihood.sample(torch.full((num, 5), 0.3, dtype=torch.float64), rows(4, num)) - 0.3
    bound = 2.4 / math.sqrt(num)  # exceeded with probability 2 exp(-2 2.4^2) = 2e-5
    single = stats.t(2 * concentration, 0, math.sqrt(0.3 / concentration))
    assert stats.kstest(residual[:, 0].numpy(), single.cdf).statistic < bound
    ratio = (
        (residual**2).mean(1) * concentration / 0.3
    )  # independent levels would not make an F distribution
    assert stats.kstest(ratio.numpy(), stats.f(5, 2 * concentration).cdf).statistic < bound


def test_a_second_measurement_has_the_level_of_the_first():
    num, (a, b) = 20000, (1e-3, 1e-3)  # a prior that says nothing
    mean = torch.full((num, 5), 0.3, dtype=torch.float64)
    y = mean + torch.tensor([0.1, -0.2, 9.0, 0.3, 0.1])
    observed = torch.tensor([True, True, False, True, True])
    again = UnknownGaussian(a, b).replicate(mean, y, rows(4, num), observed)
    assert (again[:, 2] == 0).all()
    shape, rate = a + 2, b + 0.5 * (0.01 + 0.04 + 0.09 + 0.01)
    bound = 2.4 / math.sqrt(num)
    single = stats.t(2 * shape, 0, math.sqrt(rate / shape))
    assert stats.kstest((again - mean)[:, 0].numpy(), single.cdf).statistic < bound
    seen = (again - mean)[:, observed].square().mean(1) * shape / rate
    assert stats.kstest(seen.numpy(), stats.f(4, 2 * shape).cdf).statistic < bound


def test_the_gamma_quantile_is_that_of_scipy():
    tails = 2.0 ** torch.arange(-37, 0, dtype=torch.float64)
    uniform = torch.cat([tails, 1 - tails])
    for shape in (0.5, 1.0, 1.7, 30.0, 1e5):
        expected = torch.from_numpy(stats.gamma(shape).ppf(uniform.numpy()))
        torch.testing.assert_close(
            gamma_quantile(shape, uniform), expected, rtol=1e-6, atol=0
        )  # 1 - 2^-37 itself is known to 1e-5 of 2^-37


def test_a_prior_without_bound_is_not_simulated():
    for concentration in (1e-3, 0.5, 0.999):
        with pytest.raises(
            ConfigError, match=r"concentration of at least 1, got .*Gaussian\(sigma_y\)"
        ):
            UnknownGaussian(concentration).sample(torch.zeros(1, 3), rows(0, 1))


@pytest.mark.parametrize(("concentration", "rate"), [(1e-3, 1e-3), (3.0, 0.1)])
def test_a_perturbed_measurement_has_the_level_that_the_residuals_tell(concentration, rate):
    num, (mean, y) = 20000, pair(1, 0.3)
    many, at = y.expand(num, -1), mean.expand(num, -1)
    found = UnknownGaussian(concentration, rate).perturb(many, at, rows(5, num), OBSERVED)
    assert not found[:, ~OBSERVED].any()
    added = (found - y)[:, OBSERVED]
    a = concentration + 2  # sigma_y^2 is inverse gamma given four residuals,
    b = rate + ((y - mean)[:, OBSERVED] ** 2).sum().item() / 2
    bound = 2.4 / math.sqrt(num)  # exceeded with probability 2 exp(-2 2.4^2) = 2e-5
    single = stats.t(2 * a, 0, math.sqrt(b / a))  # so that every entry has a t distribution
    for entry in range(4):
        assert stats.kstest(added[:, entry].numpy(), single.cdf).statistic < bound
    ratio = (added**2).mean(1) * a / b  # with one level for all of them
    assert stats.kstest(ratio.numpy(), stats.f(4, 2 * a).cdf).statistic < bound
