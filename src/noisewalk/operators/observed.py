"""What an operator does to shapes, and which entries of y it measures.

An operator may have `observed` (bool, broadcastable to *y); `observed_for(shape)`, the same for a
given shape of x; and `output_shape(shape)`, the shape of y, which raises where x does not fit.
"""

import torch
from torch import Tensor

from ..errors import ConfigError
from ..types import Operator


def observed_of(operator: Operator, shape: tuple[int, ...]) -> Tensor | None:
    """Which entries of y = A(x) are observed.

    Arguments:
        operator: any operator.
        shape: of one x.

    Returns:
        Bool tensor, broadcastable to one y; None when every entry is observed.

    Raises:
        ConfigError: if x of this shape does not fit, or the mask is not a bool tensor.

    Example:
        >>> nw.operators.observed_of(nw.operators.MaskInpainting([[0, 1]]), (3, 1, 2))
        tensor([[False,  True]])
    """
    lookup = getattr(operator, "observed_for", None)
    found = lookup(tuple(shape)) if lookup else getattr(operator, "observed", None)
    if found is not None and not (isinstance(found, Tensor) and found.dtype == torch.bool):
        got = getattr(found, "dtype", type(found).__name__)
        raise ConfigError(f"an operator's observed must be a bool tensor or None, got {got}")
    return found


def output_shape_of(operator: Operator, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one y = A(x).

    Arguments:
        operator: any operator; one that cannot tell is applied to zeros on the CPU.
        shape: of one x.

    Returns:
        Shape without the batch axis.

    Raises:
        ConfigError: if x of this shape does not fit the operator.

    Example:
        >>> nw.operators.output_shape_of(lambda x: x[..., ::2], (3, 32, 32))
        (3, 32, 16)
    """
    lookup = getattr(operator, "output_shape", None)
    if lookup is not None:
        return tuple(lookup(tuple(shape)))
    with torch.no_grad():
        return tuple(operator(torch.zeros(1, *shape)).shape[1:])
