"""Poisson noise in deepinv's unit: counts, or multiples of the gain."""

import math
import pickle

import pytest
import torch

import noisewalk as nw
from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.likelihoods import Poisson
from noisewalk.operators.deepinv_noise import DeepinvPoisson


class TestPoissonInItsUnit:
    def test_simulations_are_multiples_with_the_mean_and_variance_of_the_model(self):
        for likelihood in [
            DeepinvPoisson(0.25),
            DeepinvPoisson(2.5),
            DeepinvPoisson(0.25, normalized=False),
        ]:
            unit, num = (likelihood.gain if likelihood.normalized else 1.0), 4000
            mean = torch.tensor([0.3, 1.0, 7.0], dtype=torch.float64)
            y = likelihood.sample(mean.expand(num, 3), noise.rows(1, num))
            rate = mean / likelihood.gain
            assert torch.equal(y / unit, (y / unit).round())
            assert ((y / unit).mean(0) - rate).abs().le(4.5 * (rate / num).sqrt()).all()
            fourth = (rate + 2 * rate**2) / num  # variance of a squared deviation over num
            assert (((y / unit - rate) ** 2).mean(0) - rate).abs().le(4.5 * fourth.sqrt()).all()

    def test_density_sums_to_one(self):
        for likelihood in [
            DeepinvPoisson(0.25),
            DeepinvPoisson(2.5),
            DeepinvPoisson(0.25, normalized=False),
        ]:
            unit, counts = (
                (likelihood.gain if likelihood.normalized else 1.0),
                torch.arange(200, dtype=torch.float64)[:, None],
            )
            nll = likelihood.nll(torch.full((200, 1), 3.0, dtype=torch.float64), counts * unit)
            assert float((-nll).exp().sum()) == pytest.approx(1, abs=1e-12)

    def test_curvature_is_the_mean_squared_score(self):
        for likelihood in [
            DeepinvPoisson(0.25),
            DeepinvPoisson(2.5),
            DeepinvPoisson(0.25, normalized=False),
        ]:
            unit, counts = (
                (likelihood.gain if likelihood.normalized else 1.0),
                torch.arange(400, dtype=torch.float64)[:, None],
            )
            mean = torch.full((400, 1), 3.0, dtype=torch.float64, requires_grad=True)
            nll = likelihood.nll(mean, counts * unit)
            (score,) = torch.autograd.grad(nll.sum(), mean)
            information = float(((-nll.detach()).exp() * score[:, 0] ** 2).sum())
            weight = likelihood.curvature(mean.detach(), counts * unit)
            assert float(weight[0]) == pytest.approx(information, rel=1e-10)
            assert (likelihood.curvature(torch.full((1, 1), -1.0), torch.zeros(1, 1)) == 0).all()

    def test_residuals_are_standardised(self):
        for likelihood in [
            DeepinvPoisson(0.25),
            DeepinvPoisson(2.5),
            DeepinvPoisson(0.25, normalized=False),
        ]:
            mean = torch.full((2000, 4), 2.0, dtype=torch.float64)
            y = likelihood.sample(mean, noise.rows(2, 2000))
            chi2, std = likelihood.residual_chi2(mean, y), likelihood.residual_chi2_std(mean)
            assert abs(float(chi2.mean()) - 1) < 4.5 * float(std[0]) / math.sqrt(2000)
            torch.testing.assert_close(
                (likelihood.residual(mean, y) ** 2).mean(1), chi2, rtol=1e-12, atol=0
            )

    def test_unobserved_entries_change_nothing(self):
        for likelihood in [
            DeepinvPoisson(0.25),
            DeepinvPoisson(2.5),
            DeepinvPoisson(0.25, normalized=False),
        ]:
            observed = torch.tensor([True, False, True])
            mean = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
            y = torch.tensor([[2.5, torch.nan, 0.0]], dtype=torch.float64)
            alone = likelihood.nll(mean[:, ::2], y[:, ::2])
            assert torch.equal(likelihood.nll(mean, y, observed), alone)
            likelihood.check_measurement(y, observed)
            with pytest.raises(ConfigError, match="wants counts"):
                likelihood.check_measurement(y)
            assert likelihood.sample(mean, noise.rows(0, 1), observed)[0, 1] == 0

    def test_keeps_the_type_and_survives_pickling(self):
        for likelihood in [
            DeepinvPoisson(0.25),
            DeepinvPoisson(2.5),
            DeepinvPoisson(0.25, normalized=False),
        ]:
            mean = torch.full((2, 3), 2.0)
            y = likelihood.sample(mean, noise.rows(0, 2))
            assert y.dtype == likelihood.curvature(mean, y).dtype == torch.float32
            assert likelihood.nll(mean, y).dtype == torch.float64
            assert pickle.loads(pickle.dumps(likelihood)) == likelihood
            assert isinstance(likelihood, nw.types.Likelihood)

    def test_the_largest_mass_is_that_of_the_counts(self):
        for likelihood in [
            DeepinvPoisson(0.25),
            DeepinvPoisson(2.5),
            DeepinvPoisson(0.25, normalized=False),
        ]:
            counts = torch.tensor([[0.0, 3.0, 17.0]])
            y = counts * (likelihood.gain if likelihood.normalized else 1.0)
            expected = Poisson(1 / likelihood.gain).sup_log_likelihood(counts)
            assert torch.equal(likelihood.sup_log_likelihood(y), expected)
            assert likelihood.counts != likelihood.normalized
            assert not likelihood.chi2_is_exact
            with pytest.raises(ConfigError, match="give sup_log_likelihood the y"):
                likelihood.sup_log_likelihood()
