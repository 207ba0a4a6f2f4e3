"""Counts behind an amplifier, against scipy's convolution of Poisson and Gaussian."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.likelihoods import Poisson, PoissonGaussian, parse, text_of
from noisewalk.noise import rows

BOUND = 0.002  # of the docstring, an entry
PEAK = 50.0


def convolved(y, rate, gain, read):
    """log p(y) by the sum over all photon numbers."""
    k = np.arange(int(rate + 60 * np.sqrt(rate + 1) + 60 * read / gain + 80))
    mass = stats.poisson.logpmf(k, rate)
    return logsumexp(mass + stats.norm.logpdf(y[:, None], gain * k, read), axis=1)


@pytest.mark.parametrize("ratio", [0.02, 0.3, 0.8, 0.99, 1.0, 1.5, 2.0, 10.0])
def test_the_density_is_the_convolution_within_the_stated_error(ratio):
    gain, background = 2.5, 0.001
    for mean in (-1.0, -0.99, -0.5, 1.0, 30.0):
        likelihood = PoissonGaussian(PEAK, gain, background, ratio * gain)
        level = PEAK * max((mean + 1) / 2, 1e-4) + background
        spread = np.sqrt(gain * level + (ratio * gain) ** 2)
        y = np.linspace(level - 5 * spread, level + 5 * spread, 101)
        y = y[y > -5 * ratio * gain]
        at = torch.full((len(y), 1), mean, dtype=torch.float64)
        found = -likelihood.nll(at, torch.from_numpy(y)[:, None]).numpy()
        expected = convolved(y, level / gain, gain, ratio * gain)
        bound = BOUND if ratio < 2 else BOUND / 10
        seen = expected > -400 if ratio < 1 else slice(None)  # between photons there is nothing
        np.testing.assert_allclose(found[seen], expected[seen], atol=bound if ratio >= 1 else 1e-6)


def test_without_amplifier_it_is_poisson():
    mean, y = torch.tensor([[-0.5, 0.3, -2.0]]), torch.tensor([[3.0, 40.0, 0.0]])
    plain, same = Poisson(PEAK), PoissonGaussian(PEAK)
    torch.testing.assert_close(same.nll(mean, y), plain.nll(mean, y), rtol=1e-12, atol=0)
    torch.testing.assert_close(same.residual(mean, y), plain.residual(mean, y))
    torch.testing.assert_close(same.curvature(mean, y), plain.curvature(mean, y))
    torch.testing.assert_close(same.sup_log_likelihood(y), plain.sup_log_likelihood(y))


@pytest.mark.parametrize("read", [0.5, 6.0])
def test_samples_and_perturbed_measurements_have_their_mean_and_variance(read):
    num, gain, background = 20000, 2.0, 3.0
    likelihood = PoissonGaussian(PEAK, gain, background, read)
    mean = torch.tensor([[-0.9, 0.0, 1.0]], dtype=torch.float64)
    level = PEAK * (mean + 1) / 2 + background
    y = likelihood.sample(mean.expand(num, -1), rows(1, num))
    again = likelihood.perturb(level.expand(num, -1), mean.expand(num, -1), rows(2, num))
    variance = gain * level + read**2
    fourth = gain**3 * level + 2 * variance**2
    for drawn in (y, again):
        assert ((drawn.mean(0) - level).abs() < 5 * (variance / num).sqrt()).all()
        spread = (drawn - level).square().mean(0, keepdim=True) - variance
        assert (spread.abs() < 5 * (fourth / num).sqrt()).all()
    std = likelihood.residual_chi2_std(mean)
    assert float(std) == pytest.approx(float((fourth / variance**2).sum().sqrt() / 3), rel=1e-9)
    assert (
        abs(float(likelihood.residual_chi2(mean.expand(num, -1), y).mean()) - 1)
        < 5 * float(std) / num**0.5
    )


def test_below_zero_a_perturbed_measurement_has_read_noise_alone():
    likelihood, y = PoissonGaussian(PEAK, 2.0, 0.0, 3.0), torch.full((20000, 1), -4.0)
    drawn = likelihood.perturb(y, y, rows(3, 20000)).double()
    assert abs(float(drawn.mean()) + 4) < 5 * 3 / 20000**0.5
    assert float(drawn.std()) == pytest.approx(3.0, rel=5 / (2 * 20000) ** 0.5)


@pytest.mark.parametrize("read", [0.5, 6.0])
def test_no_signal_is_likelier_than_the_supremum_says(read):
    likelihood = PoissonGaussian(PEAK, 2.0, 3.0, read)
    y = torch.tensor([[-5.0], [3.0], [4.0], [60.0], [300.0]])
    grid = torch.linspace(-1, 14, 3001, dtype=torch.float64)[:, None]
    best = torch.stack([-likelihood.nll(grid, one.expand(3001, 1).double()).min() for one in y])
    torch.testing.assert_close(likelihood.sup_log_likelihood(y), best, atol=1e-3, rtol=0)
    assert (likelihood.sup_log_likelihood(y) > best - 1e-9).all()


def test_the_gradient_is_that_of_the_density_also_far_out():
    mean = torch.tensor([[-0.9, 0.0, 1.0, 3.0]], dtype=torch.float64, requires_grad=True)
    for read, y in ((0.7, [1.0, 20.0, 90.0, 10.0]), (4.0, [-9.0, 25.0, 300.0, 0.0])):
        likelihood, given = PoissonGaussian(PEAK, 2.0, 3.0, read), torch.tensor([y]).double()
        assert torch.autograd.gradcheck(lambda m, f=likelihood, v=given: f.nll(m, v), mean)


def test_the_text_has_a_peak_or_takes_the_value_range():
    whole = PoissonGaussian(80.0, 2.0, 5.0, 3.0)
    assert parse("poisson:peak=80,gain=2,background=5,read=3") == whole
    assert parse("poisson:gain=2,background=5,read=3", None, 40.0) == whole
    assert parse("poisson:read=3", None, 40.0) == PoissonGaussian(80.0, read=3.0)
    assert parse(text_of(whole)) == whole
    for text in ("poisson:gain=0", "poisson:read=-1", "poisson:gain=2,rear=3", "poisson:gain=x"):
        with pytest.raises(ConfigError, match="likelihood 'poisson"):
            parse(text, None, 40.0)


def test_what_cannot_be_measured_is_refused():
    phi = nw.maps.Affine(torch.eye(2))
    y = torch.tensor([[3.0, -1.0]])
    with pytest.raises(ConfigError, match=r"PoissonGaussian wants counts.* 1 observed"):
        nw.NoisePosterior(phi, torch.nn.Identity(), PoissonGaussian(PEAK, 2.0), y)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), PoissonGaussian(PEAK, 2.0, 0.0, 2.0), y)
    assert torch.isfinite(target(torch.zeros(2, 2)).nll).all()
    with pytest.raises(ConfigError, match="give sup_log_likelihood the y"):
        PoissonGaussian(PEAK).sup_log_likelihood()
