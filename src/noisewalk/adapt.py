r"""Step-size adaptation by dual averaging: acceptance is driven to its target during the warm-up, per image.

With $H_k$ the running error of the acceptance (averaged over the image's chains),
$$\ln \tau_{k+1} = \mu - \frac{\sqrt k}{\gamma} \bar H_k, \qquad \bar H_k = \Big(1 - \frac1{k+t_0}\Big) \bar H_{k-1} + \frac1{k+t_0} (\delta - \alpha_k),$$
$$\ln \bar\tau_k = k^{-\kappa} \ln \tau_k + (1 - k^{-\kappa}) \ln \bar\tau_{k-1}.$$
The averaged step is used after the warm-up.

Reference: Hoffman and Gelman, The No-U-Turn Sampler, 2014, section 3.2.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import ConfigError


@dataclass(frozen=True)
class DualAveraging:
    """Adapts ln(step size) until the acceptance meets its target.

    Arguments:
        target_accept: delta in (0, 1); 0.574 is optimal for MALA in high dimension.
        gamma: strength of the shrinkage towards mu.
        t0: damping of the first iterations.
        kappa: decay of the averaging weights.

    Raises:
        ConfigError: target_accept outside (0, 1).
    """

    target_accept: float = 0.574
    gamma: float = 0.05
    t0: float = 10.0
    kappa: float = 0.75

    def __post_init__(self) -> None:
        if not 0.0 < self.target_accept < 1.0:
            raise ConfigError(f"target_accept must lie in (0, 1), got {self.target_accept}")

    def start(self, step_size: float | Tensor, num_images: int) -> Tensor:
        """The adaptation's state before the first step.

        Arguments:
            step_size: first step, one number or (N,).
            num_images: N.

        Returns:
            (4, N) float64: mu, ln tau, ln of the averaged tau, H.
        """
        log_step = torch.as_tensor(step_size, dtype=torch.float64).log().expand(num_images).clone()
        return torch.stack([log_step + torch.log(torch.tensor(10.0, dtype=torch.float64)), log_step, log_step, torch.zeros_like(log_step)])

    def update(self, adaptation: Tensor, acceptance_rate: Tensor, k: int) -> Tensor:
        """One update.

        Arguments:
            adaptation: as from `start`.
            acceptance_rate: (B,) of the step just taken, image-major.
            k: the step's number, from 1.

        Returns:
            The next state.
        """
        mu, _, log_average, error = adaptation
        alpha = acceptance_rate.to(adaptation).reshape(len(mu), -1).mean(1)
        weight = 1.0 / (k + self.t0)
        error = (1.0 - weight) * error + weight * (self.target_accept - alpha)
        log_step = mu - k**0.5 / self.gamma * error
        decay = k**-self.kappa
        return torch.stack([mu, log_step, decay * log_step + (1.0 - decay) * log_average, error])

    @staticmethod
    def current(adaptation: Tensor) -> Tensor:
        """The step to try next.

        Arguments:
            adaptation: the state.

        Returns:
            (N,) float64.
        """
        return adaptation[1].exp()

    @staticmethod
    def final(adaptation: Tensor) -> Tensor:
        """The step to keep after the warm-up.

        Arguments:
            adaptation: the state.

        Returns:
            (N,) float64.
        """
        return adaptation[2].exp()
