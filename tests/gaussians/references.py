"""A low-rank reference, its dense matrix, and states to measure it by."""

import torch
from torch import Tensor

from noisewalk.gaussians.low_rank import LowRank
from noisewalk.types import State

IMAGES, CHAINS, DIM, RANK = 2, 3, 7, 3


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made() -> LowRank:
    basis = torch.linalg.qr(normal(IMAGES, DIM, RANK, seed=1))[0].transpose(1, 2)
    return LowRank(
        normal(IMAGES, DIM, seed=2),
        basis,
        torch.tensor([[9.0, 2.0, 0.5], [4.0, 1.0, 0.0]], dtype=torch.float64),
    )


def dense(reference: LowRank, image: int) -> Tensor:
    U = reference.basis[image].T
    return torch.eye(DIM, dtype=torch.float64) + U @ torch.diag(reference.eigenvalues[image]) @ U.T


def states() -> tuple[State, State]:
    z, g, z_, g_ = (normal(IMAGES * CHAINS, DIM, seed=k) for k in range(4, 8))
    return State(z, z, normal(IMAGES * CHAINS, seed=8), g), State(
        z_, z_, normal(IMAGES * CHAINS, seed=9), g_
    )
