"""A map with an error of its own: what the network cannot express, it leaves to noise."""

import math
from dataclasses import dataclass, field
from typing import Any

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

    With a list of numbers s, e is filtered: s_b is the std of the frequencies in band b. The bands
    divide the radius |k|, from 0 to half a cycle a pixel, evenly; what lies beyond is in the last.

    A measurement that is more precise than the network's images can be forces draws into the wrong
    place. Under this map the images are only right up to s, which is what they are. A draw's x
    holds s e; `phi(z)` alone is the network's part.

    Arguments:
        phi: the network's map, which says its `data_shape` where x has another shape than z.
        std: s on the scale of x, positive, or one for each band of an image's frequencies.

    Raises:
        ConfigError: no such map, or an s that is not positive.

    Example:
        >>> phi = nw.maps.RepresentationError(nw.maps.Warp((1, 8, 8)), std=0.06)
        >>> phi.shape, phi(torch.zeros(3, 2, 8, 8)).shape  # e below z, on axis 0
        ((2, 8, 8), torch.Size([3, 1, 8, 8]))
    """

    phi: NoiseMap
    std: float | tuple[float, ...]
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
        std = checked_std("RepresentationError's std", self.std)
        if isinstance(std, tuple) and len(data_shape) != 3:
            need = "RepresentationError's std by band needs images (C, H, W)"
            raise ConfigError(f"{need}, got x of shape {data_shape}: give one number")
        vars(self).update(std=std, shape=both, data_shape=data_shape, nfe=self.phi.nfe)

    def __call__(self, z: Tensor) -> Tensor:
        """(B, *shape) -> (B, *data_shape)."""
        own, e = self.parts(z)
        x = self.phi(own.clone())  # a network may work in place
        return x + (self.std * e if isinstance(self.std, float) else filtered(e, self.std))

    def parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The network's z, (B, *phi.shape), and e, (B, *data_shape)."""
        shape = tuple(self.phi.shape)
        size = shape[0] if shape == self.data_shape else math.prod(shape)
        own, e = torch.split(z, [size, z.shape[1] - size], 1)
        return own.reshape(-1, *shape), e.reshape(-1, *self.data_shape)


def checked_std(name: str, value: Any) -> float | tuple[float, ...]:
    """One positive number, or those of two bands or more."""
    if not isinstance(value, tuple | list):
        return real(name, value, above=0)
    if len(value) < 2:
        raise ConfigError(f"{name} must be one number, or those of two bands or more, got {value}")
    return tuple(real(f"{name} of every band", one, above=0) for one in value)


def bands_of(sides: tuple[int, int], count: int) -> Tensor:
    """(H, W // 2 + 1) the band of every frequency of a real image."""
    rows, columns = torch.fft.fftfreq(sides[0]), torch.fft.rfftfreq(sides[1])
    radius = torch.hypot(rows[:, None], columns[None])
    return (radius * 2 * count).long().clamp(max=count - 1)


def filtered(e: Tensor, std: tuple[float, ...]) -> Tensor:
    """e (B, C, H, W), each of whose frequencies is multiplied by its band's std."""
    height, width = e.shape[-2:]
    gain = torch.tensor(std, dtype=e.dtype)[bands_of((height, width), len(std))].to(e.device)
    return torch.fft.irfft2(torch.fft.rfft2(e) * gain, s=(height, width))
