r"""Step-size adaptation by dual averaging: acceptance is driven to its target during the warm-up,
per image.

With $H_k$ the running error of the acceptance (averaged over the image's chains),
$$\ln \tau_{k+1} = \mu - \frac{\sqrt k}{\gamma} \bar H_k, \qquad
\bar H_k = \Big(1 - \frac1{k+t_0}\Big) \bar H_{k-1} + \frac1{k+t_0} (\delta - \alpha_k),$$
$$\ln \bar\tau_k = k^{-\kappa} \ln \tau_k + (1 - k^{-\kappa}) \ln \bar\tau_{k-1}.$$
No step exceeds `largest`. The averaged step is used after the warm-up.

An unadjusted kernel has no acceptance to adapt to. Euler-Maruyama on a Gaussian of precision h
multiplies an offset by $1 - \tau h$ a step, so it is stable for $\tau < 2 / h$, with the stationary
variance $2 / (h (2 - \tau h))$ instead of $1 / h$; `gaussians.low_rank.largest_stable_step` takes h
from the curvature.

Reference: Hoffman and Gelman, The No-U-Turn Sampler, 2014, section 3.2.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .._checks import real
from ..errors import ConfigError

MOST = 50.0  # ln of the largest step and of one over the smallest, of kernels that have no bound


@dataclass(frozen=True)
class DualAveraging:
    """Adapts ln(step size) until the acceptance meets its target.

    Arguments:
        target_accept: delta in (0, 1); 0.574 is optimal for MALA in high dimension.
        gamma: strength of the shrinkage towards mu, positive.
        t0: damping of the first iterations, at least 0.
        kappa: decay of the averaging weights, in (0, 1].
        largest: step that is never exceeded, positive.

    Raises:
        ConfigError: a value outside its range.

    Example:
        >>> nw.DualAveraging(0.8).final(nw.DualAveraging(0.8).start(0.1, num_images=2))
        tensor([0.1000, 0.1000], dtype=torch.float64)
    """

    target_accept: float = 0.574
    gamma: float = 0.05
    t0: float = 10.0
    kappa: float = 0.75
    largest: float = math.inf

    def __post_init__(self) -> None:
        real("target_accept", self.target_accept, above=0.0, below=1.0)
        real("gamma", self.gamma, above=0.0)
        real("t0", self.t0, least=0.0)
        real("kappa", self.kappa, above=0.0, most=1.0)
        if not self.largest > 0.0:
            raise ConfigError(f"largest must be positive, got {self.largest}")

    def start(self, step_size: float | Tensor, num_images: int) -> Tensor:
        """(4, N) float64, before the first step: mu, ln tau, ln of the averaged tau, H."""
        log_step = torch.as_tensor(step_size, dtype=torch.float64).log().expand(num_images).clone()
        mu = log_step + torch.log(torch.tensor(10.0, dtype=torch.float64))
        return torch.stack([mu, log_step, log_step, torch.zeros_like(log_step)])

    def update(self, adaptation: Tensor, acceptance_rate: Tensor, k: int) -> Tensor:
        """The next state, from the (B,) acceptance of the k-th step, counted from 1."""
        mu, _, log_average, error = adaptation
        alpha = acceptance_rate.to(adaptation).nan_to_num(0.0).reshape(len(mu), -1).mean(1)
        weight = 1.0 / (k + self.t0)
        error = (1.0 - weight) * error + weight * (self.target_accept - alpha)
        log_step = mu - k**0.5 / self.gamma * error
        log_step = log_step.clamp(-MOST, min(MOST, math.log(self.largest)))
        decay = k**-self.kappa
        return torch.stack([mu, log_step, decay * log_step + (1.0 - decay) * log_average, error])

    @staticmethod
    def current(adaptation: Tensor) -> Tensor:
        """(N,) float64, the step to try next."""
        return adaptation[1].exp()

    @staticmethod
    def final(adaptation: Tensor) -> Tensor:
        """(N,) float64, the step to keep after the warm-up."""
        return adaptation[2].exp()
