"""A map into a latent space, and the decoder that leads out of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from .._repr import readable
from ..errors import ConfigError
from ..types import NoiseMap
from .generator import check_deterministic, shape_of, unwrapped


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Latent:
    """Phi(z) = decode(phi(z)): a generative model of latents, followed by their decoder.

    The decoder counts as part of phi's last network call: an evaluation costs `phi.nfe`.

    Arguments:
        phi: the map from noise to latents.
        decode: module or function, latents (B, *latent) -> x (B, *data_shape), deterministic and
            row by row; one of diffusers' may return its output object.
        data_shape: of one x.

    Raises:
        ConfigError: no such map, decoder or shape; active batch normalisation or dropout.

    Example:
        >>> phi = nw.maps.Latent(nw.maps.Warp((2,)), torch.nn.Linear(2, 5), data_shape=(5,))
        >>> phi(torch.zeros(3, 2)).shape, phi.shape
        (torch.Size([3, 5]), (2,))
    """

    phi: NoiseMap
    decode: Callable[[Tensor], Any]
    data_shape: tuple[int, ...]
    shape: tuple[int, ...] = field(init=False, repr=False)
    nfe: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.phi, NoiseMap):
            got = type(self.phi).__name__
            raise ConfigError(f"Latent needs a map with a shape, such as prior.map(), got {got}")
        if not callable(self.decode):
            raise ConfigError(f"Latent needs a module or function decode(x), got {self.decode!r}")
        check_deterministic("Latent", "decode", self.decode)
        data_shape = shape_of("Latent's data_shape", self.data_shape)
        vars(self).update(data_shape=data_shape, shape=tuple(self.phi.shape), nfe=self.phi.nfe)

    def __call__(self, z: Tensor) -> Tensor:
        """(B, *shape) -> (B, *data_shape); ConfigError if the decoder makes another shape."""
        x = unwrapped("Latent's decode", self.decode(self.phi(z)))
        if tuple(x.shape[1:]) != self.data_shape:
            found = tuple(x.shape[1:])
            raise ConfigError(f"Latent made x of shape {found}, declared is {self.data_shape}")
        return x
