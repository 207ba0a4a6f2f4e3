"""The rows of a measurement: what is not observed is 0, whatever it holds."""

import math

import pytest
import torch

from noisewalk import noise
from noisewalk.errors import ConfigError
from noisewalk.likelihoods import Gaussian
from noisewalk.likelihoods.rows import count_of, difference, hide, mask_of, normals, uniforms
from noisewalk.noise import rows

MEAN = torch.tensor([[1.0, 2.0, 3.0], [4.0, math.nan, 6.0]])
Y = torch.tensor([[2.0, 2.0, math.nan], [0.0, 1.0, 7.0]])
SEEN = torch.tensor([[True, True, False], [True, False, True]])


def test_the_difference_is_of_float64_and_zero_where_unobserved() -> None:
    residual, mask = difference(MEAN, Y, SEEN)
    assert residual.dtype == torch.float64
    assert residual.tolist() == [[1.0, 0.0, 0.0], [-4.0, 0.0, 1.0]]
    assert torch.equal(mask, SEEN)
    assert count_of(mask).tolist() == [2.0, 2.0]
    assert hide(5.0, MEAN, SEEN).tolist() == [[5.0, 5.0, 0.0], [5.0, 0.0, 5.0]]


def test_a_mask_is_of_bools_and_broadcasts() -> None:
    assert mask_of(None, MEAN).all()
    assert mask_of(SEEN[0], MEAN).tolist() == [[True, True, False]] * 2
    with pytest.raises(ConfigError, match="bool tensor"):
        mask_of(SEEN.int(), MEAN)
    with pytest.raises(ConfigError, match="does not broadcast"):
        mask_of(SEEN[:, :2], MEAN)
    with pytest.raises(ConfigError, match="same shape"):
        difference(MEAN, Y[:1], None)


def test_noise_has_a_row_for_each_of_the_means() -> None:
    rows = noise.rows(3, 2)
    assert torch.equal(normals(MEAN, rows, (4,)), rows.normal((4,), noise.SIMULATE, torch.float64))
    assert uniforms(MEAN, rows, 2).shape == (2, 2, 3)
    for wrong in (lambda n: normals(MEAN, n, (4,)), lambda n: uniforms(MEAN, n)):
        with pytest.raises(ConfigError, match="got 3 and 2"):
            wrong(noise.rows(3, 3))


@pytest.mark.parametrize("kind", [torch.int64, torch.bool])
def test_noise_on_whole_numbers_is_no_whole_number(kind: torch.dtype) -> None:
    mean = torch.ones(200, 3).to(kind)
    y = Gaussian(0.3).sample(mean, rows(0, 200))
    assert y.dtype == torch.get_default_dtype()
    assert abs(float(y.mean()) - 1) < 5 * 0.3 / 600**0.5
