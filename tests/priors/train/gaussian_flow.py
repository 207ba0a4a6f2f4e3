"""The probability flow of Gaussian data in closed form, and trajectories of it."""

import torch
from torch import Tensor

MEAN, VARIANCE = -0.3, 0.2
LOW, HIGH = 0.002, 80.0


FLOAT16 = 2.0**-10
"""Twice the rounding of one float16."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian_teacher(x: Tensor, s: Tensor) -> Tensor:
    return MEAN + (x - MEAN) * VARIANCE / (VARIANCE + s**2)


def ode_end(x: Tensor, s: Tensor) -> Tensor:
    """The probability flow of N(MEAN, VARIANCE) down to sigma_min, in closed form: the perfect
    student."""
    return MEAN + (x - MEAN) * torch.sqrt((VARIANCE + LOW**2) / (VARIANCE + s**2))


def levels(num_steps: int) -> Tensor:
    ramp = torch.arange(num_steps, dtype=torch.float64) / (num_steps - 1)
    return (HIGH ** (1 / 7) + ramp * (LOW ** (1 / 7) - HIGH ** (1 / 7))) ** 7


def exact_trajectories(count: int, num_steps: int) -> Tensor:
    """(count, num_steps + 1, 1, 2, 2): exact, with their point at sigma_min as the end."""
    start = (
        MEAN
        + torch.sqrt(torch.tensor(VARIANCE + HIGH**2))
        * torch.randn(count, 1, 1, 2, 2, generator=seeded(5)).double()
    )
    s = levels(num_steps).view(1, -1, 1, 1, 1)
    points = MEAN + (start - MEAN) * torch.sqrt((VARIANCE + s**2) / (VARIANCE + HIGH**2))
    return torch.cat([points, points[:, -1:]], 1).float()
