r"""The probability-flow ODE of a denoiser as a deterministic map from noise to data.

$$\frac{dx}{d\sigma} = \frac{x - D(x, \sigma)}{\sigma}, \qquad x(\sigma_{max}) = \sigma_{max} z, \qquad \Phi(z) = x(0),$$
on the grid $\sigma_i = (\sigma_{max}^{1/\rho} + \tfrac{i}{n-1} (\sigma_{min}^{1/\rho} -
\sigma_{max}^{1/\rho}))^\rho$, $\rho = 7$, and a final 0. "euler" is DDIM; "heun" corrects each step
by the trapezoidal rule, except the last one to 0, where the slope has no limit. The gradient can be
had in the ways of `flow.py`; its "adjoint" covers sigma_max to sigma_min, and the last step is
always differentiated directly.

Reference: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022,
Algorithm 1 and equation 5.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .._repr import readable
from ..types import Denoiser
from .flow import CALLS, check_integration, integrate


def karras_sigmas(
    num_steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0, offset: float = 0.0
) -> Tensor:
    """The noise levels of Karras et al., descending.

    Arguments:
        num_steps: levels, at least 2.
        sigma_min: the last.
        sigma_max: the first.
        rho: curvature of the grid.
        offset: places of the grid, from -1/2 to 1/2, by which the levels between the first and the
            last are moved.

    Returns:
        (num_steps,) float64, without the final 0.
    """
    ramp = torch.linspace(0, 1, num_steps, dtype=torch.float64)
    if offset:
        ramp[1:-1] += offset / (num_steps - 1)
    return (
        sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))
    ) ** rho


@readable
@dataclass(frozen=True, eq=False, repr=False)
class ProbabilityFlow:
    """Phi(z) by integrating the probability flow.

    Arguments:
        denoiser: D(x, sigma).
        num_steps: steps n, the last one to 0.
        solver: "heun" (2n - 1 network calls) or "euler" (n calls).
        gradient: "direct" keeps every activation; "checkpoint" recomputes each step in the backward
            pass; "adjoint" (needs the extra `ode`) solves the adjoint equation, whose gradient is
            that of Phi up to the solver's order.

    Raises:
        ConfigError: a value that is not allowed.
        MissingExtraError: gradient "adjoint" without torchdiffeq.
    """

    denoiser: Denoiser
    num_steps: int = 18
    solver: str = "heun"
    gradient: str = "checkpoint"

    def __post_init__(self) -> None:
        check_integration(
            self.solver, self.gradient, self.num_steps, solvers=("heun", "euler"), fewest=2
        )

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
        return CALLS[self.solver] * (self.num_steps - 1) + 1

    def __call__(self, z: Tensor) -> Tensor:
        """Map.

        Arguments:
            z: (B, C, H, W).

        Returns:
            (B, C, H, W).
        """
        *_, x = self.path(z)
        return x

    def path(self, z: Tensor, offset: float = 0.0) -> Iterator[Tensor]:
        """The solver's states.

        Arguments:
            z: (B, C, H, W).
            offset: of the grid, as in `karras_sigmas`.

        Yields:
            num_steps + 1 tensors (B, C, H, W), from sigma_max z to Phi(z).
        """
        sigmas = karras_sigmas(
            self.num_steps, self.denoiser.sigma_min, self.denoiser.sigma_max, offset=offset
        ).tolist()
        start = self.denoiser.sigma_max * z
        yield start
        for x in integrate(self._slope, start, sigmas, self.solver, self.gradient):
            yield x
        yield from integrate(
            self._slope,
            x,
            [sigmas[-1], 0.0],
            "euler",
            "direct" if self.gradient == "adjoint" else self.gradient,
        )

    def _slope(self, x: Tensor, sigma: Tensor) -> Tensor:
        return (x - self.denoiser(x, sigma)) / sigma
