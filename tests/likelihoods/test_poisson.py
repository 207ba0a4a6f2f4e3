from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.likelihoods import Poisson
from noisewalk.likelihoods.poisson import FLOOR, quantile
from noisewalk.noise import rows

MEANS = torch.tensor([-3.0, -1.0, -0.999, -0.5, 0.0, 1.0, 1.4], dtype=torch.float64)


def rate_of(peak):
    return peak * torch.clamp((MEANS + 1) / 2, min=1e-4)


def test_nll_is_minus_the_log_mass_with_the_factorial():
    for peak, y in product((0.5, 30.0, 1e4), (0.0, 1.0, 17.0, 12345.0)):
        counts = torch.full_like(MEANS, y)
        found = Poisson(peak).nll(MEANS[:, None], counts[:, None])
        expected = torch.distributions.Poisson(rate_of(peak)).log_prob(counts)
        torch.testing.assert_close(found, -expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            found.numpy(), -stats.poisson.logpmf(y, rate_of(peak).numpy()), rtol=1e-10, atol=1e-10
        )


def test_the_mass_of_all_counts_is_1():
    counts = torch.arange(400, dtype=torch.float64)
    for peak, mean in product((0.5, 30.0), MEANS):
        mass = torch.exp(-Poisson(peak).nll(mean.expand(400)[:, None], counts[:, None]))
        assert mass.sum().item() == pytest.approx(1, abs=1e-12)


def test_a_negative_count_has_density_0_and_the_others_are_kept():
    nll = Poisson(10.0).nll(torch.zeros(3, 2), torch.tensor([[1.0, 2.0], [1.0, -2.0], [-0.5, 3.0]]))
    assert nll.isinf().tolist() == [False, True, True]


def test_thequantile_is_that_of_scipy_for_any_rate_and_any_uniform():
    tails = 2.0 ** torch.arange(-33, 0, dtype=torch.float64)
    uniform = torch.cat([tails, 1 - tails, torch.linspace(0.01, 0.99, 33, dtype=torch.float64)])[
        :, None
    ]
    rate = torch.logspace(-8, 6, 60, dtype=torch.float64)
    expected = torch.from_numpy(stats.poisson.ppf(uniform.numpy(), rate.numpy()))
    assert torch.equal(
        quantile(rate.expand(len(uniform), -1), uniform.expand(-1, len(rate))), expected
    )


def test_samples_are_counts_with_the_mean_and_variance_of_the_rate():
    num = 40000
    for peak in (2.0, 50.0):
        rate, y = rate_of(peak), Poisson(peak).sample(MEANS.expand(num, -1), rows(1, num))
        assert torch.equal(y, y.round())
        assert (y >= 0).all()
        assert ((y.mean(0) - rate).abs() < 5 * (rate / num).sqrt()).all()
        spread = ((3 * rate**2 + rate - rate**2) / num).sqrt()  # from the fourth central moment
        assert (((y - rate) ** 2).mean(0) - rate).abs().lt(5 * spread).all()


def test_curvature_is_the_fisher_information_and_0_where_the_rate_is_held():
    mean, peak = MEANS[None].clone().requires_grad_(), 30.0
    rate = peak * ((mean + 1) / 2).clamp(min=FLOOR)
    (slope,) = torch.autograd.grad(rate.sum(), mean)
    torch.testing.assert_close(
        Poisson(peak).curvature(mean, mean), slope**2 / rate, rtol=1e-13, atol=0
    )
    assert (Poisson(peak).curvature(mean, mean)[0, :2] == 0).all()
    assert (Poisson(peak).curvature(mean, mean)[0, 2:] > 0).all()


def test_a_target_refuses_what_cannot_be_counts_and_says_what_poisson_wants():
    phi, counts = nw.maps.Affine(torch.eye(3)), torch.tensor([[0.0, 2.0, -0.5]])
    with pytest.raises(ConfigError, match=r"Poisson wants counts.* 1 observed entries .*-0\.5"):
        nw.NoisePosterior(phi, torch.nn.Identity(), Poisson(10.0), counts)
    for bad in (torch.nan, torch.inf):
        with pytest.raises(ConfigError, match="not finite"):
            nw.NoisePosterior(
                phi, torch.nn.Identity(), Poisson(10.0), torch.tensor([[0.0, 2.0, bad]])
            )
        with pytest.raises(ConfigError, match="Poisson wants counts"):
            Poisson(10.0).check_measurement(torch.tensor([[0.0, 2.0, bad]]))
    gap = torch.tensor([True, True, False])
    target = nw.NoisePosterior(phi, torch.nn.Identity(), Poisson(10.0), counts, observed=gap)
    assert torch.isfinite(target(torch.zeros(2, 3)).nll).all()


def test_the_default_sampler_finds_the_posterior_of_one_pixel():
    """Against quadrature."""
    y = torch.tensor([[6.0]], dtype=torch.float64)
    target = nw.NoisePosterior(
        nw.maps.Affine(torch.eye(1, dtype=torch.float64)), torch.nn.Identity(), Poisson(10.0), y
    )
    run = nw.sample(
        target, num_draws=30, num_chains=30, num_warmup=40, warm_start=nw.Adam(10), progress=False
    )
    grid = torch.linspace(-1, 6, 4001, dtype=torch.float64)[:, None]
    weight = torch.exp(-Poisson(10.0).nll(grid, y.expand(len(grid), 1)) - grid[:, 0] ** 2 / 2)
    mean = (weight * grid[:, 0]).sum() / weight.sum()
    chains = run.z[0, :, :, 0].mean(1)
    assert abs(chains.mean().item() - mean.item()) < 5 * chains.std().item() / 30**0.5


def test_a_perturbed_measurement_is_a_count_of_rate_y_and_0_stays():
    num, y = 20000, torch.tensor([[0.0, 1.0, 7.0, 300.0, torch.nan, 5.0]], dtype=torch.float64)
    observed = torch.tensor([True, True, True, True, False, False])
    many = y.expand(num, -1)
    found = Poisson(30.0).perturb(many, torch.full_like(many, torch.nan), rows(4, num), observed)
    assert torch.equal(found, found.round())
    assert (found >= 0).all()
    assert not found[:, [0, 4, 5]].any()
    rate = y[0, 1:4]
    drawn = found[:, 1:4]
    assert ((drawn.mean(0) - rate).abs() < 5 * (rate / num).sqrt()).all()
    spread = ((2 * rate**2 + rate) / num).sqrt()  # of the variance
    assert ((drawn - rate).square().mean(0) - rate).abs().lt(5 * spread).all()
