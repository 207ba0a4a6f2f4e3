"""Blur by a camera that moves while it exposes."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._checks import real, seed_of
from ..errors import ConfigError
from ..noise import MASK, rows
from .arrays import floating, image_shape, same_shape
from .linear import Convolution

GAMMA, TOE = 2.2, 1 / 255
SLOPE = GAMMA * TOE ** (GAMMA - 1)
NUM_MODES, SAMPLES_PER_PIXEL, LONGEST = 4, 16, 1024.0


@dataclass(frozen=True)
class CameraMotionBlur:
    r"""Blur along a random smooth path, added up in light; a constant image stays as it is.

    A pixel u = (x + 1) / 2 shows the light $g^{-1}(u)$, and light adds up, not pixel values:
    $$y = 2\, g\big( \tfrac1K \sum_{k=1}^{K} S_{p_k}\, g^{-1}(u) \big) - 1$$
    with S_p the shift by p pixels, bilinear, reflected at the border. $g^{-1}(u)$ is $u^{2.2}$ for
    $u \ge \tau = 1/255$, and its tangent at $\tau$ below. The path, of mean 0 and scaled to its
    length, is $p(t) = \sum_{m=1}^{4} a_m m^{-2} \cos(\pi m t)$, $a_m \sim N(0, I_2)$, at K equal
    steps of t from 0 to 1. It depends on length and seed alone.

    Arguments:
        length: of the path in pixels, above 0 and at most 1024.
        shape: of one x, (C, H, W) or (H, W).
        seed: of the path, 0 to 2^56 - 1.

    Raises:
        ConfigError: if a value is outside these ranges, or the path reaches further than the image.

    Example:
        >>> operator = nw.operators.CameraMotionBlur(length=3.0, shape=(1, 8, 8), seed=0)
        >>> operator(torch.full((1, 1, 8, 8), 0.5)).std() < 1e-6
        tensor(True)
    """

    length: float
    shape: tuple[int, ...]
    seed: int = 0
    blur: Convolution = field(init=False, repr=False, compare=False)  # of the light

    @torch.inference_mode(False)
    def __post_init__(self) -> None:
        length = real("CameraMotionBlur's length in pixels", self.length, above=0, most=LONGEST)
        shape = image_shape("CameraMotionBlur", self.shape)
        key = seed_of(self.seed, "CameraMotionBlur's seed")
        blur = Convolution(_kernel(trajectory(length, key)))
        reach, (height, width) = blur.kernel.shape[0] // 2, shape[-2:]
        if reach >= min(height, width):
            raise ConfigError(
                f"CameraMotionBlur's path of length {length:g} reaches {reach} pixels (seed {key})"
                f", which must be below the image's sides, got {height} x {width}: use a smaller"
            )
        vars(self).update(length=length, shape=shape, seed=key, blur=blur)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, *shape)."""
        floating("CameraMotionBlur", x)
        self.output_shape(tuple(x.shape[1:]))
        return 2 * _response(self.blur(_light((x + 1) / 2))) - 1

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y, that of x; ConfigError if it is not the operator's."""
        same_shape("CameraMotionBlur", self.shape, shape)
        return self.shape


def trajectory(length: float, seed: int) -> Tensor:
    """Where the camera points, (K, 2) float64 in pixels, of mean 0, at equal steps of time."""
    modes = rows(seed, 1).normal((NUM_MODES, 2), MASK, torch.float64)[0]
    number = torch.arange(1, NUM_MODES + 1, dtype=torch.float64)
    count = max(64, SAMPLES_PER_PIXEL * math.ceil(length))
    time = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    path = torch.cos(math.pi * time[:, None] * number) @ (modes / number[:, None] ** 2)
    return path * (length / path.diff(dim=0).norm(dim=1).sum())


def _kernel(path: Tensor) -> Tensor:
    """The path's image, p = 0 in the middle: each point is shared by its four pixels."""
    reach = int(path.abs().max()) + 1
    side = 2 * reach + 1
    low = path.floor()
    part, corner = path - low, low.to(torch.int64) + reach
    kernel = path.new_zeros(side * side)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        rows_share = part[:, 0] if down else 1 - part[:, 0]
        weight = rows_share * (part[:, 1] if right else 1 - part[:, 1])
        place = (corner[:, 0] + down) * side + corner[:, 1] + right
        kernel.index_add_(0, place, weight / len(path))
    return kernel.reshape(side, side)


def _light(value: Tensor) -> Tensor:
    """g^-1."""
    tangent = TOE**GAMMA + SLOPE * (value - TOE)
    return torch.where(value >= TOE, value.clamp(min=TOE) ** GAMMA, tangent)


def _response(light: Tensor) -> Tensor:
    """g."""
    foot = TOE**GAMMA
    tangent = TOE + (light - foot) / SLOPE
    return torch.where(light >= foot, light.clamp(min=foot) ** (1 / GAMMA), tangent)
