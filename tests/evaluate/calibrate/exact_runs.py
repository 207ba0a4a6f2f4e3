"""Runs of exact draws, made by hand, with the targets that they are of."""

import torch
from torch import Tensor

import noisewalk as nw

SIGMA = 0.5
GRID = torch.linspace(-6, 6, 4001, dtype=torch.float64)


def normals(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(
    images: int, chains: int, draws: int, seed: int = 0, scale: float = 1.0, shift: float = 0.0
) -> tuple[nw.Run, nw.NoisePosterior]:
    """Draws of a Gaussian posterior in six dimensions; narrower or wider by `scale`, or off by
    `shift` posterior standard deviations. The prior would hardly give such a y, which must not
    matter."""
    matrix = normals(6, 6, seed=1)
    z = 3 * normals(images, 6, seed=100 + seed)
    y = z @ matrix.T + SIGMA * normals(images, 6, seed=200 + seed)
    covariance = torch.linalg.inv(torch.eye(6) + matrix.T @ matrix / SIGMA**2)
    mean = y @ matrix @ covariance / SIGMA**2 + shift * covariance.diag().sqrt()
    spread = (
        normals(images, chains, draws, 6, seed=300 + seed) @ torch.linalg.cholesky(covariance).T
    )
    drawn = mean[:, None, None] + scale * spread
    likelihood = nw.likelihoods.Gaussian(SIGMA)
    target = nw.NoisePosterior(nw.maps.Affine(matrix), torch.nn.Identity(), likelihood, y)
    return nw.Run({"x": drawn @ matrix.T, "z": drawn}, nfe=100, seconds=1.0, y=y), target


def scaled(x: Tensor) -> Tensor:
    """Six readings of one number, in [-1, 1] for most of N(0, I)."""
    return 0.3 * x * torch.linspace(0.5, 2.0, 6).to(x)


def of_one_number(
    likelihood: nw.types.Likelihood, y: Tensor, draws: int, seed: int = 0
) -> tuple[nw.Run, nw.NoisePosterior]:
    """Draws of a posterior of one number, by inversion on a grid."""
    phi = nw.maps.Affine(torch.eye(1, dtype=torch.float64))
    target = nw.NoisePosterior(phi, scaled, likelihood, y)
    at = scaled(GRID[:, None])
    nll = torch.stack([likelihood.nll(at, one.expand(len(at), -1)) for one in y])
    share = torch.softmax(-nll - 0.5 * GRID**2, 1).cumsum(1)
    uniform = torch.rand(
        len(y), draws, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    place = torch.searchsorted(share, uniform).clamp(max=len(GRID) - 1)
    z = GRID[place][:, :, None, None]
    return nw.Run({"x": z, "z": z}, nfe=0, seconds=0.0, y=y), target
