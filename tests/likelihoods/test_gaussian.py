import math
import pickle

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.likelihoods import Gaussian
from noisewalk.noise import PROBE, rows
from noisewalk.types import Likelihood

SHAPE = (2, 2, 3)
SIGMAS = [0.3, torch.tensor([[[0.1]], [[0.4]]]), torch.linspace(0.05, 1.0, 12).reshape(SHAPE)]
OBSERVED = (torch.arange(12) % 4 != 1).reshape(SHAPE)


def draw(
    num: int, seed: int, dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = SHAPE
) -> torch.Tensor:
    return rows(seed, num).normal(shape, PROBE, dtype)


def full(sigma: float | torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(sigma, dtype=torch.float64).expand(SHAPE)


def test_satisfies_the_protocol():
    assert isinstance(Gaussian(0.1), Likelihood)


@pytest.mark.parametrize("sigma", SIGMAS, ids=["number", "per channel", "per entry"])
class TestGaussian:
    def test_survives_pickling_and_prints_readably(self, sigma):
        likelihood = Gaussian(sigma)
        copy = pickle.loads(pickle.dumps(likelihood))
        assert repr(copy) == repr(likelihood)
        assert repr(likelihood).startswith("Gaussian(sigma_y=")
        assert "tensor(" not in repr(likelihood)
        assert torch.equal(copy.nll(draw(3, 0), draw(3, 1)), likelihood.nll(draw(3, 0), draw(3, 1)))

    def test_nll_is_minus_the_log_density_of_the_observed_entries(self, sigma):
        mean, y = draw(3, 0), draw(3, 1)
        log_density = torch.distributions.Normal(mean, full(sigma)).log_prob(y)
        torch.testing.assert_close(
            Gaussian(sigma).nll(mean, y), -log_density.sum((1, 2, 3)), rtol=1e-13, atol=0
        )
        torch.testing.assert_close(
            Gaussian(sigma).nll(mean, y, OBSERVED),
            -(log_density * OBSERVED).sum((1, 2, 3)),
            rtol=1e-13,
            atol=0,
        )

    def test_unobserved_entries_change_nothing_even_when_nan(self, sigma):
        likelihood, mean, y = Gaussian(sigma), draw(3, 0), draw(3, 1)
        dirty_mean = torch.where(OBSERVED, mean, torch.nan).requires_grad_()
        dirty_y = torch.where(OBSERVED, y, torch.nan)
        clean = likelihood.nll(mean.requires_grad_(), y, OBSERVED)
        dirty = likelihood.nll(dirty_mean, dirty_y, OBSERVED)
        assert torch.equal(dirty, clean)
        (dirty_gradient,) = torch.autograd.grad(dirty.sum(), dirty_mean)
        assert torch.equal(dirty_gradient, torch.autograd.grad(clean.sum(), mean)[0])
        assert (dirty_gradient[:, ~OBSERVED] == 0).all()
        for method in (likelihood.curvature, likelihood.residual_chi2):
            assert torch.equal(method(dirty_mean, dirty_y, OBSERVED), method(mean, y, OBSERVED))
        noise = rows(0, 3)
        assert torch.equal(
            likelihood.sample(dirty_mean, noise, OBSERVED), likelihood.sample(mean, noise, OBSERVED)
        )

    def test_gradient_is_the_derivative(self, sigma):
        y = draw(2, 1)
        assert torch.autograd.gradcheck(
            lambda mean: Gaussian(sigma).nll(mean, y, OBSERVED), draw(2, 0).requires_grad_()
        )

    def test_score_vanishes_under_its_own_sample_and_its_square_is_the_curvature(self, sigma):
        likelihood, num = Gaussian(sigma), 20000
        mean = draw(1, 0).expand(num, *SHAPE).clone().requires_grad_()
        y = likelihood.sample(mean.detach(), rows(4, num), OBSERVED)
        (score,) = torch.autograd.grad(likelihood.nll(mean, y, OBSERVED).sum(), mean)
        curvature = likelihood.curvature(mean, y, OBSERVED)[0]
        assert torch.equal(curvature[~OBSERVED], torch.zeros(3, dtype=torch.float64))
        standard = score[:, OBSERVED] / curvature[OBSERVED].sqrt()
        assert standard.mean(0).abs().max() < 5 / math.sqrt(num)
        assert ((standard**2).mean(0) - 1).abs().max() < 5 * math.sqrt(2 / num)

    def test_sample_has_the_right_moments_and_is_zero_where_unobserved(self, sigma):
        num = 20000
        y = Gaussian(sigma).sample(draw(1, 0).expand(num, *SHAPE), rows(5, num), OBSERVED)
        assert (y[:, ~OBSERVED] == 0).all()
        standard = ((y - draw(1, 0)) / full(sigma))[:, OBSERVED]
        assert standard.mean(0).abs().max() < 5 / math.sqrt(num)
        assert ((standard**2).mean(0) - 1).abs().max() < 5 * math.sqrt(2 / num)
        correlation = standard.T @ standard / num
        assert (correlation - torch.diag(torch.diag(correlation))).abs().max() < 5 / math.sqrt(num)

    def test_curvature_is_the_second_derivative(self, sigma):
        mean, y = draw(1, 0), draw(1, 1)
        second = torch.autograd.functional.hessian(
            lambda m: Gaussian(sigma).nll(m, y, OBSERVED)[0], mean
        ).reshape(12, 12)
        expected = torch.diag(Gaussian(sigma).curvature(mean, y, OBSERVED).flatten())
        torch.testing.assert_close(second, expected, rtol=1e-13, atol=0)

    def test_chi2_is_the_mean_square_of_whitened_residuals(self, sigma):
        mean, y = draw(3, 0), draw(3, 1)
        whitened = ((y - mean) / full(sigma)) ** 2
        torch.testing.assert_close(
            Gaussian(sigma).residual_chi2(mean, y, OBSERVED),
            whitened[:, OBSERVED].mean(1),
            rtol=1e-13,
            atol=0,
        )
        torch.testing.assert_close(
            Gaussian(sigma).residual_chi2(mean, y), whitened.flatten(1).mean(1), rtol=1e-13, atol=0
        )

    def test_a_row_does_not_depend_on_its_neighbours(self, sigma):
        likelihood, mean, y = Gaussian(sigma), draw(3, 0), draw(3, 1)
        mean[0], y[2] = torch.nan, torch.inf
        for method in (likelihood.nll, likelihood.curvature, likelihood.residual_chi2):
            torch.testing.assert_close(
                method(mean, y, OBSERVED)[1:2],
                method(mean[1:2], y[1:2], OBSERVED),
                rtol=1e-12,
                atol=0,
            )

    def test_types_follow_the_input_and_sums_are_float64(self, sigma):
        mean, y = draw(3, 0, torch.float32), draw(3, 1, torch.float32)
        likelihood = Gaussian(sigma)
        assert (
            likelihood.nll(mean, y).dtype
            == likelihood.residual_chi2(mean, y).dtype
            == torch.float64
        )
        assert (
            likelihood.curvature(mean, y).dtype
            == likelihood.sample(mean, rows(0, 3)).dtype
            == torch.float32
        )
        assert torch.equal(likelihood.nll(mean, y), likelihood.nll(mean.double(), y.double()))

    def test_is_pure(self, sigma):
        likelihood, mean, y, state = Gaussian(sigma), draw(3, 0), draw(3, 1), torch.get_rng_state()
        kept = mean.clone(), y.clone(), repr(likelihood)
        results = [
            (likelihood.nll(mean, y, OBSERVED), likelihood.sample(mean, rows(1, 3), OBSERVED))
            for _ in range(2)
        ]
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
        assert torch.equal(mean, kept[0])
        assert torch.equal(y, kept[1])
        assert repr(likelihood) == kept[2]
        assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("sigma", [0.1, 2.5])
def test_density_integrates_to_one(sigma):
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


def test_samples_are_a_function_of_the_key():
    likelihood, mean = Gaussian(0.2), torch.zeros(4, *SHAPE)
    noise = rows(3, 4)
    assert torch.equal(likelihood.sample(mean, noise), likelihood.sample(mean, rows(3, 4)))
    assert torch.equal(likelihood.sample(mean, noise)[:2], likelihood.sample(mean[:2], rows(3, 2)))
    assert not torch.equal(likelihood.sample(mean, noise), likelihood.sample(mean, noise.at(1)))
    assert not torch.equal(likelihood.sample(mean, noise), likelihood.sample(mean, rows(4, 4)))


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


def test_a_row_without_data_has_nll_0_and_no_chi2():
    mean, y, nothing = draw(1, 0), draw(1, 1), torch.zeros(SHAPE, dtype=torch.bool)
    assert Gaussian(0.3).nll(mean, y, nothing).item() == 0
    assert Gaussian(0.3).residual_chi2(mean, y, nothing).isnan().all()


def test_likelihood_keeps_its_own_copy_of_sigma():
    sigma = torch.ones(SHAPE, requires_grad=True)
    likelihood = Gaussian(sigma)
    sigma.data.zero_()
    assert torch.equal(likelihood.sigma_y, torch.ones(SHAPE))
    assert not likelihood.sigma_y.requires_grad


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (0.0, "positive finite number or a tensor, got 0.0"),
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
    ],
)
def test_bad_sigma_is_refused(sigma, message):
    with pytest.raises(ConfigError, match=message):
        Gaussian(sigma)


@pytest.mark.parametrize("shape", [(3, *SHAPE), (4,), (3, 1, 1)])
def test_a_sigma_of_another_shape_is_refused(shape):
    likelihood, mean = Gaussian(torch.ones(shape)), torch.zeros(3, *SHAPE)
    for call in (likelihood.nll, likelihood.curvature, likelihood.residual_chi2):
        with pytest.raises(ConfigError, match="does not broadcast to one y"):
            call(mean, mean)
    with pytest.raises(ConfigError, match="does not broadcast to one y"):
        likelihood.sample(mean, rows(0, 3))


def test_shapes_that_would_broadcast_by_accident_are_refused():
    mean = torch.zeros(3, *SHAPE)
    with pytest.raises(ConfigError, match="same shape"):
        Gaussian(0.1).nll(mean, mean[:1])
    with pytest.raises(ConfigError, match="does not broadcast"):
        Gaussian(0.1).nll(mean, mean, torch.ones(5, dtype=torch.bool))
    with pytest.raises(ConfigError, match=r"bool tensor, got torch\.float32"):
        Gaussian(0.1).nll(mean, mean, torch.ones(SHAPE))
    with pytest.raises(ConfigError, match="one row per row"):
        Gaussian(0.1).sample(mean, rows(0, 2))
