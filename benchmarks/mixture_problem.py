r"""The 25-mode mixture problem of the linear-Gaussian posterior literature, with its exact
posterior and evidence.

Means (8i, 8j, 8i, 8j, ...) with i, j in -2..2, unit covariance, random weights; y = A x + sigma_y
n, A of d_y rows with singular values uniform in [0, 1], sigma_y = the largest of them times a
uniform draw. The posterior is again a mixture of 25 Gaussians (Cardoso et al. 2023, appendix B).
"""

import math
from dataclasses import dataclass
from statistics import mean

import torch
from torch import Tensor

import noisewalk as nw

PAIRS = 12


@dataclass(frozen=True, eq=False)
class MixtureProblem:
    """One problem: the prior, the measurement and what is exactly known about them (float64)."""

    means: Tensor
    weights: Tensor
    matrix: Tensor
    sigma_y: float
    y: Tensor

    @classmethod
    def draw(cls, d: int, d_y: int, seed: int) -> "MixtureProblem":
        """The problem of a seed."""
        g = torch.Generator().manual_seed(1_000_003 * seed + 1009 * d + d_y)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=g, dtype=torch.float64)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=g, dtype=torch.float64)

        grid = torch.tensor(
            [[8.0 * i, 8.0 * j] for i in range(-2, 3) for j in range(-2, 3)], dtype=torch.float64
        )
        means, weights = grid.repeat(1, d // 2), uniform(25)
        weights = weights / weights.sum()
        left, _ = torch.linalg.qr(normal(d_y, d_y))
        right, _ = torch.linalg.qr(normal(d, d_y))
        values = uniform(d_y)
        matrix = left @ torch.diag(values) @ right.T
        sigma_y = float(values.max() * uniform(1))
        x = means[torch.multinomial(weights, 1, generator=g)] + normal(1, d)
        return cls(means, weights, matrix, sigma_y, x @ matrix.T + sigma_y * normal(1, d_y))

    def phi(self, dtype: torch.dtype = torch.float32) -> nw.maps.Mixture:
        """The probability flow of the exact score from 20 times the largest |mean|; 31 Runge-Kutta
        steps, 63 levels."""
        return nw.maps.Mixture(self.means.to(dtype), self.weights.to(dtype), num_steps=31)

    def target(self, dtype: torch.dtype = torch.float32) -> nw.NoisePosterior:
        """The posterior in noise space."""
        matrix = self.matrix.to(dtype)
        return nw.NoisePosterior(
            self.phi(dtype),
            lambda x: x @ matrix.T,
            nw.likelihoods.Gaussian(self.sigma_y),
            self.y.to(dtype),
        )

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log weights (25,) of the posterior, unnormalised, its means (25, d) and the covariance
        (d, d) that all of them share."""
        spread = self.matrix @ self.matrix.T + self.sigma_y**2 * torch.eye(
            len(self.matrix), dtype=torch.float64
        )
        gain = torch.linalg.solve(spread, self.matrix).T
        residual = self.y - self.means @ self.matrix.T
        density = torch.distributions.MultivariateNormal(
            torch.zeros(len(spread), dtype=torch.float64), spread
        ).log_prob(residual)
        return (
            self.weights.log() + density,
            self.means + residual @ gain.T,
            torch.eye(len(gain), dtype=torch.float64) - gain @ self.matrix,
        )

    def log_evidence(self) -> float:
        """log p(y)."""
        return float(torch.logsumexp(self.components()[0], 0))

    def sample(self, count: int, seed: int) -> Tensor:
        """(count, d) exact draws."""
        g = torch.Generator().manual_seed(seed)
        logits, means, covariance = self.components()
        root = torch.linalg.cholesky(0.5 * (covariance + covariance.T))
        mode = torch.multinomial(torch.softmax(logits, 0), count, replacement=True, generator=g)
        return (
            means[mode]
            + torch.randn(count, means.shape[1], generator=g, dtype=torch.float64) @ root.T
        )

    def floor(self, count: int) -> float:
        """Distance that no sampler is expected to beat: between two exact sets, mean over PAIRS of
        them."""
        return mean(
            sliced_wasserstein(self.sample(count, 100 + 2 * k), self.sample(count, 101 + 2 * k))
            for k in range(PAIRS)
        )


def sliced_wasserstein(a: Tensor, b: Tensor, num_projections: int = 500, seed: int = 0) -> float:
    """The 2-Wasserstein distance of two equal sets of points, root mean square over random
    directions."""
    if a.shape != b.shape:
        raise ValueError(f"needs two sets of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    directions = torch.randn(
        a.shape[1],
        num_projections,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    directions = directions / directions.norm(dim=0)
    one, two = ((points.double() @ directions).sort(0).values for points in (a, b))
    return math.sqrt(float((one - two).square().mean()))
