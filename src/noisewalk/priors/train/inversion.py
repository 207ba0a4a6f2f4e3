r"""Can a prior express images that it has not seen? The best fit of its map to each of them.

For a held-out image x, Adam goes from z ~ N(0, I) down
$$\tfrac{1}{2} \|\Phi(z) - x\|^2 + \tfrac{w}{2} \|z\|^2,$$
the negative log of a Gaussian likelihood with $\sigma_y^2 = w$ and of the prior, up to a factor.
With w = 0, the default, it is the likelihood alone: the best fit that the map allows, however
untypical its z. $\|z\|^2 / d$ says how typical it is: 1 for draws from the prior. What a map cannot
express, no posterior under it can restore. Cost: 1 + num_steps calls of the map.

Reference: Zhu, Kraehenbuehl, Shechtman and Efros, Generative Visual Manipulation on the Natural
Image Manifold, 2016 (projecting an image onto the manifold).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ... import noise
from ..._checks import real
from ...evaluate.metrics import mean_and_se, psnr
from ...likelihoods import Gaussian
from ...posterior import NoisePosterior
from ...sampling.starts import Adam
from ...types import NoiseMap


class Inversion(NamedTuple):
    """The last iterate z* for each image, the PSNR of Phi(z*) in decibels, and |z*|^2 / d."""

    z: Tensor
    psnr: Tensor
    size: Tensor


def invert(
    phi: NoiseMap,
    images: Tensor,
    num_steps: int = 500,
    lr: float = 0.01,
    prior_weight: float = 0.0,
    seed: int = 0,
    batch_size: int = 16,
) -> Inversion:
    """Find a z for each held-out image (N, C, H, W); `prior_weight` is w."""
    weight = real("prior_weight", prior_weight, least=0.0)
    adam = Adam(num_steps, lr, objective="posterior" if weight else "likelihood")
    likelihood = Gaussian(weight**0.5 if weight else 1.0)
    start = noise.rows(seed, len(images)).normal(phi.shape, noise.INIT).to(images)
    z = []
    for y, z0 in zip(images.split(batch_size), start.split(batch_size), strict=True):
        target = NoisePosterior(phi, lambda x: x, likelihood, y, check=False)
        state = adam.start(target(z0))
        for k in range(1, num_steps + 1):
            state = adam.step(state, target, k)
        z.append(state.state.z)
    found = torch.cat(z)
    with torch.no_grad():
        fitted = torch.cat([phi(part) for part in found.split(batch_size)])
    return Inversion(found, psnr(fitted, images), found.double().square().flatten(1).mean(1))


def summarise_inversion(found: Inversion) -> dict[str, float]:
    """The means over the images, with their standard errors."""
    (psnr, psnr_se), (size, size_se) = mean_and_se(found.psnr), mean_and_se(found.size)
    of_z = {"z_squared_per_dim": size, "z_squared_per_dim_se": size_se}
    return {"psnr": psnr, "psnr_se": psnr_se, **of_z}
