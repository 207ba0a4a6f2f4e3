"""Frechet and kernel distance: closed forms, naive sums, honest errors."""

import math

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.evaluate.metrics import frechet, kid


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_moments(mean, root, n, seed):
    """Rows whose mean and covariance (n - 1) are exactly `mean` and root^T root."""
    x = normal(n, len(mean), seed=seed)
    x = x - x.mean(0)
    x = torch.linalg.qr(x).Q * math.sqrt(n - 1)
    return x @ root + mean


def gaussian_distance(mean_a, cov_a, mean_b, cov_b):
    """From the eigenvalues of the (not symmetric) product of covariances."""
    roots = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0).sqrt()
    return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * roots.sum())


def test_frechet_is_the_distance_of_the_gaussians_with_the_same_moments():
    mean_a, mean_b, root_a, root_b = (
        normal(5, seed=1),
        normal(5, seed=2),
        normal(5, 5, seed=3),
        normal(5, 5, seed=4),
    )
    got = frechet(
        with_moments(mean_a, root_a, 40, seed=5), with_moments(mean_b, root_b, 30, seed=6)
    )
    assert got == pytest.approx(
        gaussian_distance(mean_a, root_a.T @ root_a, mean_b, root_b.T @ root_b), rel=1e-9
    )


def test_frechet_of_samples_approaches_its_closed_form():
    n, d, shift, scale = 20_000, 3, 1.5, 2.0
    a, b = normal(n, d, seed=1), scale * normal(n, d, seed=2) + shift
    expected = d * (shift**2 + (scale - 1) ** 2)
    total = 1 + scale**2  # summed variances of the two sets, per feature
    error = math.sqrt(
        d * (4 * shift**2 * total / n + 4 * (scale - 1) ** 2 * total / (2 * n))
    )  # delta method
    bias = (
        d * (d + 1) * total / n
    )  # second order: d means and d (d + 1) / 2 covariances, each of variance below 2 total / n
    assert abs(frechet(a, b) - expected) < 5 * error + bias


def test_frechet_of_a_set_with_itself_is_zero_even_when_rank_deficient():
    for n in (10, 60):
        a = normal(n, 30) * torch.logspace(0, -3, 30) + 100
        assert frechet(a, a) == pytest.approx(0, abs=1e-9)
        assert frechet(a, a.flip(0)) == pytest.approx(0, abs=1e-9)


def test_frechet_is_symmetric_and_blind_to_rotations_and_shifts():
    rotation = torch.linalg.qr(normal(10, 10, seed=3)).Q
    for n, m in ((40, 60), (7, 5)):
        a, b = normal(n, 10, seed=1), 2 * normal(m, 10, seed=2) + 1
        value = frechet(a, b)
        assert frechet(b, a) == pytest.approx(value, rel=1e-10)
        assert frechet(a @ rotation + 3, b @ rotation + 3) == pytest.approx(value, rel=1e-10)
        assert frechet(3 * a, 3 * b) == pytest.approx(9 * value, rel=1e-10)


def naive_mmd2(a, b):
    def k(x, y):
        return (float(x @ y) / len(x) + 1) ** 3

    m, n = len(a), len(b)
    within_a = sum(k(a[i], a[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    within_b = sum(k(b[i], b[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return within_a + within_b - 2 * sum(k(x, y) for x in a for y in b) / (m * n)


def test_kid_is_the_mean_of_naive_double_sums_over_disjoint_blocks():
    from noisewalk.noise import PROBE, rows

    a, b = normal(9, 4, seed=1), normal(13, 4, seed=2) + 0.5
    noise = rows(3, 2).uniform((13,), PROBE)
    order_a, order_b = noise[0, :9].argsort(), noise[1].argsort()
    blocks = torch.tensor(
        [
            naive_mmd2(a[order_a[3 * i : 3 * i + 3]], b[order_b[4 * i : 4 * i + 4]])
            for i in range(3)
        ],
        dtype=torch.float64,
    )
    value, error = kid(a, b, num_subsets=3, seed=3)
    assert value == pytest.approx(float(blocks.mean()), rel=1e-10)
    assert error == pytest.approx(float(blocks.std()) / math.sqrt(3), rel=1e-10)


def test_kid_of_one_distribution_is_zero_within_an_honest_error():
    num_sets, num_subsets = 300, 10
    results = torch.tensor(
        [
            kid(normal(40, 5, seed=2 * i), normal(40, 5, seed=2 * i + 1), num_subsets)
            for i in range(num_sets)
        ]
    )
    value, error = results.T
    # Unbiased: the mean over independent pairs of sets. Honest: the mean of error^2 is the variance
    # of the values.
    assert abs(float(value.mean())) < 5 * float(value.std()) / math.sqrt(num_sets)
    gap = value.square() - error.square()
    assert abs(float(gap.mean())) < 5 * float(gap.std()) / math.sqrt(num_sets)
    # Half and twice the claimed variance would be seen: the check above is not empty.
    assert 5 * float(gap.std()) / math.sqrt(num_sets) < float(value.square().mean()) / 1.5


def test_kid_tells_distributions_apart():
    value, error = kid(normal(200, 5, seed=1), normal(200, 5, seed=2) + 1)
    assert value > 5 * error > 0


def test_kid_depends_on_its_seed_alone():
    state = torch.get_rng_state()
    a, b = normal(60, 5, seed=1), normal(60, 5, seed=2)
    assert kid(a, b) == kid(a.clone(), b.clone())
    assert kid(a, b) != kid(a, b, seed=1)
    assert kid(a, b, num_subsets=5, subset_size=4) != kid(a, b, num_subsets=5)
    assert torch.equal(torch.get_rng_state(), state)


def test_features_that_do_not_fit_are_refused():
    a = normal(40, 5)
    for distance in (frechet, kid):
        for bad in (a[:, :4], a[:1], a[0]):
            with pytest.raises(ConfigError, match="at least 2 rows"):
                distance(a, bad)
        with pytest.raises(ConfigError, match="finite"):
            distance(a, torch.full_like(a, math.nan))


def test_blocks_that_do_not_fit_are_refused():
    for num_subsets, size, says in (
        (1, None, "num_subsets must be"),
        (0, None, "num_subsets must be"),
        (10, 1, "subset_size must be"),
        (21, None, r"21 blocks \(num_subsets\) of at least 2 rows, got 40 and 40"),
        (4, 11, r"4 blocks \(num_subsets\) of at least 11 rows"),
    ):
        with pytest.raises(ConfigError, match=says):
            kid(normal(40, 5), normal(40, 5), num_subsets, size)
