r"""The probability-flow ODE of a denoiser as a deterministic map from noise to data.

$$\frac{dx}{d\sigma} = \frac{x - D(x, \sigma)}{\sigma}, \qquad x(\sigma_{max}) = \sigma_{max} z, \qquad \Phi(z) = x(0),$$
on the grid $\sigma_i = (\sigma_{max}^{1/\rho} + \tfrac{i}{n-1} (\sigma_{min}^{1/\rho} - \sigma_{max}^{1/\rho}))^\rho$, $\rho = 7$, and a final 0.
"euler" is DDIM; "heun" corrects each step by the trapezoidal rule, except the last one to 0.

Reference: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022, Algorithm 1 and equation 5.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..errors import ConfigError
from ..repr import readable
from ..types import Denoiser


def karras_sigmas(num_steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """The noise levels of Karras et al., descending.

    Arguments:
        num_steps: levels, at least 2.
        sigma_min: the last.
        sigma_max: the first.
        rho: curvature of the grid.

    Returns:
        (num_steps,) float64, without the final 0.
    """
    ramp = torch.linspace(0, 1, num_steps, dtype=torch.float64)
    return (sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho


@readable
@dataclass(frozen=True, eq=False, repr=False)
class ProbabilityFlow:
    """Phi(z) by integrating the probability flow.

    Arguments:
        denoiser: D(x, sigma).
        num_steps: steps n, the last one to 0.
        solver: "heun" (2n - 1 network calls) or "euler" (n calls).
        gradient: "direct" keeps every activation, "checkpoint" recomputes each step in the backward pass.
    """

    denoiser: Denoiser
    num_steps: int = 18
    solver: str = "heun"
    gradient: str = "checkpoint"

    def __post_init__(self) -> None:
        if self.solver not in ("heun", "euler"):
            raise ConfigError(f"unknown solver {self.solver!r}: choose 'heun' or 'euler'")
        if self.gradient not in ("direct", "checkpoint"):
            raise ConfigError(f"unknown gradient {self.gradient!r}: choose 'direct' or 'checkpoint'")
        if self.num_steps < 2:
            raise ConfigError(f"num_steps must be at least 2, got {self.num_steps}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one z."""
        return tuple(self.denoiser.shape)

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of one x."""
        return tuple(self.denoiser.shape)

    @property
    def nfe(self) -> int:
        """Network calls per evaluation."""
        return 2 * self.num_steps - 1 if self.solver == "heun" else self.num_steps

    def __call__(self, z: Tensor) -> Tensor:
        """Map.

        Arguments:
            z: (B, C, H, W).

        Returns:
            (B, C, H, W).
        """
        *_, x = self.path(z)
        return x

    def path(self, z: Tensor) -> Iterator[Tensor]:
        """The solver's states.

        Arguments:
            z: (B, C, H, W).

        Yields:
            num_steps + 1 tensors (B, C, H, W), from sigma_max z to Phi(z).
        """
        sigmas = [*karras_sigmas(self.num_steps, self.denoiser.sigma_min, self.denoiser.sigma_max).tolist(), 0.0]
        x = self.denoiser.sigma_max * z
        yield x
        for sigma, after in pairwise(sigmas):
            if self.gradient == "checkpoint" and torch.is_grad_enabled():
                x = checkpoint(self._step, x, sigma, after, use_reentrant=False)
            else:
                x = self._step(x, sigma, after)
            yield x

    def _step(self, x: Tensor, sigma: float, after: float) -> Tensor:
        slope = (x - self.denoiser(x, torch.tensor(sigma, device=x.device))) / sigma
        moved = x + (after - sigma) * slope
        if self.solver == "euler" or after == 0.0:
            return moved
        corrected = (moved - self.denoiser(moved, torch.tensor(after, device=x.device))) / after
        return x + (after - sigma) * 0.5 * (slope + corrected)
