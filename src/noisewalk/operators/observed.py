"""What an operator does to shapes, and which entries of y it measures.

An operator may have `observed` (bool, broadcastable to *y), where that is known without the image's
shape; `observed_for(shape)`, the same for x of a given shape; and `output_shape(shape)`, the shape
of y, which raises where x does not fit. A plain callable has none of the three: everything that it
returns is observed.
"""

from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError
from ..types import Operator


def observed_of(operator: Operator, shape: tuple[int, ...]) -> Tensor | None:
    """The observed entries of y = A(x).

    Arguments:
        operator: any operator.
        shape: of one x.

    Returns:
        Bool tensor, broadcastable to one y; None when every entry is observed.

    Raises:
        ConfigError: if x of this shape does not fit the operator, or its mask is not a bool tensor.

    Example:
        >>> import noisewalk as nw
        >>> box = nw.operators.BoxInpainting(top=0, left=0, height=1, width=1)
        >>> nw.operators.observed_of(box, (3, 1, 2))
        tensor([[False,  True]])
        >>> nw.operators.observed_of(lambda x: 2 * x, (3, 1, 2)) is None
        True
    """
    lookup = getattr(operator, "observed_for", None)
    found = observed_by(operator) if lookup is None else lookup(tuple(shape))
    if found is not None and not (isinstance(found, Tensor) and found.dtype == torch.bool):
        raise ConfigError(
            "an operator's observed must be a bool tensor or None, got "
            f"{getattr(found, 'dtype', type(found).__name__)}"
        )
    return found


def output_shape_of(operator: Operator, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one y = A(x); an operator that cannot tell is applied to one image of zeros on
    the CPU.

    Arguments:
        operator: any operator.
        shape: of one x.

    Returns:
        Shape without the batch axis.

    Raises:
        ConfigError: if x of this shape does not fit the operator.

    Example:
        >>> import noisewalk as nw
        >>> nw.operators.output_shape_of(nw.operators.AveragePool(4), (3, 32, 32))
        (3, 8, 8)
        >>> nw.operators.output_shape_of(lambda x: x[..., ::2], (3, 32, 32))
        (3, 32, 16)
    """
    lookup = getattr(operator, "output_shape", None)
    if lookup is not None:
        return tuple(lookup(tuple(shape)))
    with torch.no_grad():
        return tuple(operator(torch.zeros(1, *shape)).shape[1:])


def observed_by(operator: Operator) -> Any:
    """What an operator says to observe for images of any shape."""
    return getattr(operator, "observed", None)


def depends_on_shape(operator: Operator) -> bool:
    """Whether an operator says what it observes only for a given shape of the image."""
    return hasattr(operator, "observed_for")
