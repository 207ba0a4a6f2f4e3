import numpy as np
import pytest
import torch

from noisewalk.errors import ConfigError
from noisewalk.operators import (
    HDR,
    AveragePool,
    BoxInpainting,
    CameraMotionBlur,
    GaussianBlur,
    RandomInpainting,
)
from noisewalk.operators.arrays import floating, image_shape, real_array, same_shape, sides


def test_numbers_of_numpy_and_of_torch_are_taken_where_plain_ones_are():
    for whole in (np.int64, np.uint8, torch.tensor):
        assert AveragePool(whole(4)) == AveragePool(4)
        assert type(AveragePool(whole(4)).factor) is int
        assert BoxInpainting(*map(whole, (1, 2, 3, 4))) == BoxInpainting(1, 2, 3, 4)
        shape = tuple(map(whole, (3, 8, 8)))
        assert RandomInpainting(0.5, shape, whole(3)) == RandomInpainting(0.5, (3, 8, 8), 3)
    for number in (np.float32, np.float64, torch.tensor):
        assert HDR(number(1.5)) == HDR(1.5)
        assert GaussianBlur(5, number(0.5)) == GaussianBlur(5, 0.5)
        assert CameraMotionBlur(number(2.5), [8, 8]) == CameraMotionBlur(2.5, (8, 8))


def test_what_is_no_image_is_named():
    assert image_shape("Thing", [3, 4, 5]) == (3, 4, 5)
    assert sides("Thing", (3, 4, 5)) == (4, 5)
    for shape in ((3,), (1, 3, 4, 5), 4, None):
        with pytest.raises(ConfigError, match=r"Thing's shape must be \(C, H, W\) or \(H, W\)"):
            image_shape("Thing", shape)
    with pytest.raises(ConfigError, match=r"every side of Thing's shape .* got 0"):
        image_shape("Thing", (3, 0))
    with pytest.raises(ConfigError, match=r"Thing needs images of shape .*, got \(3,\)"):
        sides("Thing", (3,))
    with pytest.raises(ConfigError, match=r"Thing was made for .*\(2, 2\), got \(2, 3\)"):
        same_shape("Thing", (2, 2), (2, 3))
    with pytest.raises(ConfigError, match=r"floating-point images .* got torch\.uint8"):
        floating("Thing", torch.zeros(2, dtype=torch.uint8))


def test_an_array_has_the_axes_that_are_asked_for():
    assert real_array("kernel", torch.ones(2, 2, dtype=torch.bfloat16), (2,)).dtype == np.float64
    for value in (np.ones(3), np.ones((0, 2)), np.ones((2, 2), complex), np.array([["a"]])):
        with pytest.raises(ConfigError, match=r"kernel must be a .*array of (real )?numbers"):
            real_array("kernel", value, (2, 3))
