"""A field to integrate, and the gradient through its flow."""

import pytest
import torch
from torch import Tensor

from noisewalk import noise
from noisewalk.maps.flow import Flow
from noisewalk.maps.integrate import CALLS, GRADIENTS

DIM = 3


A = torch.tensor([[0.3, -1.1, 0.2], [0.9, -0.4, 0.5], [-0.6, 0.1, 0.2]], dtype=torch.float64)


SOLVERS = pytest.mark.parametrize("solver", CALLS)


WAYS = pytest.mark.parametrize("gradient", GRADIENTS)


def draw(rows: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return noise.rows(seed, rows).normal((DIM,), noise.PROBE, dtype)


def gradient_of(phi: Flow, z: Tensor, weight: Tensor | None = None) -> Tensor:
    """d <weight, Phi(z)> / dz."""
    leaf = z.clone().requires_grad_()
    return torch.autograd.grad(phi(leaf), leaf, torch.ones_like(z) if weight is None else weight)[0]


def bent(x: Tensor, t: Tensor) -> Tensor:
    return torch.tanh(x @ A.to(x).T + t[:, None]) - 0.3 * x * torch.cos(t)[:, None]
