"""One operator made of several."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from .._repr import readable
from ..errors import ConfigError
from .observed import observed_of, output_shape_of


@readable
@dataclass(frozen=True, repr=False)
class Compose:
    r"""Operators one after the other: $A(x) = A_n(\dots A_2(A_1(x)))$.

    What is observed is what the last step observes: zeros that an earlier mask leaves are data like
    any other.

    Arguments:
        steps: operators, the first one is applied first.

    Raises:
        ConfigError: if there is no step or one is not callable.
    """

    steps: Sequence[Callable[[Tensor], Tensor]]

    def __post_init__(self) -> None:
        if (
            not isinstance(self.steps, Sequence)
            or not self.steps
            or not all(callable(step) for step in self.steps)
        ):
            raise ConfigError(f"Compose needs a list of at least one operator, got {self.steps!r}")
        object.__setattr__(self, "steps", tuple(self.steps))

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *x) -> (B, *y)."""
        for step in self.steps:
            x = step(x)
        return x

    @property
    def observed(self) -> Tensor | None:
        """What the last step observes, where it knows that without the image's shape."""
        return getattr(self.steps[-1], "observed", None)

    def observed_for(self, shape: tuple[int, ...]) -> Tensor | None:
        """The observed entries of y for x of this shape."""
        *earlier, last = self.steps
        if hasattr(last, "observed_for"):
            for step in earlier:
                shape = output_shape_of(step, shape)
        return observed_of(last, shape)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y for x of this shape."""
        for step in self.steps:
            shape = output_shape_of(step, shape)
        return tuple(shape)
