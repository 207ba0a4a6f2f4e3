"""What the operators ask of the images, shapes and arrays that they are given."""

from typing import Any

import numpy as np
from torch import Tensor

from .._checks import whole
from .._intake import plain
from ..errors import ConfigError


def image_shape(owner: str, shape: Any) -> tuple[int, ...]:
    """The shape of an image as a tuple; ConfigError unless it is (C, H, W) or (H, W)."""
    if not isinstance(shape, tuple | list) or len(shape) not in (2, 3):
        raise ConfigError(f"{owner}'s shape must be (C, H, W) or (H, W), got {shape!r}")
    return tuple(whole(f"every side of {owner}'s shape", side) for side in shape)


def sides(owner: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """(H, W); ConfigError unless the shape is an image's."""
    if len(shape) < 2:
        raise ConfigError(f"{owner} needs images of shape (C, H, W) or (H, W), got {tuple(shape)}")
    return shape[-2], shape[-1]


def same_shape(owner: str, made_for: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """ConfigError unless the image has the shape that an operator was made for."""
    if tuple(shape) != made_for:
        raise ConfigError(f"{owner} was made for images of shape {made_for}, got {tuple(shape)}")


def floating(owner: str, x: Tensor) -> None:
    """ConfigError unless x is of a floating-point type, which keeps the weights as they are."""
    if not x.is_floating_point():
        raise ConfigError(f"{owner} needs floating-point images in [-1, 1], got {x.dtype}")


def real_array(name: str, value: Any, ndims: tuple[int, ...]) -> np.ndarray:
    """A real, nonempty array or tensor as a numpy array; ConfigError for another number of axes."""
    given = plain(name, value).cpu()
    array = (given.double() if given.is_floating_point() else given).numpy()
    if array.ndim not in ndims or array.size == 0 or array.dtype.kind not in "biuf":
        allowed, got = " or ".join(f"{n}-D" for n in ndims), f"{array.dtype} of shape {array.shape}"
        raise ConfigError(f"{name} must be a {allowed} array of real numbers, got {got}")
    return array
