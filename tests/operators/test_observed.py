from dataclasses import dataclass

import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.operators import AveragePool, observed_of, output_shape_of


@dataclass
class Masked:
    observed: object

    def __call__(self, x):
        return x


@dataclass
class Framed(Masked):
    """Observes what depends on the image's shape."""

    def observed_for(self, shape):
        return torch.ones(shape, dtype=torch.bool)

    def output_shape(self, shape):
        return [*shape, 2]


def test_any_callable_is_asked_and_what_is_not_a_bool_tensor_is_refused():
    mask = torch.eye(3, dtype=torch.bool)
    assert observed_of(torch.sin, (3, 3)) is None
    assert observed_of(Masked(None), (3, 3)) is None
    assert observed_of(Masked(mask), (3, 3)) is mask
    for wrong in (mask.float(), [True]):
        with pytest.raises(ConfigError, match="bool tensor or None"):
            observed_of(Masked(wrong), (3, 3))


def test_what_is_observed_for_a_shape_comes_first():
    assert observed_of(Framed(None), (2, 3)).shape == (2, 3)


def test_the_shape_of_y_is_told_or_found_by_one_call():
    assert output_shape_of(Framed(None), (2, 3)) == (2, 3, 2)
    assert output_shape_of(lambda x: x[..., 1:], (1, 4, 4)) == (1, 4, 3)
    with pytest.raises(ConfigError, match="must divide"):
        output_shape_of(AveragePool(3), (1, 4, 4))
