r"""The linear-Gaussian problem, where every law of the Langevin family is known in closed form.

With $A(\Phi(z)) = J z + c$ and $y = A(\Phi(z)) + \sigma n$ the posterior is $N(m, H^{-1})$,
$H = I + J^T J / \sigma^2$, and the gradient of the negative log-likelihood is
$g(z) = (H - I) z - H m$. Along an eigenvector of $H$ with eigenvalue $\lambda$ the unadjusted
kernels are autoregressive: $u' = (1 - \tau \lambda) u + \sqrt{2 \tau} \xi$ (EM) and
$u' = (1 - q \lambda) u + \sqrt{1 - e^{-2 \tau}} \xi$, $q = 1 - e^{-\tau}$ (EI).
"""

import math
from typing import Any, NamedTuple

import torch
from cases import Linear, draw
from torch import Tensor

import noisewalk as nw
from noisewalk.gaussians.low_rank import LowRank

SIGMA_Y = 0.3
TOLERANCE = 5.0
"""Standard errors; the largest of the 44 statistics of 8 dimensions passes it by chance once in
40000."""


class Problem(NamedTuple):
    target: Any
    mean: Tensor
    basis: Tensor  # columns: eigenvectors of H
    eigenvalues: Tensor  # of H

    def whiten(self, z: Tensor) -> Tensor:
        """Coordinates in which the posterior is N(0, I)."""
        return (z - self.mean) @ self.basis * self.eigenvalues.sqrt()

    def unwhiten(self, w: Tensor) -> Tensor:
        return self.mean + (w / self.eigenvalues.sqrt()) @ self.basis.T


def problem(eigenvalues: tuple[float, ...]) -> Problem:
    """A random problem whose H has these eigenvalues (at least 1; 1 is a direction that the
    measurement does not see)."""
    lam = torch.tensor(eigenvalues, dtype=torch.float64)
    dim, rank = len(lam), int((lam > 1).sum())
    basis, left = (
        torch.linalg.qr(draw((n, n), seed=n, dtype=torch.float64)[0])[0] for n in (dim, rank)
    )
    jacobian = SIGMA_Y * left @ ((lam[lam > 1] - 1).sqrt()[:, None] * basis[:, lam > 1].T)
    mixing = (
        torch.eye(dim, dtype=torch.float64)
        + 0.2 * draw((dim, dim), seed=13, dtype=torch.float64)[0]
    )
    operator = Linear(jacobian @ torch.linalg.inv(mixing))
    offset, y = (
        draw((dim,), seed=14, dtype=torch.float64)[0],
        draw((rank,), seed=15, dtype=torch.float64),
    )
    target = nw.NoisePosterior(
        nw.maps.Affine(mixing, offset), operator, nw.likelihoods.Gaussian(SIGMA_Y), y
    )
    residual = y[0] - operator(offset[None])[0]
    mean = (basis / lam) @ (basis.T @ (jacobian.T @ residual)) / SIGMA_Y**2
    return Problem(target, mean, basis, lam)


def reference(case: Problem, rank: int, exact: bool = True) -> LowRank:
    """The problem's own Gaussian at full rank; at a lower one the stiffest directions and, unless
    `exact`, a mean that is off."""
    order = case.eigenvalues.argsort(descending=True)[:rank]
    mean = case.mean if exact else case.mean + 0.2
    return LowRank(mean[None], case.basis.T[order][None], (case.eigenvalues[order] - 1)[None])


def kept_variance(scheme: str, step_size: float, eigenvalues: Tensor) -> Tensor:
    """Variance per direction of the law that the unadjusted kernel keeps."""
    if scheme == "em":
        return 2 / (eigenvalues * (2 - step_size * eigenvalues))
    c = math.exp(-step_size) - (1 - math.exp(-step_size)) * (eigenvalues - 1)
    return (1 - math.exp(-2 * step_size)) / (1 - c**2)


def step_size_for(scheme: str, stiffness: float, eigenvalues: Tensor) -> float:
    """The step that contracts the stiffest direction by 1 - stiffness (unstable from 2 on)."""
    fraction = stiffness / float(eigenvalues.max())
    return fraction if scheme == "em" else -math.log1p(-fraction)


def deviations(w: Tensor) -> Tensor:
    """Means and covariances of rows that should be independent N(0, I), minus their values, in
    standard errors."""
    rows, dim = w.shape
    spread = w.T @ w / rows - torch.eye(
        dim, dtype=w.dtype
    )  # about the known mean: Var = 2 / n on the diagonal, 1 / n off it
    error = torch.sqrt((torch.ones(dim, dim, dtype=w.dtype) + torch.eye(dim, dtype=w.dtype)) / rows)
    return torch.cat([w.mean(0) * math.sqrt(rows), (spread / error)[*torch.triu_indices(dim, dim)]])
