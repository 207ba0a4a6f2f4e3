"""What an operator does to shapes, and which entries of y it measures.

An operator may have `observed` (bool, broadcastable to *y), when that is known without the image's
shape; `observed_for(shape)`, the same for x of a given shape; and `output_shape(shape)`, the shape
of y, which raises where x does not fit. A plain callable has none of the three: everything it
returns is observed.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import ConfigError


def observed_of(operator: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Tensor | None:
    """The observed entries of y = A(x).

    Arguments:
        operator: any operator.
        shape: of one x.

    Returns:
        Bool tensor, broadcastable to one y; None when every entry is observed.

    Raises:
        ConfigError: if x of this shape does not fit the operator, or its mask is not a bool tensor.
    """
    lookup = getattr(operator, "observed_for", None)
    observed = getattr(operator, "observed", None) if lookup is None else lookup(tuple(shape))
    if observed is not None and not (isinstance(observed, Tensor) and observed.dtype == torch.bool):
        raise ConfigError(
            "an operator's observed must be a bool tensor or None, got "
            f"{getattr(observed, 'dtype', type(observed).__name__)}"
        )
    return observed


def output_shape_of(
    operator: Callable[[Tensor], Tensor], shape: tuple[int, ...]
) -> tuple[int, ...]:
    """The shape of one y = A(x); an operator that cannot tell is applied to one image of zeros on
    the CPU.

    Arguments:
        operator: any operator.
        shape: of one x.

    Returns:
        Shape without the batch axis.

    Raises:
        ConfigError: if x of this shape does not fit the operator.
    """
    lookup = getattr(operator, "output_shape", None)
    if lookup is not None:
        return tuple(lookup(tuple(shape)))
    with torch.no_grad():
        return tuple(operator(torch.zeros(1, *shape)).shape[1:])
