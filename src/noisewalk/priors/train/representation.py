r"""What a prior cannot express, by frequency: what is left of held-out images when inverted.

With the best fit $\Phi(z^*)$ of each image x and the unitary Fourier transform F, the std of band b
is $s_b = \sqrt{\mathrm{mean}\, |F (x - \Phi(z^*))|^2}$, the mean over images, channels and the
frequencies of the band. The inversion's weight keeps z* typical of the prior: a fit without it
would use up what no draw has.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..._checks import whole
from ...errors import ConfigError
from ...maps.representation_error import bands_of
from ...types import NoiseMap
from .inversion import invert

WEIGHT = 1e-3
"""Of |z|^2 in an inversion: the fit is that of noise of std 0.03 on [-1, 1]."""
LEAST = 1e-6
"""Std of a band in which nothing is left: a representation error is positive."""


class Left(NamedTuple):
    """What inversions leave."""

    std: tuple[float, ...]  # by band
    rms: float  # of all


def measure(
    phi: NoiseMap, images: Tensor, num_bands: int = 8, num_steps: int = 300, seed: int = 0
) -> Left:
    """The residuals of held-out images (N, C, H, W) by bands of |k|, from the lowest; costs
    3 + num_steps calls of the map an image."""
    if images.ndim != 4:
        raise ConfigError(f"images must be (N, C, H, W), got {tuple(images.shape)}")
    count = whole("num_bands", num_bands, 2)
    found = invert(phi, images, num_steps, prior_weight=WEIGHT, seed=seed)
    with torch.no_grad():
        made = torch.cat([phi(part) for part in found.z.split(16)])
    return spectrum((images - made).double(), count)


def spectrum(residual: Tensor, num_bands: int) -> Left:
    """The std of (N, C, H, W) by band."""
    height, width = residual.shape[-2:]
    power = torch.fft.rfft2(residual, norm="ortho").abs().square().mean((0, 1))
    alone = torch.zeros(width // 2 + 1, dtype=torch.bool)  # columns that are their own mirror image
    alone[0] = True
    alone[-1] = width % 2 == 0
    weight = torch.where(alone, 1.0, 2.0).double().expand(power.shape)
    band = bands_of((height, width), num_bands)
    total = torch.zeros(num_bands, dtype=torch.float64).index_add_(
        0, band.flatten(), (weight * power).flatten()
    )
    modes = torch.zeros(num_bands, dtype=torch.float64).index_add_(
        0, band.flatten(), weight.flatten()
    )
    if not bool((modes > 0).all()):
        raise ConfigError(f"images of {height} x {width} are too small for {num_bands} bands")
    std = (total / modes).sqrt().clamp(min=LEAST)
    return Left(tuple(std.tolist()), float(residual.square().mean().sqrt()))
