"""Masks: linear operators that put 0 where nothing is observed, whatever stood there (NaN too)."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .._checks import real, seed_of, whole
from .._repr import readable
from ..errors import ConfigError
from ..noise import MASK, rows
from .arrays import image_shape, real_array, same_shape, sides


class _Mask:
    """An operator that hides pixels, of images of the `shape` that `observed` was made for."""

    shape: tuple[int, ...]
    observed: Tensor

    def observed_for(self, shape: tuple[int, ...]) -> Tensor:
        """Bool, broadcastable to x of this shape; ConfigError if x does not fit."""
        same_shape(type(self).__name__, self.shape, shape)
        return self.observed

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *x) -> (B, *x), 0 where unobserved."""
        observed = self.observed_for(tuple(x.shape[1:]))
        return torch.where(observed.to(x.device), x, x.new_zeros(()))

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y, that of x; ConfigError if x does not fit."""
        self.observed_for(shape)
        return tuple(shape)


@dataclass(frozen=True)
class RandomInpainting(_Mask):
    """A share of the pixels, chosen at random; the same ones in every channel.

    Arguments:
        keep: share of pixels that are kept, above 0 and at most 1; exactly round(keep H W) are.
        shape: of one x, (C, H, W) or (H, W).
        seed: of the mask, 0 to 2^56 - 1; a larger share keeps all that a smaller one does.

    Raises:
        ConfigError: if a value is outside these ranges, or no pixel is kept.

    Example:
        >>> nw.operators.RandomInpainting(keep=0.25, shape=(3, 4, 4), seed=0).observed.sum()
        tensor(4)
    """

    keep: float
    shape: tuple[int, ...]
    seed: int = 0
    observed: Tensor = field(init=False, repr=False, compare=False)  # (H, W) bool

    @torch.inference_mode(False)
    def __post_init__(self) -> None:
        keep = real("RandomInpainting's keep (20 % is 0.2)", self.keep, above=0, most=1)
        shape, key = _shape_and_seed(self)
        pixels = math.prod(shape[-2:])
        count = round(keep * pixels)
        if count == 0:
            raise ConfigError(f"RandomInpainting's keep {keep} keeps none of {pixels} pixels")
        observed = _lowest(rows(key, 1).uniform((pixels,), MASK)[0], count)
        vars(self).update(keep=keep, shape=shape, seed=key, observed=observed.reshape(shape[-2:]))


@dataclass(frozen=True)
class CloudInpainting(_Mask):
    """Gaps in the shape of clouds: the pixels where `smooth_field` is largest, in every channel.

    Arguments:
        share: of the pixels that are hidden, above 0 and below 1; exactly round(share H W) are.
        shape: of one x, (C, H, W) or (H, W).
        length: over which the clouds vary, in pixels, at most ten sides of the image.
        seed: of the field, 0 to 2^56 - 1; a larger share hides all that a smaller one does.

    Raises:
        ConfigError: if a value is outside these ranges, or all or none of the pixels are hidden.

    Example:
        >>> nw.operators.CloudInpainting(share=0.25, shape=(8, 8), length=3.0).observed.sum()
        tensor(48)
    """

    share: float
    shape: tuple[int, ...]
    length: float = 8.0
    seed: int = 0
    observed: Tensor = field(init=False, repr=False, compare=False)  # (H, W) bool

    @torch.inference_mode(False)
    def __post_init__(self) -> None:
        shape, key = _shape_and_seed(self)
        share = real("CloudInpainting's share (40 % is 0.4)", self.share, above=0, most=1)
        most = 10 * max(shape[-2:])
        length = real("CloudInpainting's length in pixels", self.length, above=0, most=most)
        pixels = math.prod(shape[-2:])
        count = round(share * pixels)
        if not 0 < count < pixels:
            raise ConfigError(
                f"CloudInpainting's share {share} hides {count} of {pixels} pixels: some must be "
                "hidden, and some observed"
            )
        observed = ~_lowest(-smooth_field(shape[-2:], length, key), count)
        vars(self).update(share=share, shape=shape, length=length, seed=key, observed=observed)


def smooth_field(shape: tuple[int, ...], length: float, seed: int) -> Tensor:
    """A periodic Gaussian field (H, W), float64, of Matern's spectrum (1 + |k|^2 l^2)^(-5/2)."""
    white = rows(seed, 1).normal(shape, MASK, torch.float64)[0]
    axes = (torch.fft.fftfreq(n, dtype=torch.float64) for n in shape)
    k = 2.0 * math.pi * torch.hypot(*torch.meshgrid(*axes, indexing="ij"))
    return torch.fft.ifft2(torch.fft.fft2(white) * (1.0 + (k * length) ** 2) ** -1.25).real


