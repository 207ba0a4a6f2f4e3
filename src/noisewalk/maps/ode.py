r"""The probability-flow ODE of a denoiser as a deterministic map from noise to data.

$$\frac{dx}{d\sigma} = \frac{x - D(x, \sigma)}{\sigma}, \qquad
x(\sigma_{max}) = \sigma_{max} z, \qquad \Phi(z) = x(0),$$
on the grid $\sigma_i = (\sigma_{max}^{1/\rho} + \tfrac{i}{n-1} (\sigma_{min}^{1/\rho} -
\sigma_{max}^{1/\rho}))^\rho$, $\rho = 7$, and a final 0. "euler" is DDIM; "heun" corrects each step
by the trapezoidal rule, except the last one to 0, where the slope has no limit. The gradient can be
had in the ways of `integrate.py`; its "adjoint" covers sigma_max to sigma_min, and the last step is
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
from .integrate import CALLS, check_integration, integrate


def karras_sigmas(
    num_steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0, offset: float = 0.0
) -> Tensor:
    """The noise levels of Karras et al. from sigma_max down to sigma_min, (num_steps,) float64,
    without the final 0; `offset`, from -1/2 to 1/2, moves those in between along the grid."""
    ramp = torch.linspace(0, 1, num_steps, dtype=torch.float64)
    if offset:
        ramp[1:-1] += offset / (num_steps - 1)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return (high + ramp * (low - high)) ** rho


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

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> import noisewalk as nw
        >>> class Denoiser(SimpleNamespace):  # of N(0, I) data
        ...     def __call__(self, x_t, sigma):
        ...         return x_t / (1 + sigma**2)
        >>> denoiser = Denoiser(shape=(1, 2, 2), sigma_min=0.002, sigma_max=80.0)
        >>> phi, z = nw.maps.ProbabilityFlow(denoiser, num_steps=50), torch.ones(1, 1, 2, 2)
        >>> torch.allclose(phi(z), z, atol=0.02), phi.nfe
        (True, 99)
    """

    denoiser: Denoiser
    num_steps: int = 18
    solver: str = "heun"
    gradient: str = "checkpoint"

    def __post_init__(self) -> None:
        steps = check_integration(
            self.solver, self.gradient, self.num_steps, ("heun", "euler"), least=2
        )
        vars(self).update(num_steps=steps)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one z and of one x."""
        return tuple(self.denoiser.shape)

    data_shape = shape

    @property
    def nfe(self) -> int:
        """Network calls per evaluation."""
        return CALLS[self.solver] * (self.num_steps - 1) + 1

    def __call__(self, z: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        *_, x = self.path(z)
        return x

    def path(self, z: Tensor, offset: float = 0.0) -> Iterator[Tensor]:
        """The num_steps + 1 states of the solver, (B, C, H, W), from sigma_max z to Phi(z), with
        the grid moved by `offset` as in `karras_sigmas`."""
        low, high = self.denoiser.sigma_min, self.denoiser.sigma_max
        sigmas = karras_sigmas(self.num_steps, low, high, offset=offset).tolist()
        x = high * z
        yield x
        for state in integrate(self._slope, x, sigmas, self.solver, self.gradient):
            yield (x := state)
        last = "direct" if self.gradient == "adjoint" else self.gradient
        yield from integrate(self._slope, x, [sigmas[-1], 0.0], "euler", last)

    def _slope(self, x: Tensor, sigma: Tensor) -> Tensor:
        return (x - self.denoiser(x, sigma)) / sigma
