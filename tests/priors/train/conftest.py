"""A network played by a function, so that what a loss compares is known in closed form; it keeps
the points it was asked about."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from noisewalk.priors.denoiser import NetworkDenoiser

sys.path.insert(0, str(Path(__file__).parent))  # the tests share tiny_training, gaussian_flow

SIGMA_DATA, SIGMA_MIN = 0.5, 0.002


class Call(NamedTuple):
    """One question to the denoiser."""

    x: Tensor
    sigma: Tensor
    with_grad: bool


class Played(nn.Module):
    """F such that f(x, sigma) = function(x, sigma) + shift under the scaling of the published
    checkpoints; shift is the one weight, at 0."""

    def __init__(self, kind: str, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.lowest = SIGMA_MIN if kind == "consistency" else 0.0
        self.function = function
        self.shift = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.calls: list[Call] = []

    def forward(self, h: Tensor, t: Tensor, class_labels: Tensor | None = None) -> SimpleNamespace:
        sigma = torch.exp(t / 250.0)
        s = sigma.view(-1, 1, 1, 1)
        x = h * torch.sqrt(s**2 + SIGMA_DATA**2)
        self.calls.append(Call(x.detach(), sigma.detach(), torch.is_grad_enabled()))
        skip = SIGMA_DATA**2 / ((s - self.lowest) ** 2 + SIGMA_DATA**2)
        out = (s - self.lowest) * SIGMA_DATA / torch.sqrt(s**2 + SIGMA_DATA**2)
        return SimpleNamespace(
            sample=(self.function(x, s) + self.shift - skip * x) / out.clamp(min=1e-9)
        )


@pytest.fixture
def play() -> Callable[..., NetworkDenoiser]:
    """Make a denoiser of a kind and shape that computes a function of (x, sigma), sigma of shape
    (B, 1, 1, 1)."""

    def make(
        kind: str, function: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...] = (1, 2, 2)
    ) -> NetworkDenoiser:
        return NetworkDenoiser(Played(kind, function), kind, shape)

    return make
