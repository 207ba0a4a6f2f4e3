import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from noisewalk.likelihoods import Gaussian, Laplace, StudentT
from noisewalk.likelihoods.heavy_tails import LAPLACE_SPREAD, student_spread
from noisewalk.noise import PROBE, rows


def test_nll_is_minus_the_log_density_that_integrates_to_1():
    mean, y = (rows(seed, 50).normal((4,), PROBE, torch.float64) for seed in (0, 1))
    for scale in (0.05, 2.0):
        expected = torch.distributions.Laplace(mean, scale).log_prob(y).sum(1)
        torch.testing.assert_close(Laplace(scale).nll(mean, y), -expected, rtol=1e-12, atol=1e-12)
        distance = torch.linspace(0, 40 * scale, 40001, dtype=torch.float64)[:, None]
        density = torch.exp(-Laplace(scale).nll(torch.full_like(distance, 0.3), 0.3 + distance))
        mass = 2 * torch.trapezoid(density, distance[:, 0])  # off by h^2 / 12 scale^2
        assert mass.item() == pytest.approx(1, abs=1e-6)


def test_the_sample_has_the_laplace_distribution():
    num = 20000
    y = Laplace(0.2).sample(torch.full((num, 1), 0.3, dtype=torch.float64), rows(2, num))[:, 0]
    assert (
        stats.kstest(y.numpy(), stats.laplace(0.3, 0.2).cdf).statistic * math.sqrt(num) < 2.4
    )  # exceeded with probability 2 exp(-2 2.4^2) = 2e-5
    assert abs((y - 0.3).abs().mean().item() / 0.2 - 1) < 5 / math.sqrt(
        num
    )  # |y - mean| is exponential
    assert abs((y - 0.3).square().mean().item() / 0.08 - 1) < 5 * math.sqrt(5 / num)


def test_curvature_is_constant_and_no_second_derivative():
    mean = torch.zeros(2, 3, dtype=torch.float64)
    assert torch.equal(Laplace(0.5).curvature(mean, mean + 9), torch.full_like(mean, 4.0))


VALUES = [(0.7, 0.1), (1.0, 0.3), (4.0, 0.05), (60.0, 2.0)]


def test_nll_is_minus_the_log_density():
    mean, y = (rows(seed, 50).normal((4,), PROBE, torch.float64) for seed in (0, 1))
    for df, scale in VALUES:
        law = torch.distributions.StudentT(torch.tensor(df, dtype=torch.float64), mean, scale)
        found = StudentT(df, scale).nll(mean, y)
        torch.testing.assert_close(found, -law.log_prob(y).sum(1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("df", "scale"), VALUES)
def test_the_density_integrates_to_1(df, scale):
    def density(angle):  # y = scale tan(angle)
        y = torch.tensor([[scale * math.tan(angle)]], dtype=torch.float64)
        return (
            math.exp(-StudentT(df, scale).nll(torch.zeros_like(y), y).item())
            * scale
            / math.cos(angle) ** 2
        )

    assert 2 * integrate.quad(density, 0, math.pi / 2, limit=200)[0] == pytest.approx(1, abs=1e-6)


def test_the_sample_has_the_t_distribution():
    num = 20000
    for df, scale in VALUES:
        mean = torch.full((num, 1), 0.3, dtype=torch.float64)
        y = StudentT(df, scale).sample(mean, rows(2, num))[:, 0]
        distance = stats.kstest(y.numpy(), stats.t(df, 0.3, scale).cdf).statistic
        assert distance * math.sqrt(num) < 2.4  # exceeded with probability 2 exp(-2 2.4^2) = 2e-5


def test_an_outliers_pull_fades():
    mean = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    (pull,) = torch.autograd.grad(
        StudentT(3.0, 0.1).nll(mean, torch.tensor([[0.2], [20.0]], dtype=torch.float64)).sum(), mean
    )
    assert abs(pull[1]) < 0.05 * abs(pull[0])


def test_many_degrees_of_freedom_are_gaussian_noise():
    mean, y = (rows(seed, 5).normal((4,), PROBE, torch.float64) for seed in (0, 1))
    torch.testing.assert_close(
        StudentT(1e7, 0.5).nll(mean, y), Gaussian(0.5).nll(mean, y), rtol=1e-5, atol=0
    )
    torch.testing.assert_close(
        StudentT(1e7, 0.5).curvature(mean, y), Gaussian(0.5).curvature(mean, y), rtol=1e-6, atol=0
    )


def test_chi2_exists_where_the_noise_has_a_variance_and_its_spread_where_a_fourth_moment():
    mean = torch.zeros(2, 3, dtype=torch.float64)
    for df, has_chi2, has_spread in (
        (1.0, False, False),
        (2.0, False, False),
        (2.1, True, False),
        (4.0, True, False),
        (4.1, True, True),
    ):
        known = StudentT(df, 0.1)
        assert known.residual_chi2(mean, mean + 0.1).isfinite().tolist() == [has_chi2] * 2
        assert known.residual_chi2_std(mean).isfinite().tolist() == [has_spread] * 2


@pytest.mark.parametrize("df", [1, 2, 3, 5, 10, 30])
def test_starts_spread_as_the_fisher_information_says_for_student_t(df):
    """E[Var(psi | r)] I / E[psi']^2 = 1, by quadrature over the residual r and the perturbation."""
    r = stats.t(df).ppf((np.arange(4000) + 0.5) / 4000)[:, None]
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    at, weights = r + student_spread(df) * nodes, weights / weights.sum()
    psi = (df + 1) * at / (df + at**2)
    slope = ((df + 1) * (df - at**2) / (df + at**2) ** 2) @ weights
    variance = (psi**2) @ weights - (psi @ weights) ** 2
    information = (df + 1) / (df + 3)
    assert variance.mean() * information / slope.mean() ** 2 == pytest.approx(1, abs=0.03)


def test_starts_spread_as_the_fisher_information_says_for_laplace():
    r = stats.laplace.ppf((np.arange(40000) + 0.5) / 40000) / LAPLACE_SPREAD
    variance = 1 - (2 * stats.norm.cdf(r) - 1) ** 2  # psi is a sign, its information 1,
    slope = 2 * stats.norm.pdf(r) / LAPLACE_SPREAD  # and psi' twice a delta
    assert variance.mean() / slope.mean() ** 2 == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("likelihood", "level"),
    [(Laplace(0.2), LAPLACE_SPREAD * 0.2)]
    + [(StudentT(df, 0.2), student_spread(df) * 0.2) for df in (1.0, 5.0)],
    ids=repr,
)
def test_a_perturbed_measurement_is_y_with_gaussian_noise_of_that_spread(likelihood, level):
    num, y = 20000, torch.tensor([[0.3, -4.0, torch.nan]], dtype=torch.float64)
    observed = torch.tensor([True, True, False])
    many = y.expand(num, -1)
    found = likelihood.perturb(many, torch.full_like(many, torch.nan), rows(3, num), observed)
    assert not found[:, 2].any()
    for entry in range(2):
        law = stats.norm(y[0, entry].item(), level)
        distance = stats.kstest(found[:, entry].numpy(), law.cdf).statistic
        assert distance * math.sqrt(num) < 2.4  # exceeded with probability 2 exp(-2 2.4^2) = 2e-5
