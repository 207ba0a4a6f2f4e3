"""Chi-square check: closed forms, masks, and uniformity under the truth."""

import math

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.evaluate.diagnostics import chi2, chi2_p_value


def generator():
    return torch.Generator().manual_seed(0)


def uniformity_gap(p):
    """Largest distance of the empirical distribution from uniform, and the bound that it passes
    with probability 1e-6 (Dvoretzky, Kiefer, Wolfowitz)."""
    n = len(p)
    ordered = p.sort().values
    grid = torch.arange(n, dtype=torch.float64) / n
    return float(
        torch.maximum((ordered - grid).abs(), (ordered - grid - 1 / n).abs()).max()
    ), math.sqrt(math.log(2e6) / (2 * n))


def test_chi2_is_the_normalised_sum():
    residual = torch.randn(5, 2, 3, generator=generator())
    expected = torch.stack(
        [sum((v / 0.3) ** 2 for v in row.double().flatten()) / 6 for row in residual]
    )
    torch.testing.assert_close(chi2(residual, 0.3), expected, rtol=1e-12, atol=0)


def test_unobserved_entries_are_never_read():
    residual = torch.randn(5, 2, 3, generator=generator())
    observed = torch.tensor([True, False, True])
    sigma = torch.tensor([[0.1, 0.0, 0.3], [0.2, math.nan, 0.5]])
    spoilt = residual.clone()
    spoilt[..., 1] = math.nan
    expected = chi2(residual[..., [0, 2]], sigma[:, [0, 2]])
    torch.testing.assert_close(chi2(spoilt, sigma, observed), expected, rtol=1e-12, atol=0)


def test_draws_do_not_touch_each_other():
    residual = torch.randn(3, 4, generator=generator())
    alone = chi2(residual[1:2], 1.0)
    residual[0] = math.nan
    assert torch.equal(chi2(residual, 1.0)[1:2], alone)


def test_p_value_with_two_entries_is_exponential():
    total = torch.tensor([0.1, 2.0, 11.0], dtype=torch.float64)
    expected = torch.exp(-total / 2)
    torch.testing.assert_close(chi2_p_value(total[:, None] / 2, 2), expected, rtol=1e-6, atol=0)


def test_p_value_of_large_images_follows_wilson_and_hilferty():
    # (chi2_m / m)^(1/3) is normal with mean 1 - 2 / (9 m) and variance 2 / (9 m), to O(1 / m) in
    # probability.
    spread = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0], dtype=torch.float64)
    for m in (10_000, 196_608):
        values = 1 + spread * math.sqrt(2 / m)
        z = (values ** (1 / 3) - (1 - 2 / (9 * m))) / math.sqrt(2 / (9 * m))
        expected = torch.special.ndtr(-z)
        torch.testing.assert_close(chi2_p_value(values[:, None], m), expected, rtol=0, atol=1 / m)


def test_p_value_averages_over_draws():
    values = torch.rand(3, 4, generator=generator()) + 0.5
    each = torch.stack([chi2_p_value(v[None], 7) for v in values.flatten()]).reshape(3, 4)
    torch.testing.assert_close(chi2_p_value(values, 7), each.mean(1), rtol=1e-12, atol=0)


def simulate(sigma_claimed=0.5, num_problems=4000, num_draws=8, m=6):
    """One level x ~ N(0, 1) seen m times with noise 0.5; exact posterior draws under the claimed
    noise; chi2 (problem, draw)."""
    gen = generator()
    y = torch.randn(num_problems, 1, generator=gen) + 0.5 * torch.randn(
        num_problems, m, generator=gen
    )
    precision = 1 + m * sigma_claimed**-2
    x = y.sum(1, keepdim=True) * sigma_claimed**-2 / precision + torch.randn(
        num_problems, num_draws, generator=gen
    ) / math.sqrt(precision)
    return chi2((y[:, None] - x[..., None]).flatten(0, 1), sigma_claimed).reshape(
        num_problems, num_draws
    )


def test_p_value_of_one_exact_posterior_draw_is_uniform_and_of_many_less_spread():
    values = simulate()
    one, many = chi2_p_value(values[:, :1], 6), chi2_p_value(values, 6)
    gap, bound = uniformity_gap(one)
    assert gap < bound
    assert abs(float(many.mean()) - 0.5) < 5 / math.sqrt(12 * len(many))
    assert many.var() < one.var()


def test_p_value_shows_a_wrong_noise_level():
    for sigma_claimed in (0.4, 0.6):
        p = chi2_p_value(simulate(sigma_claimed), 6)
        gap, bound = uniformity_gap(p)
        assert gap > bound
        assert (p.mean() < 0.5) == (sigma_claimed < 0.5)


def test_bad_arguments_are_refused():
    with pytest.raises(ConfigError, match="observed"):
        chi2(torch.zeros(2, 3), 1.0, torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ConfigError, match="positive"):
        chi2(torch.zeros(2, 3), 0.0)
    with pytest.raises(ConfigError, match="num_observed"):
        chi2_p_value(torch.ones(2), 0)
