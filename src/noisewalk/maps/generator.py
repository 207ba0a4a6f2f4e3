r"""Any trained generator as a map from noise to data: $\Phi(z) = G(z)$, z usually much smaller than
x (GANs, normalising flows, VAE decoders)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from .._repr import readable
from ..errors import ConfigError

BATCH_DEPENDENT = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
)


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Generator:
    """Phi(z) = module(z), one network call.

    Arguments:
        module: (B, *shape) -> (B, *data_shape), deterministic and row by row; batch normalisation
            and dropout in evaluation mode.
        shape: of one z; the prior on it is N(0, I).
        data_shape: of one x.
    """

    module: Callable[[Tensor], Tensor]
    shape: tuple[int, ...]
    data_shape: tuple[int, ...]
    nfe: int = 1

    def __post_init__(self) -> None:
        if not callable(self.module):
            raise ConfigError(f"Generator needs a module or function z -> x, got {self.module!r}")
        for name in ("shape", "data_shape"):
            object.__setattr__(self, name, _sides(name, getattr(self, name)))
        if isinstance(self.module, nn.Module):
            active = [
                name or "it"
                for name, layer in self.module.named_modules()
                if layer.training and isinstance(layer, BATCH_DEPENDENT)
            ]
            if active:
                raise ConfigError(
                    f"Generator needs a deterministic module, but {', '.join(active)} is in "
                    "training mode: call module.eval() first"
                )

    def __call__(self, z: Tensor) -> Tensor:
        """Map.

        Arguments:
            z: (B, *shape).

        Returns:
            (B, *data_shape).

        Raises:
            ConfigError: the module returns another shape than it was declared with.
        """
        x = self.module(z)
        if tuple(x.shape[1:]) != self.data_shape:
            raise ConfigError(
                f"Generator's module made x of shape {tuple(x.shape[1:])} from z of shape "
                f"{tuple(z.shape[1:])}, declared is {self.data_shape}"
            )
        return x


def _sides(name: str, value: tuple[int, ...]) -> tuple[int, ...]:
    sides = tuple(value) if isinstance(value, tuple | list) else ()
    if not sides or any(
        isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in sides
    ):
        raise ConfigError(
            f"Generator's {name} must be a tuple of positive whole numbers such as (100,) or "
            f"(3, 64, 64), got {value!r}"
        )
    return sides