@dataclass(frozen=True)
class BoxInpainting(_Mask):
    """Everything but a box: the box is hidden.

    Arguments:
        top: first hidden row.
        left: first hidden column.
        height: hidden rows, at least 1.
        width: hidden columns, at least 1.

    Raises:
        ConfigError: if a value is negative or the box is empty.

    Example:
        >>> nw.operators.BoxInpainting(top=0, left=1, height=1, width=2)(torch.ones(1, 1, 4))
        tensor([[[1., 0., 0., 1.]]])
    """

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        for name, least in (("top", 0), ("left", 0), ("height", 1), ("width", 1)):
            vars(self)[name] = whole(f"BoxInpainting's {name}", getattr(self, name), least)

    def observed_for(self, shape: tuple[int, ...]) -> Tensor:
        """(H, W) bool, False in the box; ConfigError if the box leaves the image or fills it."""
        height, width = sides("BoxInpainting", shape)
        bottom, right = self.top + self.height, self.left + self.width
        if bottom > height or right > width:
            raise ConfigError(
                f"BoxInpainting's box (rows {self.top} to {bottom}, columns {self.left} to "
                f"{right}) must lie inside the image, got {height} x {width}"
            )
        if (self.height, self.width) == (height, width):
            raise ConfigError(f"BoxInpainting's box hides the whole image of {height} x {width}")
        observed = torch.ones(height, width, dtype=torch.bool)
        observed[self.top : bottom, self.left : right] = False
        return observed


@readable
@dataclass(frozen=True, eq=False, repr=False)
class MaskInpainting(_Mask):
    """The pixels that a mask marks as observed.

    Arguments:
        mask: (H, W), (1, H, W) or (C, H, W), True / 1 = observed, False / 0 = hidden.

    Raises:
        ConfigError: if the mask has another shape, other values, or hides everything.

    Example:
        >>> nw.operators.MaskInpainting([[1, 0]])(torch.full((1, 1, 2), 0.5))
        tensor([[[0.5000, 0.0000]]])
    """

    mask: Tensor = field(metadata={"held": True})

    @torch.inference_mode(False)
    def __post_init__(self) -> None:
        mask = real_array("MaskInpainting's mask", self.mask, (2, 3))
        if not np.isin(mask, (0, 1)).all():
            raise ConfigError("MaskInpainting's mask must hold only 1 (observed) and 0 (hidden)")
        if not mask.any():
            raise ConfigError("MaskInpainting's mask hides every pixel: 1 means observed, 0 hidden")
        observed = torch.from_numpy(mask.astype(bool))
        vars(self).update(mask=observed, observed=observed)

    def observed_for(self, shape: tuple[int, ...]) -> Tensor:
        """The mask; ConfigError if x of this shape does not fit."""
        mask = tuple(self.mask.shape)
        other_channels = len(mask) == 3 and (len(shape) != 3 or mask[0] not in (1, shape[0]))
        if mask[-2:] != tuple(shape[-2:]) or other_channels:
            raise ConfigError(
                f"MaskInpainting's mask of shape {mask} does not fit images of shape "
                f"{tuple(shape)}: their H and W must agree, and C where it has it"
            )
        return self.mask


def _shape_and_seed(mask: RandomInpainting | CloudInpainting) -> tuple[tuple[int, ...], int]:
    name = type(mask).__name__
    return image_shape(name, mask.shape), seed_of(mask.seed, f"{name}'s seed")


def _lowest(scores: Tensor, count: int) -> Tensor:
    """True at the `count` lowest scores."""
    order = torch.argsort(scores.flatten(), stable=True)
    chosen = torch.zeros(scores.numel(), dtype=torch.bool).index_fill_(0, order[:count], True)
    return chosen.reshape(scores.shape)
