r"""A Gaussian reference whose precision is diagonal in the cosine basis, and the spectrum of the
Gauss-Newton curvature that it is made of.

$$H = I + Q \Lambda Q^T, \qquad \Lambda_f = \text{band mean of } (Q^T J^T W J Q)_{ff}, \qquad
(Q^T J^T W J Q)_{ff} = \mathbb{E}\big[ (Q^T J^T W^{1/2} \xi)_f^2 \big], \quad \xi \sim N(0, I),$$
Q the orthonormal cosine transform (DCT-II) over every axis of z. Images have far more power at low
than at high frequencies, and so has J. On a precise measurement thousands of directions are
therefore stiff, too many for a low rank, but how stiff they are depends on their frequency. Bands
are thirds of an octave of the last two axes' frequency, apart for every index of the axes before
(for red, green and blue: grey and two differences). The mean over a band makes few probes enough.

Reference: Bekas, Kokiopoulou and Saad, An estimator for the diagonal of a matrix, 2007; here with
squares of one-sided products, which are never negative.
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .. import noise as keyed
from .._checks import whole
from .._repr import readable
from ..errors import ConfigError
from ..types import State
from .reference import Reference


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Spectral(Reference):
    """The reference N(m, H^-1) with H = I + Q Lambda Q^T and Q the cosine transform, one per image;
    rows are image-major.

    Arguments:
        mean: (N, *shape) m.
        eigenvalues: (N, d) Lambda in the order of the flattened transform, 0 or more.

    Raises:
        ConfigError: shapes that do not fit, or values that are negative or not finite.
    """

    mean: Tensor
    eigenvalues: Tensor

    def __post_init__(self) -> None:
        if tuple(self.eigenvalues.shape) != (len(self.mean), self.mean[0].numel()):
            raise ConfigError(
                "a spectral preconditioner has mean (N, *shape) and eigenvalues (N, d), got "
                f"{tuple(self.mean.shape)} and {tuple(self.eigenvalues.shape)}"
            )
        self.check_finite()

    def project(self, v: Tensor) -> Tensor:
        """Q^T v."""
        return cosine(v).reshape(len(self.mean), len(v) // len(self.mean), -1)

    def spread(self, coefficients: Tensor, like: Tensor) -> Tensor:
        """Q c."""
        return cosine(coefficients.reshape(like.shape), inverse=True)

    def power(self, v: Tensor, exponent: float) -> Tensor:
        """H^p v = Q (1 + Lambda)^p Q^T v, without the difference of large numbers that a basis of a
        part of the space needs."""
        scale = (1.0 + self.eigenvalues.to(torch.float64)) ** exponent
        return self.spread(self.project(v) * scale[:, None].to(v.dtype), v)


@torch.inference_mode(False)
def spectral(target: Any, state: State, num_probes: int = 16, seed: keyed.Seeds = 0) -> Spectral:
    """The Gaussian of every image around `state` with the Gauss-Newton curvature's spectrum,
    averaged over the image's rows.

    Cost in network calls a row: 1 + num_probes. Worth it where z is image-shaped.

    Arguments:
        target: the posterior.
        state: an evaluation, usually the warm start's.
        num_probes: probe vectors a row; the lowest bands have few coefficients, whose mean has a
            relative error of about (2 / (num_probes rows))^1/2.
        seed: of the probe vectors, one or one an image.

    Returns:
        The preconditioner.

    Raises:
        ConfigError: fewer than one probe vector, or a target without gradients.

    Example:
        >>> phi = nw.maps.Affine(3.0 * torch.eye(4), torch.zeros(4))
        >>> noise, y = nw.likelihoods.Gaussian(1.0), torch.zeros(1, 4)
        >>> target = nw.NoisePosterior(phi, lambda x: x, noise, y)
        >>> nw.spectral(target, target(torch.zeros(1, 4))).eigenvalues.shape
        torch.Size([1, 4])
    """
    whole("num_probes", num_probes)
    if not target.differentiable:
        raise ConfigError(
            "spectral needs gradients, but the target is not differentiable: leave the "
            "preconditioner out"
        )
    images, shape = target.num_images, tuple(state.z.shape[1:])
    chains = len(state.z) // images
    mean, _, vjp = target.linearize(state.z)
    root = target.curvature(mean).clamp(min=0.0).sqrt()
    rows, power = keyed.rows(seed, images, chains, state.z.device), torch.zeros_like(state.z)
    for k in range(num_probes):
        probe = rows.at(k).normal(tuple(mean.shape[1:]), keyed.PROBE, mean.dtype)
        power += cosine(vjp(root * probe)).square()
    band = bands(shape)
    average = (
        power.reshape(images, chains, -1).mean(1).to("cpu", torch.float64) / num_probes
    )  # where the order of a sum is always the same
    by_band = average.new_zeros(images, int(band.max()) + 1).index_add_(
        1, band, average
    ) / torch.bincount(band)
    around = Spectral(state.z.new_zeros(images, *shape), by_band[:, band].to(state.z))
    return replace(around, mean=around.newton(state))


def cosine(v: Tensor, inverse: bool = False) -> Tensor:
    """Orthonormal cosine transform of (B, *shape) over every axis but the first, or its inverse."""
    for axis in range(1, v.ndim):
        matrix = _matrix(v.shape[axis], v.device, v.dtype)
        v = torch.tensordot(v, matrix, ([axis], [0 if inverse else 1])).movedim(-1, axis)
    return v


def bands(shape: tuple[int, ...]) -> Tensor:
    """(d,) the band of every coefficient of a z, numbered from 0 without a gap."""
    lengths = shape[-2:]
    grids = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) * (max(lengths) / n) for n in lengths), indexing="ij"
    )
    radius = torch.stack([grid.square() for grid in grids]).sum(0).sqrt().flatten()
    octave = torch.where(radius > 0, 1.0 + (3.0 * radius.clamp(min=1.0).log2()).round(), 0.0)
    apart = torch.arange(math.prod(shape[:-2]))[:, None] * (octave.max() + 1.0) + octave
    return torch.unique(apart.flatten(), return_inverse=True)[1]


@cache
def _matrix(n: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(n, n) orthonormal rows: cosines of frequency 0 to n - 1."""
    k = torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi / n * k[:, None] * (k + 0.5)) * math.sqrt(2.0 / n)
    matrix[0] /= math.sqrt(2.0)
    return matrix.to(device, dtype)
