"""The nearest training images, against the definition."""

import math

import pytest
import torch
from torch import Tensor

from noisewalk.errors import ConfigError
from noisewalk.priors.train.nearest import compare_nearest, nearest


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_nearest_row_is_the_one_of_all_distances() -> None:
    for part, batch_size in [(50, 256), (7, 3), (1, 1)]:
        x, pool = normal(11, 6), normal(50, 6, seed=1)
        distance, index = nearest(x, pool.split(part), batch_size)
        expected = torch.linalg.vector_norm(x[:, None].double() - pool[None].double(), dim=-1)
        assert torch.equal(index, expected.argmin(1))
        torch.testing.assert_close(distance, expected.amin(1))


def test_a_copy_is_at_distance_zero_however_long_the_rows_are() -> None:
    pool = (
        normal(40, 3000) + 10.0
    )  # a difference of large squares would leave rounding errors of about one
    x = pool[[3, 31]].clone()
    x[1, 0] += 0.01
    distance, index = nearest(x, pool.split(16))
    assert index.tolist() == [3, 31]
    assert float(distance[0]) == 0.0
    assert float(distance[1]) == pytest.approx(0.01, rel=1e-3)


def test_a_pool_that_does_not_fit_is_told() -> None:
    for x, pool in [
        (normal(3, 4), [normal(5, 6)]),
        (normal(3, 4), []),
        (normal(3, 2, 2), [normal(5, 4)]),
    ]:
        with pytest.raises(ConfigError, match="nearest needs"):
            nearest(x, pool)


def test_the_comparison_tells_copies_from_new_samples() -> None:
    held_out = 1.0 + torch.arange(1000) / 1000
    alike = compare_nearest(held_out + 0.0005, held_out)
    assert alike["share_below"] <= 0.01
    assert alike["mean"] == pytest.approx(alike["held_out_mean"] + 0.0005)
    assert alike["held_out_se"] == pytest.approx(float(held_out.double().std()) / math.sqrt(1000))
    assert alike["held_out_q01"] == pytest.approx(float(held_out.double().quantile(0.01)))
    assert alike["median"] == pytest.approx(1.4995, abs=1e-3)
    half = torch.cat([torch.zeros(500), held_out[500:]])
    assert compare_nearest(half, held_out)["share_below"] == 0.5
