import math

import pytest
import torch
from scipy import stats

from noisewalk.likelihoods import Laplace
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
