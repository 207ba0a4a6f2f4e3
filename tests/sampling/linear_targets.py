"""Linear-Gaussian targets whose evidence and posterior are known."""

import torch
from torch import Tensor

import noisewalk as nw


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(images: int = 1) -> tuple[nw.NoisePosterior, Tensor, Tensor, Tensor]:
    """A linear-Gaussian target with its evidence, mean (N, d) and covariance."""
    matrix, sigma = normal(3, 5, seed=1), 0.4
    y = normal(images, 3, seed=2)
    target = nw.NoisePosterior(
        nw.maps.Affine(torch.eye(5, dtype=torch.float64)),
        lambda x: x @ matrix.T,
        nw.likelihoods.Gaussian(sigma),
        y,
    )
    marginal = torch.distributions.MultivariateNormal(
        torch.zeros(3, dtype=torch.float64),
        matrix @ matrix.T + sigma**2 * torch.eye(3, dtype=torch.float64),
    )
    H = torch.eye(5, dtype=torch.float64) + matrix.T @ matrix / sigma**2
    return (
        target,
        marginal.log_prob(y),
        torch.linalg.solve(H, matrix.T @ y.T / sigma**2).T,
        torch.linalg.inv(H),
    )
