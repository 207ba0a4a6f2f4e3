"""Checks that the operators' constructors share; each message names the operator and the argument."""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import ConfigError


def whole_number(owner: str, name: str, value: Any, lowest: int) -> int:
    """The value as an int; ConfigError unless it is a whole number of at least `lowest`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < lowest:
        raise ConfigError(
            f"{owner}'s {name} must be a whole number of at least {lowest}, got {value!r}"
        )
    return int(value)


def positive(owner: str, name: str, value: Any, highest: float, hint: str = "") -> float:
    """The value as a float; ConfigError unless it is finite, above 0 and at most `highest`."""
    if (
        not isinstance(value, Real)
        or isinstance(value, bool)
        or not 0 < float(value) <= highest
        or math.isinf(value)
    ):
        most = "finite" if math.isinf(highest) else f"at most {highest}"
        raise ConfigError(
            f"{owner}'s {name} must be a number above 0 and {most}{hint}, got {value!r}"
        )
    return float(value)


def sides(owner: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """(H, W); ConfigError unless the shape is an image's."""
    if len(shape) < 2:
        raise ConfigError(f"{owner} needs images of shape (C, H, W) or (H, W), got {tuple(shape)}")
    return shape[-2], shape[-1]


def floating(owner: str, x: Tensor) -> None:
    """ConfigError unless x is of a floating-point type: weights rounded to whole numbers would be
    another operator."""
    if not x.is_floating_point():
        raise ConfigError(f"{owner} needs floating-point images in [-1, 1], got {x.dtype}")


def real_array(owner: str, name: str, value: Any, ndims: tuple[int, ...]) -> np.ndarray:
    """An array or tensor as a numpy array; ConfigError unless it is real, not empty, and has one of
    these numbers of axes."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.double() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    if array.ndim not in ndims or array.size == 0 or array.dtype.kind not in "biuf":
        allowed = " or ".join(f"{n}-D" for n in ndims)
        raise ConfigError(
            f"{owner}'s {name} must be a {allowed} array of real numbers, got {array.dtype} of "
            f"shape {array.shape}"
        )
    return array
