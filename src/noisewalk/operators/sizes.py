"""Which shape of x gives a measurement of a given shape."""

from typing import Any

from .._text import split
from .parser import parts_of, step_of

CHANGE = ("avgpool", "conv", "phase")
"""Steps whose y may have other sides than x; each has `input_shape`."""


def shape_before(text: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of x whose A(x), by an operator's text, has this shape; the largest one where
    several have. A step that does not fit is left to `parse`, which knows x."""
    for part in reversed(parts_of(text)):
        if split(part)[0] in CHANGE:
            step: Any = step_of(part, shape, 0, {})
            shape = step.input_shape(shape)
    return shape
