r"""What a prior cannot express, by frequency: what is left of held-out images when inverted.

With the best fit $\Phi(z^*)$ of each image x and the unitary Fourier transform F, the std of band b
is $s_b = \sqrt{\mathrm{mean}\, |F (x - \Phi(z^*))|^2}$, the mean over images, channels and the
frequencies of the band. The best fit is
$$z^* = \arg\min_z \tfrac{1}{2 w} \|\Phi(z) - x\|^2 + \tfrac12 \|z - c\|^2, \qquad c \sim N(0, I),$$
by L-BFGS. The distance from c, not from 0, keeps $\|z^*\|$ typical of the prior: a fit without it
would use up what no draw has.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ... import noise as keyed
from ..._checks import seed_of, whole
from ...errors import ConfigError
from ...gaussians.refresh import SpectralRefresh, is_image
from ...likelihoods import Gaussian
from ...maps.representation_error import bands_of
from ...posterior import NoisePosterior
from ...sampling import lbfgs
from ...types import NoiseMap

WEIGHT = 1e-3
"""Of |z|^2 in an inversion: the fit is that of noise of std 0.03 on [-1, 1]."""
BATCH = 16
LEAST = 1e-6
"""Std of a band in which nothing is left: a representation error is positive."""


class Left(NamedTuple):
    """What inversions leave."""

    std: tuple[float, ...]  # by band
    rms: float  # of all
    nfe: int = 0


def measure(
    phi: NoiseMap, images: Tensor, num_bands: int = 8, num_steps: int = 300, seed: int = 0
) -> Left:
    """The residuals of held-out images (N, C, H, W) by bands of |k|, from the lowest; costs
    20 + num_steps calls of the map an image at most."""
    if images.ndim != 4:
        raise ConfigError(f"images must be (N, C, H, W), got {tuple(images.shape)}")
    count = whole("num_bands", num_bands, 2)
    centres = keyed.rows(seed_of(seed), len(images)).normal(phi.shape, keyed.INIT).to(images)
    parts = zip(images.split(BATCH), centres.split(BATCH), strict=True)
    fits = [_fit(phi, x, centre, whole("num_steps", num_steps)) for x, centre in parts]
    left = spectrum((images - torch.cat([made for made, _ in fits])).double(), count)
    return left._replace(nfe=sum(calls for _, calls in fits))


def _fit(phi: NoiseMap, x: Tensor, centre: Tensor, num_steps: int) -> tuple[Tensor, int]:
    """Phi(z*) of some images, and the network calls."""
    target = NoisePosterior(phi, lambda made: made, Gaussian(WEIGHT**0.5), x, check=False)
    how = lbfgs.Settings(lambda v: v)
    if is_image(tuple(phi.shape)):
        state = target(centre)
        how = lbfgs.Settings(SpectralRefresh().fitted(target, state, (0,) * len(x)).inverse)

    def objective(z: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        state, away = target.evaluate(z, rows), z - centre[rows]
        distance = away.double().square().flatten(1).sum(1)
        return state.nll + 0.5 * distance, state.grad + away

    rows = torch.arange(len(x), device=x.device)
    memory = lbfgs.begin(centre, *objective(centre, rows), how)
    for _ in range(num_steps):
        if not bool(memory["active"].any()):
            break
        memory = lbfgs.step(memory, objective, how)
    with torch.no_grad():
        return phi(memory["z"]), target.nfe + phi.nfe * len(x)


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
