"""Masks: linear operators that keep the shape of the image and put 0 where nothing is observed,
whatever stood there (NaN too).

`observed` is True where a pixel is measured.
"""

import math
from abc import ABC
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .._repr import readable
from ..errors import ConfigError
from ..noise import MASK, rows
from .arrays import positive, real_array, sides, whole_number


def _keep(x: Tensor, observed: Tensor) -> Tensor:
    return torch.where(observed.to(x.device), x, x.new_zeros(()))


class _Drawn(ABC):
    """A mask that a seed draws for images of one shape."""

    shape: tuple[int, ...]
    seed: int
    observed: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, *shape), 0 where unobserved."""
        self.output_shape(x.shape[1:])
        return _keep(x, self.observed)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y, that of x; ConfigError if it is not the mask's."""
        if tuple(shape) != self.shape:
            raise ConfigError(
                f"{type(self).__name__} was made for images of shape {self.shape}, got "
                f"{tuple(shape)}: make it with this shape"
            )
        return self.shape

    def observed_for(self, shape: tuple[int, ...]) -> Tensor:
        """(H, W) bool; ConfigError if x of this shape does not fit."""
        self.output_shape(shape)
        return self.observed

    def _check_shape_and_seed(self) -> None:
        name = type(self).__name__
        if not isinstance(self.shape, tuple | list) or len(self.shape) not in (2, 3):
            raise ConfigError(f"{name}'s shape must be (C, H, W) or (H, W), got {self.shape!r}")
        object.__setattr__(
            self, "shape", tuple(whole_number(name, "shape", side, 1) for side in self.shape)
        )
        object.__setattr__(self, "seed", whole_number(name, "seed", self.seed, 0))


@dataclass(frozen=True)
class RandomInpainting(_Drawn):
    """A share of the pixels, chosen at random; the same ones in every channel.

    The mask depends on seed, H and W alone, and a larger share keeps every pixel that a smaller one
    keeps.

    Arguments:
        keep: share of pixels that are kept, above 0 and at most 1; exactly round(keep H W) are.
        shape: of one x, (C, H, W) or (H, W).
        seed: of the mask, 0 to 2^56 - 1.

    Raises:
        ConfigError: if a value is outside these ranges, or no pixel is kept.
    """

    keep: float
    shape: tuple[int, ...]
    seed: int = 0
    observed: Tensor = field(init=False, repr=False, compare=False)
    """(H, W) bool, True where kept."""

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "keep", positive("RandomInpainting", "keep", self.keep, 1, " (20 % is 0.2)")
        )
        self._check_shape_and_seed()
        pixels = math.prod(self.shape[-2:])
        count = round(self.keep * pixels)
        if count == 0:
            raise ConfigError(
                f"RandomInpainting's keep {self.keep} keeps none of {pixels} pixels: use a "
                "larger share"
            )
        order = torch.argsort(rows(self.seed, 1).uniform((pixels,), MASK)[0], stable=True)
        observed = torch.zeros(pixels, dtype=torch.bool).index_fill_(0, order[:count], True)
        object.__setattr__(self, "observed", observed.reshape(self.shape[-2:]))


@dataclass(frozen=True)
class CloudInpainting(_Drawn):
    """Free-form gaps in the shape of clouds, the same ones in every channel: hidden is where
    `smooth_field` is largest.

    The gaps depend on length, seed, H and W alone, and a larger share hides every pixel that a
    smaller one hides.

    Arguments:
        share: of the pixels that are hidden, above 0 and below 1; exactly round(share H W) are, at
            least one and not all.
        shape: of one x, (C, H, W) or (H, W).
        length: over which the clouds vary, pixels; beyond the image's side they grow no more, and
            ten sides are the most.
        seed: of the field, 0 to 2^56 - 1.

    Raises:
        ConfigError: if a value is outside these ranges, or all or none of the pixels would be
            hidden.
    """

    share: float
    shape: tuple[int, ...]
    length: float = 8.0
    seed: int = 0
    observed: Tensor = field(init=False, repr=False, compare=False)
    """(H, W) bool, False under clouds."""

    def __post_init__(self) -> None:
        self._check_shape_and_seed()
        object.__setattr__(
            self, "share", positive("CloudInpainting", "share", self.share, 1, " (40 % is 0.4)")
        )
        object.__setattr__(
            self,
            "length",
            positive(
                "CloudInpainting", "length", self.length, 10 * max(self.shape[-2:]), " pixels"
            ),
        )
        pixels = math.prod(self.shape[-2:])
        count = round(self.share * pixels)
        if not 0 < count < pixels:
            raise ConfigError(
                f"CloudInpainting's share {self.share} hides {count} of {pixels} pixels: some "
                "must be hidden, and some observed"
            )
        order = torch.argsort(
            smooth_field(self.shape[-2:], self.length, self.seed).flatten(),
            descending=True,
            stable=True,
        )
        observed = torch.ones(pixels, dtype=torch.bool).index_fill_(0, order[:count], False)
        object.__setattr__(self, "observed", observed.reshape(self.shape[-2:]))


