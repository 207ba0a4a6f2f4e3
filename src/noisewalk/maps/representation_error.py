"""A map with an error of its own: what the network cannot express, it leaves to noise."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._checks import real
from .._repr import readable
from ..errors import ConfigError
from ..types import NoiseMap


@readable
@dataclass(frozen=True, eq=False, repr=False)
class RepresentationError:
    r"""$\Phi(z, e) = \phi(z) + s\, e$, where $e \sim N(0, I)$ is part of the latent.

    A measurement that is more precise than the network's images can be forces draws into the wrong
    place. Under this map the images are only right up to s, which is what they are. A draw's x
    holds s e; `phi(z)` alone is the network's part.

    Arguments:
        phi: the network's map, which says its `data_shape` where x has another shape than z.
        std: s on the scale of x, positive.

    Raises:
        ConfigError: no such map, or an s that is not positive.

    Example:
        >>> phi = nw.maps.RepresentationError(nw.maps.Warp((1, 8, 8)), std=0.06)
        >>> phi.shape, phi(torch.zeros(3, 2, 8, 8)).shape  # e below z, on axis 0
        ((2, 8, 8), torch.Size([3, 1, 8, 8]))
    """

    phi: NoiseMap
    std: float
    shape: tuple[int, ...] = field(init=False, repr=False)
    """Of z and e: stacked on axis 0 where z and x have one shape, else flat, z first."""
    data_shape: tuple[int, ...] = field(init=False, repr=False)
    nfe: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.phi, NoiseMap):
            got = type(self.phi).__name__
            raise ConfigError(f"RepresentationError needs a map, such as prior.map(), got {got}")
        shape = tuple(self.phi.shape)
        data_shape = tuple(getattr(self.phi, "data_shape", shape))
        alike = shape == data_shape
        both = (2 * shape[0], *shape[1:]) if alike else (math.prod(shape) + math.prod(data_shape),)
        std = real("RepresentationError's std", self.std, above=0)
        vars(self).update(std=std, shape=both, data_shape=data_shape, nfe=self.phi.nfe)

    def __call__(self, z: Tensor) -> Tensor:
        """(B, *shape) -> (B, *data_shape)."""
        own, e = self.parts(z)
        return self.phi(own) + self.std * e

    def parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The network's z, (B, *phi.shape), and e, (B, *data_shape)."""
        shape = tuple(self.phi.shape)
        size = shape[0] if shape == self.data_shape else math.prod(shape)
        own, e = torch.split(z, [size, z.shape[1] - size], 1)
        return own.reshape(-1, *shape), e.reshape(-1, *self.data_shape)
