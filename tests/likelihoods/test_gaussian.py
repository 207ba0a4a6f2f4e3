import math

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError
from noisewalk.likelihoods import Gaussian
from noisewalk.noise import PROBE, rows

SHAPE = (2, 2, 3)
SIGMAS = [0.3, torch.tensor([[[0.1]], [[0.4]]]), torch.linspace(0.05, 1.0, 12).reshape(SHAPE)]
OBSERVED = (torch.arange(12) % 4 != 1).reshape(SHAPE)


def draw(
    num: int, seed: int, dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = SHAPE
) -> torch.Tensor:
    return rows(seed, num).normal(shape, PROBE, dtype)


def full(sigma: float | torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(sigma, dtype=torch.float64).expand(SHAPE)


def test_nll_is_minus_the_log_density_of_the_observed_entries():
    mean, y = draw(3, 0), draw(3, 1)
    for sigma in SIGMAS:
        log_density = torch.distributions.Normal(mean, full(sigma)).log_prob(y)
        for observed in (None, OBSERVED):
            kept = log_density if observed is None else log_density * observed
            torch.testing.assert_close(
                Gaussian(sigma).nll(mean, y, observed), -kept.sum((1, 2, 3)), rtol=1e-13, atol=0
            )


def test_sample_has_the_right_moments_and_is_zero_where_unobserved():
    num = 20000
    for sigma in SIGMAS:
        y = Gaussian(sigma).sample(draw(1, 0).expand(num, *SHAPE), rows(5, num), OBSERVED)
        assert (y[:, ~OBSERVED] == 0).all()
        standard = ((y - draw(1, 0)) / full(sigma))[:, OBSERVED]
        assert standard.mean(0).abs().max() < 5 / math.sqrt(num)
        assert ((standard**2).mean(0) - 1).abs().max() < 5 * math.sqrt(2 / num)
        correlation = standard.T @ standard / num
        assert (correlation - torch.diag(torch.diag(correlation))).abs().max() < 5 / math.sqrt(num)


def test_curvature_is_the_second_derivative():
    mean, y = draw(1, 0), draw(1, 1)
    for sigma in SIGMAS:
        likelihood = Gaussian(sigma)
        second = torch.autograd.functional.hessian(
            lambda m, known=likelihood: known.nll(m, y, OBSERVED)[0], mean
        ).reshape(12, 12)
        expected = torch.diag(likelihood.curvature(mean, y, OBSERVED).flatten())
        torch.testing.assert_close(second, expected, rtol=1e-13, atol=0)


def test_chi2_is_the_mean_square_of_whitened_residuals():
    mean, y = draw(3, 0), draw(3, 1)
    for sigma in SIGMAS:
        whitened = ((y - mean) / full(sigma)) ** 2
        for observed, kept in ((OBSERVED, whitened[:, OBSERVED]), (None, whitened.flatten(1))):
            torch.testing.assert_close(
                Gaussian(sigma).residual_chi2(mean, y, observed), kept.mean(1), rtol=1e-13, atol=0
            )


def test_density_integrates_to_one():
    for sigma in (0.1, 2.5):
        y = torch.linspace(-12 * sigma, 12 * sigma, 2001, dtype=torch.float64)[:, None] + 0.3
        density = torch.exp(-Gaussian(sigma).nll(torch.full_like(y, 0.3), y))
        assert abs(torch.trapezoid(density, y[:, 0]).item() - 1) < 1e-12


def test_float32_images_are_summed_in_float64():
    shape = (3, 64, 64)
    mean, y = draw(1, 0, torch.float32, shape), draw(1, 1, torch.float32, shape)
    terms = (
        0.5 * ((y.double() - mean.double()) / 0.1) ** 2
        + math.log(0.1)
        + 0.5 * math.log(2 * math.pi)
    )
    exact = math.fsum(terms.flatten().tolist())
    assert Gaussian(0.1).nll(mean, y).item() == pytest.approx(exact, rel=1e-13)


def test_every_row_may_have_its_own_gaps():
    observed = torch.stack([OBSERVED, ~OBSERVED])
    mean, y = draw(2, 0), draw(2, 1)
    both = Gaussian(0.3).nll(mean, y, observed)
    torch.testing.assert_close(
        both[0:1], Gaussian(0.3).nll(mean[:1], y[:1], OBSERVED), rtol=1e-15, atol=0
    )
    torch.testing.assert_close(
        both[1:2], Gaussian(0.3).nll(mean[1:], y[1:], ~OBSERVED), rtol=1e-15, atol=0
    )


def test_a_row_without_data_has_nll_0():
    mean, y, nothing = draw(1, 0), draw(1, 1), torch.zeros(SHAPE, dtype=torch.bool)
    assert Gaussian(0.3).nll(mean, y, nothing).item() == 0


def test_likelihood_keeps_its_own_copy_of_sigma():
    sigma = torch.ones(SHAPE, requires_grad=True)
    likelihood = Gaussian(sigma)
    sigma.data.zero_()
    assert torch.equal(likelihood.sigma_y, torch.ones(SHAPE))
    assert not likelihood.sigma_y.requires_grad


def test_bad_sigma_is_refused():
    for sigma, message in (
        (0.0, r"\(a number or a tensor\) must be a finite number above 0, got 0.0"),
        (-0.1, "got -0.1"),
        (math.nan, "got nan"),
        (math.inf, "got inf"),
        (True, "got True"),
        ("0.1", "got '0.1'"),
        (None, "got None"),
        (
            torch.tensor([0.1, 0.0, -1.0, math.nan, math.inf]),
            "positive and finite, but 4 of 5 entries are not",
        ),
        (torch.ones(2, dtype=torch.bool), "real numbers, got torch.bool"),
        (torch.ones(2, dtype=torch.complex64), "real numbers, got torch.complex64"),
        (torch.ones(0), r"of shape \(0,\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            Gaussian(sigma)


def test_a_sigma_of_another_shape_is_refused():
    mean = torch.zeros(3, *SHAPE)
    for shape in ((4,), (3, 1, 1), (1, 3, *SHAPE)):
        known = Gaussian(torch.ones(shape))
        for call in (known.nll, known.curvature, known.residual_chi2):
            with pytest.raises(ConfigError, match="does not broadcast to one y"):
                call(mean, mean)
        with pytest.raises(ConfigError, match="does not broadcast to one y"):
            known.sample(mean, rows(0, 3))


def test_a_perturbed_measurement_is_y_with_noise_of_its_level():
    num, y = 20000, draw(1, 7)
    for sigma in SIGMAS:
        many = y.expand(num, *SHAPE)
        found = Gaussian(sigma).perturb(many, torch.full_like(many, torch.nan), rows(8, num))
        level = full(sigma)
        assert ((found.mean(0) - y[0]).abs() < 5 * level / math.sqrt(num)).all()
        assert ((found.std(0) / level - 1).abs() < 5 / math.sqrt(2 * num)).all()
        hidden = Gaussian(sigma).perturb(many, many, rows(8, num), OBSERVED)
        assert torch.equal(hidden, torch.where(OBSERVED, found, 0.0))
    assert Gaussian(0.1).perturb(y.float(), y.float(), rows(8, 1)).dtype == torch.float32


def test_each_image_may_have_a_level_of_its_own():
    levels = torch.tensor([0.1, 0.4, 0.2], dtype=torch.float64).reshape(3, 1, 1, 1)
    phi, y = nw.maps.Warp(SHAPE, 0.5), draw(3, 1)
    z = draw(6, 2)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), Gaussian(levels), y)
    state, mean = target(z), phi(z)
    several = target.with_measurements(y.repeat_interleave(2, 0))
    rows_of_one = several.evaluate(z, torch.arange(6))
    for k, level in enumerate(levels.flatten().tolist()):
        alone = nw.NoisePosterior(phi, torch.nn.Identity(), Gaussian(level), y[k : k + 1])
        own, some = alone(z[2 * k : 2 * k + 2]), slice(2 * k, 2 * k + 2)
        torch.testing.assert_close(state.nll[some], own.nll, rtol=1e-12, atol=0)
        torch.testing.assert_close(state.grad[some], own.grad, rtol=1e-12, atol=0)
        torch.testing.assert_close(rows_of_one.nll[some], own.nll, rtol=1e-12, atol=0)
        torch.testing.assert_close(target.chi2(mean)[some], alone.chi2(mean[some]))
        torch.testing.assert_close(target.curvature(mean)[some], alone.curvature(mean[some]))
    with pytest.raises(ConfigError, match="levels of 2 images"):
        nw.NoisePosterior(phi, torch.nn.Identity(), Gaussian(levels[:2]), y)


def test_one_map_of_levels_is_that_of_every_image():
    phi, y, z = nw.maps.Warp(SHAPE, 0.5), draw(3, 1), draw(6, 2)
    levels = 0.1 + draw(1, 3).abs()
    one, each = (
        nw.NoisePosterior(phi, torch.nn.Identity(), Gaussian(s), y)
        for s in (levels, levels.expand(3, *SHAPE))
    )
    for found, expected in zip(one(z), each(z), strict=True):
        assert torch.equal(found, expected)
    with pytest.raises(ConfigError, match="levels of 2 images"):
        nw.NoisePosterior(phi, torch.nn.Identity(), Gaussian(levels.expand(2, *SHAPE)), draw(4, 1))