def smooth_field(shape: tuple[int, ...], length: float, seed: int) -> Tensor:
    """A periodic Gaussian field with the spectrum (1 + |k|^2 l^2)^(-5/2) of a Matern field.

    Arguments:
        shape: (H, W).
        length: l, pixels.
        seed: 0 to 2^56 - 1.

    Returns:
        (H, W) float64.
    """
    white = rows(seed, 1).normal(shape, MASK, torch.float64)[0]
    k = (
        2.0
        * math.pi
        * torch.hypot(
            *torch.meshgrid(
                *(torch.fft.fftfreq(n, dtype=torch.float64) for n in shape), indexing="ij"
            )
        )
    )
    return torch.fft.ifft2(torch.fft.fft2(white) * (1.0 + (k * length) ** 2) ** -1.25).real


@dataclass(frozen=True)
class BoxInpainting:
    """Everything but a box: the box is hidden.

    Arguments:
        top: first hidden row.
        left: first hidden column.
        height: hidden rows, at least 1.
        width: hidden columns, at least 1.

    Raises:
        ConfigError: if a value is negative or the box is empty.
    """

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        for name, lowest in (("top", 0), ("left", 0), ("height", 1), ("width", 1)):
            object.__setattr__(
                self, name, whole_number("BoxInpainting", name, getattr(self, name), lowest)
            )

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *x) -> (B, *x), 0 inside the box."""
        return _keep(x, self.observed_for(x.shape[1:]))

    def observed_for(self, shape: tuple[int, ...]) -> Tensor:
        """(H, W) bool, False inside the box; ConfigError if the box does not fit into x of this
        shape."""
        self.output_shape(shape)
        observed = torch.ones(tuple(shape[-2:]), dtype=torch.bool)
        observed[self.top : self.top + self.height, self.left : self.left + self.width] = False
        return observed

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y, that of x; ConfigError if the box leaves the image or hides all of
        it."""
        height, width = sides("BoxInpainting", shape)
        bottom, right = self.top + self.height, self.left + self.width
        if bottom > height or right > width:
            raise ConfigError(
                f"BoxInpainting's box (rows {self.top} to {bottom}, columns {self.left} to "
                f"{right}) must lie inside the image, got {height} x {width}"
            )
        if (self.height, self.width) == (height, width):
            raise ConfigError(
                f"BoxInpainting's box hides the whole image of {height} x {width}: make it smaller"
            )
        return tuple(shape)


@readable
@dataclass(frozen=True, eq=False, repr=False)
class MaskInpainting:
    """The pixels that a mask marks as observed.

    Arguments:
        mask: array or tensor of shape (H, W), (1, H, W) or (C, H, W): True / 1 = observed, False /
            0 = hidden.

    Raises:
        ConfigError: if the mask has another shape, other values, or hides everything.
    """

    mask: Tensor

    def __post_init__(self) -> None:
        mask = real_array("MaskInpainting", "mask", self.mask, (2, 3))
        if not np.isin(mask, (0, 1)).all():
            raise ConfigError(
                "MaskInpainting's mask must hold only 1 (observed) and 0 (hidden), got other "
                "values: threshold it first"
            )
        if not mask.any():
            raise ConfigError("MaskInpainting's mask hides every pixel: 1 means observed, 0 hidden")
        object.__setattr__(self, "mask", torch.from_numpy(mask.astype(bool)))

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *x) -> (B, *x), 0 where unobserved."""
        return _keep(x, self.observed_for(x.shape[1:]))

    @property
    def observed(self) -> Tensor:
        """The mask, bool."""
        return self.mask

    def observed_for(self, shape: tuple[int, ...]) -> Tensor:
        """The mask; ConfigError if x of this shape does not fit."""
        self.output_shape(shape)
        return self.mask

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y, that of x; ConfigError if the mask is for another one."""
        mask = tuple(self.mask.shape)
        if mask[-2:] != tuple(shape[-2:]) or (
            len(mask) == 3 and (len(shape) != 3 or mask[0] not in (1, shape[0]))
        ):
            raise ConfigError(
                f"MaskInpainting's mask of shape {mask} does not fit images of shape "
                f"{tuple(shape)}: their H and W must agree, and C where it has it"
            )
        return tuple(shape)
