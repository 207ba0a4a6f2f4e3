"""The probability-flow ODE of a denoiser as a deterministic map from noise to data."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .._repr import readable
from ..types import Denoiser
from .integrate import CALLS, check_integration, integrate


def karras_sigmas(
    num_steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0, offset: float = 0.0
) -> Tensor:
    """Noise levels from sigma_max down, the inner ones moved by `offset`, from -1/2 to 1/2."""
    return torch.tensor(_sigmas(num_steps, sigma_min, sigma_max, rho, offset), dtype=torch.float64)


def _sigmas(
    num_steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0, offset: float = 0.0
) -> list[float]:
    ramp = np.linspace(0.0, 1.0, num_steps)  # no tensor: they have no numbers in forward mode
    if offset:
        ramp[1:-1] += offset / (num_steps - 1)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return ((high + ramp * (low - high)) ** rho).tolist()


@readable
@dataclass(frozen=True, eq=False, repr=False)
class ProbabilityFlow:
    r"""Phi(z) = x(0) by integrating the probability flow from x(sigma_max) = sigma_max z.

    $$\frac{dx}{d\sigma} = \frac{x - D(x, \sigma)}{\sigma}$$
    on the grid of Karras et al. with $\rho = 7$, then 0. "euler" is DDIM; "heun" corrects each step
    but the last, where the slope has no limit. That step is always differentiated directly.
    Reference: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models,
    2022, Algorithm 1 and equation 5.

    Arguments:
        denoiser: D(x, sigma).
        num_steps: steps n, the last one to 0.
        solver: "heun" (2n - 1 network calls) or "euler" (n calls).
        gradient: "direct" keeps every activation; "checkpoint" recomputes each step backwards;
            "adjoint" (needs the extra `ode`) has the gradient of Phi up to the solver's order.

    Raises:
        ConfigError: a value that is not allowed.
        MissingExtraError: gradient "adjoint" without torchdiffeq.

    Example:
        >>> denoiser = lambda x_t, sigma: x_t / (1 + sigma**2)  # of N(0, I) data
        >>> denoiser.shape, denoiser.sigma_min, denoiser.sigma_max = (1, 2, 2), 0.002, 80.0
        >>> phi, z = nw.maps.ProbabilityFlow(denoiser, num_steps=50), torch.ones(1, 1, 2, 2)
        >>> torch.allclose(phi(z), z, atol=0.02), phi.nfe
        (True, 99)
    """

    denoiser: Denoiser
    num_steps: int = 18
    solver: str = "heun"
    gradient: str = "checkpoint"
    shape: tuple[int, ...] = field(init=False, repr=False)
    data_shape: tuple[int, ...] = field(init=False, repr=False)
    nfe: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        steps = check_integration(self.solver, self.gradient, self.num_steps, ("heun", "euler"), 2)
        nfe, shape = CALLS[self.solver] * (steps - 1) + 1, tuple(self.denoiser.shape)
        vars(self).update(num_steps=steps, shape=shape, data_shape=shape, nfe=nfe)

    def __call__(self, z: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        *_, x = self.path(z)
        return x

    def path(self, z: Tensor, offset: float = 0.0) -> Iterator[Tensor]:
        """The num_steps + 1 states of the solver, with the grid moved by `offset`."""
        low, high = self.denoiser.sigma_min, self.denoiser.sigma_max
        sigmas = _sigmas(self.num_steps, low, high, offset=offset)
        x = high * z
        yield x
        for state in integrate(self._slope, x, sigmas, self.solver, self.gradient):
            yield (x := state)
        last = "direct" if self.gradient == "adjoint" else self.gradient
        yield from integrate(self._slope, x, [sigmas[-1], 0.0], "euler", last)

    def _slope(self, x: Tensor, sigma: Tensor) -> Tensor:
        return (x - self.denoiser(x, sigma)) / sigma
