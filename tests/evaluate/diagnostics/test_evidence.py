"""The condition number and its bound: Theorem 4.1 and Corollary 4.3 on discrete priors, where both
sides are computed exactly, and the paper's two examples."""

import math

import pytest
import torch
from torch import Tensor

from noisewalk.errors import ConfigError
from noisewalk.evaluate.diagnostics import informative_epsilon, log_kappa, tv_bound


def tv(p: Tensor, q: Tensor) -> float:
    return 0.5 * float((p - q).abs().sum())


def posterior(prior: Tensor, likelihood: Tensor) -> Tensor:
    return prior * likelihood / (prior * likelihood).sum()


def test_theorem_4_1_and_its_corollary_hold_on_discrete_priors() -> None:
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        data, model, sampler = (
            torch.rand(12, generator=generator, dtype=torch.float64).pow(4) for _ in range(3)
        )
        data, sampler = data / data.sum(), sampler / sampler.sum()
        model = 0.97 * data + 0.03 * model / model.sum()
        likelihood = torch.exp(-3 * torch.randn(12, generator=generator, dtype=torch.float64).abs())
        kappa = log_kappa((data * likelihood).sum().log(), likelihood.max().log())
        epsilon, of_model = tv(data, model), posterior(model, likelihood)
        sampled = 0.99 * of_model + 0.01 * sampler
        bound = float(tv_bound(kappa, epsilon, tv(of_model, sampled)))
        assert float(kappa) >= 0
        assert tv(posterior(data, likelihood), of_model) <= float(tv_bound(kappa, epsilon)) + 1e-12
        assert tv(posterior(data, likelihood), sampled) <= bound + 1e-12


def test_example_4_1_a_cohort_that_the_prior_knows_is_well_conditioned() -> None:
    prior = torch.full((100,), 0.01, dtype=torch.float64)
    likelihood = torch.where(torch.arange(100) < 30, 0.5, 1e-6).double()
    likelihood[0] = 1.0
    kappa = float(log_kappa((prior * likelihood).sum().log(), 0.0).exp())
    assert kappa <= (1 / 0.3) * (1.0 / 0.5)  # (1 / alpha) (c_1 / c_0)


def test_example_4_2_a_peak_on_the_priors_tail_is_ill_conditioned() -> None:
    prior = torch.full((100,), 1.0, dtype=torch.float64)
    prior[0] = 1e-8
    prior, likelihood = prior / prior.sum(), torch.full((100,), 1e-12, dtype=torch.float64)
    likelihood[0] = 1.0
    log = log_kappa((prior * likelihood).sum().log(), 0.0)
    assert float(log) > math.log(1e9)
    assert float(tv_bound(log, 1e-3)) == 1.0


def test_large_logs_do_not_overflow_and_the_informative_epsilon_is_where_the_bound_is_one() -> None:
    log = log_kappa(torch.tensor([-900.0, -3.0]), 100.0)
    assert torch.equal(tv_bound(log, 0.01, 0.2)[:1], torch.ones(1, dtype=torch.float64))
    small = torch.tensor(2.0)
    edge = float(informative_epsilon(small, 0.1))
    assert float(tv_bound(small, edge * 0.999, 0.1)) < 1
    assert float(tv_bound(small, edge * 1.001, 0.1)) == 1
    assert float(tv_bound(small, 0.0, 0.25)) == 0.25


def test_bad_values_are_refused() -> None:
    with pytest.raises(ConfigError):
        log_kappa(float("nan"), 0.0)
    for epsilon, epsilon_s in ((-0.1, 0.0), (0.1, 1.5)):
        with pytest.raises(ConfigError):
            tv_bound(1.0, epsilon, epsilon_s)


def test_a_wrong_sign_of_the_likelihood_is_refused() -> None:
    assert float(log_kappa(-50.0, -50.5)) == -0.5  # the error of an evidence
    with pytest.raises(ConfigError, match="is sup_log_likelihood -nll"):
        log_kappa(torch.tensor([-50.0, -60.0]), torch.tensor([-40.0, -132.9]))


def test_kappa_is_taken_as_one_where_its_estimate_is_below() -> None:
    assert float(tv_bound(-0.5, 0.1)) == float(tv_bound(0.0, 0.1)) == pytest.approx(0.2)
    assert float(informative_epsilon(-0.5)) == 0.5
    assert float(informative_epsilon(0.0, 1.0)) == 0.0
    with pytest.raises(ConfigError, match="epsilon_s"):
        informative_epsilon(0.0, 1.5)
