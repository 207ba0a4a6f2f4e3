r"""What a card says of a prior beside the distances of its samples: does it copy its training
images, and can it express images it has not seen?

**Nearest training neighbours.** $\min_j \|f(x) - f(t_j)\|$ over the training images t, for samples
x and, beside them, for held-out images, in pixels (f(x) = x) or in features. A prior that copies
makes samples nearer to the training images than held-out images are. Where the training turned the
images (`--augment`), the nearest over all turned copies of x counts.

**Latent inversion.** For a held-out image x, Adam from z ~ N(0, I) on
$$\tfrac{1}{2} \|\Phi(z) - x\|^2 + \tfrac{w}{2} \|z\|^2,$$
the negative log of a Gaussian likelihood with $\sigma_y^2 = w$ and of the prior, up to a factor.
The weight w is a choice: with w = 0, the default, it is the likelihood alone, the best fit that the
map allows however untypical its z; $\|z\|^2 / d$ says how typical that z is (1 for draws from the
prior). What a map cannot express, no posterior under it can restore. PSNR of Phi(z*), z* the last
iterate; cost 1 + num_steps calls of the map.

Reference: Zhu, Kraehenbuehl, Shechtman and Efros, Generative Visual Manipulation on the Natural
Image Manifold, 2016 (projecting an image onto the manifold).
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ... import noise
from ...errors import ConfigError
from ...evaluate.metrics import mean_and_se, psnr
from ...likelihoods import Gaussian
from ...posterior import NoisePosterior
from ...sampling.starts import Adam
from ...types import NoiseMap


class Inversion(NamedTuple):
    """What the inversion of each image found."""

    z: Tensor
    """(N, *shape) the last iterate z*."""
    psnr: Tensor
    """(N,) of Phi(z*), in decibels."""
    size: Tensor
    """(N,) |z*|^2 / d."""


def nearest(x: Tensor, pool: Iterable[Tensor], batch_size: int = 256) -> tuple[Tensor, Tensor]:
    """Distance to the nearest row of a pool; the candidates by a matrix product, the distance
    itself by the difference.

    Arguments:
        x: (N, d) images as rows, or features.
        pool: its parts, (M_i, d) each, so that they need not be in memory together.
        batch_size: rows of x at a time; the memory is batch_size x M_i numbers.

    Returns:
        (N,) float64 Euclidean distance, and (N,) the nearest row's index in the whole pool.

    Raises:
        ConfigError: the shapes do not fit, or the pool is empty.
    """
    best = torch.full((len(x),), math.inf, dtype=torch.float64)
    found, before = torch.full((len(x),), -1), 0
    for part in pool:
        if x.ndim != 2 or part.ndim != 2 or x.shape[1] != part.shape[1]:
            raise ConfigError(
                f"nearest needs rows of equal length, got {tuple(x.shape)} and {tuple(part.shape)}"
            )
        squares = part.square().sum(1)
        for k, rows in enumerate(x.split(batch_size)):
            index = (squares - 2.0 * rows @ part.T).argmin(1)
            distance = (rows.double() - part[index].double()).square().sum(1).sqrt()
            here = slice(k * batch_size, k * batch_size + len(rows))
            closer = distance < best[here]
            best[here] = torch.where(closer, distance, best[here])
            found[here] = torch.where(closer, index + before, found[here])
        before += len(part)
    if not before:
        raise ConfigError("nearest needs a pool of at least one row to be near to")
    return best, found


def compare_nearest(samples: Tensor, held_out: Tensor) -> dict[str, float]:
    """Sum up nearest-neighbour distances of samples beside those of held-out images.

    Arguments:
        samples: (N,) distances.
        held_out: (M,) distances.

    Returns:
        Mean, standard error, median and 1 % quantile of both (held_out_...), and `share_below`: the
        share of samples that are nearer to a training image than all but 1 % of the held-out images
        are; without copying it is about 0.01 or less.
    """
    report: dict[str, float] = {}
    for prefix, distance in (("", samples.double()), ("held_out_", held_out.double())):
        mean, se = mean_and_se(distance)
        report |= {
            f"{prefix}mean": mean,
            f"{prefix}se": se,
            f"{prefix}median": float(distance.median()),
            f"{prefix}q01": float(distance.quantile(0.01)),
        }
    return {
        **report,
        "share_below": float((samples.double() < report["held_out_q01"]).double().mean()),
    }


def invert(
    phi: NoiseMap,
    images: Tensor,
    num_steps: int = 500,
    lr: float = 0.01,
    prior_weight: float = 0.0,
    seed: int = 0,
    batch_size: int = 16,
) -> Inversion:
    """Find a z for each image by Adam.

    Arguments:
        phi: the map.
        images: (N, C, H, W) in [-1, 1], held out.
        num_steps: of Adam.
        lr: its learning rate.
        prior_weight: w, the weight of |z|^2 / 2 beside the squared error of pixels in [-1, 1] over
            2; 0 is the likelihood alone.
        seed: of the first z, which is the same for every map.
        batch_size: images at a time.

    Returns:
        z*, PSNR and |z*|^2 / d of each image.

    Raises:
        ConfigError: a negative weight, or Adam's settings or images that do not fit.
    """
    if not 0.0 <= prior_weight < math.inf:
        raise ConfigError(f"prior_weight must be 0 or more and finite, got {prior_weight}")
    adam = Adam(num_steps, lr, objective="posterior" if prior_weight else "likelihood")
    likelihood = Gaussian(prior_weight**0.5 if prior_weight else 1.0)
    start = noise.rows(seed, len(images)).normal(phi.shape, noise.INIT).to(images)
    z = []
    for y, z0 in zip(images.split(batch_size), start.split(batch_size), strict=True):
        target = NoisePosterior(phi, _identity, likelihood, y)
        state = adam.start(target(z0))
        for k in range(1, num_steps + 1):
            state = adam.step(state, target, k)
        z.append(state.state.z)
    found = torch.cat(z)
    with torch.no_grad():
        fitted = torch.cat([phi(part) for part in found.split(batch_size)])
    return Inversion(found, psnr(fitted, images), found.double().square().flatten(1).mean(1))


def summarise_inversion(found: Inversion) -> dict[str, float]:
    """Means and standard errors over the images.

    Arguments:
        found: of `invert`.

    Returns:
        psnr and psnr_se in decibels, z_squared_per_dim and its z_squared_per_dim_se.
    """
    (value, error), (size, size_error) = mean_and_se(found.psnr), mean_and_se(found.size)
    return {
        "psnr": value,
        "psnr_se": error,
        "z_squared_per_dim": size,
        "z_squared_per_dim_se": size_error,
    }


def _identity(x: Tensor) -> Tensor:
    return x
