import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.operators import (
    HDR,
    AveragePool,
    BoxInpainting,
    Compose,
    RandomInpainting,
    observed_of,
)


def test_the_first_step_is_applied_first():
    x = torch.full((1, 1, 4, 4), 0.8)
    x[..., ::2] = -0.2
    assert torch.equal(Compose([HDR(), AveragePool(2)])(x), AveragePool(2)(HDR()(x)))
    assert not torch.equal(Compose([HDR(), AveragePool(2)])(x), HDR()(AveragePool(2)(x)))


def test_observed_is_the_last_steps_at_the_shape_that_reaches_it():
    box = Compose([AveragePool(2), BoxInpainting(0, 0, 1, 2)])
    assert torch.equal(
        observed_of(box, (3, 8, 6)), BoxInpainting(0, 0, 1, 2).observed_for((3, 4, 3))
    )
    mask = RandomInpainting(0.5, (1, 4, 3))
    assert torch.equal(Compose([AveragePool(2), mask]).observed, mask.observed)


def test_an_earlier_mask_leaves_data():
    operator = Compose([RandomInpainting(0.5, (1, 4, 4)), HDR()])
    assert operator.observed is None
    assert observed_of(operator, (1, 4, 4)) is None


def test_shapes_pass_through_plain_callables():
    operator = Compose([lambda x: x[..., ::2], BoxInpainting(0, 0, 2, 2)])
    assert operator.output_shape((1, 6, 8)) == (1, 6, 4)
    assert observed_of(operator, (1, 6, 8)).shape == (6, 4)


def test_a_plain_last_step_is_not_called_to_learn_what_is_observed():
    def refuse(x):
        raise AssertionError("called")

    assert observed_of(Compose([refuse, refuse]), (1, 4, 4)) is None


def test_a_shape_that_a_later_step_refuses_is_named():
    with pytest.raises(ConfigError, match=r"factor 3 must divide.*4 x 4"):
        Compose([AveragePool(2), AveragePool(3)]).output_shape((1, 8, 8))


def test_only_a_list_of_operators_is_taken():
    for steps in [[], (), None, "hdr", [HDR(), 3], HDR()]:
        with pytest.raises(ConfigError, match="list of at least one operator"):
            Compose(steps)
