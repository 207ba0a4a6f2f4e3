"""Any trained generator as a map from noise to data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from .._checks import whole
from .._repr import readable
from ..errors import ConfigError

RANDOM = (_BatchNorm, _DropoutNd)


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Generator:
    r"""$\Phi(z) = G(z)$ in one network call, with z usually much smaller than x.

    Arguments:
        module: G of a GAN, flow or VAE, (B, *shape) -> (B, *data_shape), deterministic, row by row;
            one of diffusers' may return its output object.
        shape: of one z; the prior on it is N(0, I).
        data_shape: of one x.

    Raises:
        ConfigError: no such module or shape; active batch normalisation or dropout.

    Example:
        >>> phi = nw.maps.Generator(torch.nn.Linear(2, 5), shape=(2,), data_shape=(5,))
        >>> phi(torch.zeros(3, 2)).shape
        torch.Size([3, 5])
    """

    module: Callable[[Tensor], Any]
    shape: tuple[int, ...]
    data_shape: tuple[int, ...]
    nfe: int = 1

    def __post_init__(self) -> None:
        if not callable(self.module):
            raise ConfigError(f"Generator needs a module or function z -> x, got {self.module!r}")
        for name in ("shape", "data_shape"):
            vars(self)[name] = shape_of(f"Generator's {name}", getattr(self, name))
        check_deterministic("Generator", "module", self.module)

    def __call__(self, z: Tensor) -> Tensor:
        """(B, *shape) -> (B, *data_shape); ConfigError if the module makes another shape."""
        x = unwrapped("Generator's module", self.module(z))
        if tuple(x.shape[1:]) != self.data_shape:
            found = tuple(x.shape[1:])
            raise ConfigError(f"Generator made x of shape {found}, declared is {self.data_shape}")
        return x


def unwrapped(owner: str, out: Any) -> Tensor:
    """The tensor that a module made, out of diffusers' output object, whose tensor is `sample`;
    ConfigError where there is none."""
    made = out if isinstance(out, Tensor) else getattr(out, "sample", None)
    if not isinstance(made, Tensor):
        must = f"{owner} must return a tensor, or an object with one as .sample"
        raise ConfigError(f"{must}, got {type(out).__name__}")
    return made


def check_deterministic(owner: str, argument: str, module: Any) -> None:
    """ConfigError if a layer of the module mixes or drops rows, as in training."""
    layers = module.named_modules() if isinstance(module, nn.Module) else ()
    active = [
        name or "it" for name, layer in layers if layer.training and isinstance(layer, RANDOM)
    ]
    if active:
        raise ConfigError(
            f"{owner} needs a deterministic module, but {', '.join(active)} is in training mode: "
            f"call {argument}.eval() first"
        )


def shape_of(name: str, value: Any) -> tuple[int, ...]:
    """A shape as a tuple; ConfigError unless it is one, with a side or more."""
    if not isinstance(value, tuple | list) or not value:
        raise ConfigError(f"{name} must be a tuple of whole numbers such as (100,), got {value!r}")
    return tuple(whole(f"every side of {name}", side) for side in value)
