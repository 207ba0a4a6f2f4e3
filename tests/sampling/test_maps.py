"""Statistics of the draws, pixel by pixel."""

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk.sampling.maps import expected_coverage, maps_of


def draws_of(length: int, chains: int = 3) -> torch.Tensor:
    return torch.randn(chains, length, 1, 2, 3, generator=torch.Generator().manual_seed(0))


def test_maps_are_those_of_the_diagnostics():
    x = draws_of(24)
    found = maps_of(x)
    np.testing.assert_allclose(found.r_hat, nw.diagnostics.r_hat(x).numpy())
    np.testing.assert_allclose(found.ess, nw.diagnostics.ess_bulk(x).numpy())
    wanted = np.quantile(x.numpy().reshape(72, 1, 2, 3), (0.05, 0.5, 0.95), axis=0)
    np.testing.assert_allclose(found.quantiles, wanted)


def test_chains_that_are_short_or_alone_have_no_r_hat():
    assert maps_of(draws_of(19)).r_hat is None
    assert maps_of(draws_of(24, chains=1)).ess is None


@pytest.mark.parametrize(("count", "bias"), [(21, 0.0), (12, 0.03)])
def test_the_interval_of_right_draws_holds_the_truth_as_often_as_is_said(count, bias):
    """With 21 draws both ends are draws; between two draws the share is about right."""
    x = np.random.default_rng(0).normal(size=(count + 1, 20_000))  # the last one is the truth
    low, high = np.quantile(x[:count], (0.05, 0.95), axis=0)
    share = np.mean((low <= x[count]) & (x[count] <= high))
    assert abs(share - expected_coverage(count)) < bias + 5 * 0.5 / np.sqrt(20_000)
