"""One operator made of several."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from .._repr import readable
from ..errors import ConfigError
from ..types import Operator
from .observed import observed_of, output_shape_of


@readable
@dataclass(frozen=True, repr=False)
class Compose:
    r"""Operators one after the other: $A(x) = A_n(\dots A_2(A_1(x)))$.

    Arguments:
        steps: operators, the first one is applied first; the last one says what is observed.

    Raises:
        ConfigError: if there is no step or one is not callable.

    Example:
        >>> operator = nw.operators.Compose([nw.operators.HDR(2.0), nw.operators.AveragePool(2)])
        >>> operator(torch.tensor([[[[0.9, 0.1], [0.1, -0.1]]]]))
        tensor([[[[0.3000]]]])
    """

    steps: Sequence[Operator]
    observed: Tensor | None = field(init=False, repr=False, compare=False)  # the last step's

    def __post_init__(self) -> None:
        known = isinstance(self.steps, Sequence) and all(callable(step) for step in self.steps)
        if not known or not self.steps:
            raise ConfigError(f"Compose needs a list of at least one operator, got {self.steps!r}")
        observed = getattr(self.steps[-1], "observed", None)
        vars(self).update(steps=tuple(self.steps), observed=observed)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *x) -> (B, *y)."""
        for step in self.steps:
            x = step(x)
        return x

    def observed_for(self, shape: tuple[int, ...]) -> Tensor | None:
        """The observed entries of y for x of this shape."""
        *earlier, last = self.steps
        if hasattr(last, "observed_for") and earlier:
            shape = Compose(earlier).output_shape(shape)
        return observed_of(last, shape)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y for x of this shape."""
        for step in self.steps:
            shape = output_shape_of(step, shape)
        return tuple(shape)
