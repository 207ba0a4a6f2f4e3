r"""Step-size adaptation by dual averaging: acceptance is driven to its target during the warm-up,
per image.

With $H_k$ the running error of the acceptance (averaged over the image's chains),
$$\ln \tau_{k+1} = \mu - \frac{\sqrt k}{\gamma} \bar H_k, \qquad \bar H_k = \Big(1 - \frac1{k+t_0}\Big) \bar H_{k-1} + \frac1{k+t_0} (\delta - \alpha_k),$$
$$\ln \bar\tau_k = k^{-\kappa} \ln \tau_k + (1 - k^{-\kappa}) \ln \bar\tau_{k-1}.$$
No step exceeds `largest`. The averaged step is used after the warm-up.

An unadjusted kernel has no acceptance to adapt to. Euler-Maruyama on a Gaussian of precision h
multiplies an offset by $1 - \tau h$ a step, so it is stable for $\tau < 2 / h$, with the stationary
variance $2 / (h (2 - \tau h))$ instead of $1 / h$; `largest_stable_step` takes h from the
curvature.

References: Hoffman and Gelman, The No-U-Turn Sampler, 2014, section 3.2; Roberts and Tweedie,
Exponential convergence of Langevin distributions and their discrete approximations, 1996 (stability
of the unadjusted scheme).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError
from ..gaussians.low_rank import LowRank


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
    """

    target_accept: float = 0.574
    gamma: float = 0.05
    t0: float = 10.0
    kappa: float = 0.75
    largest: float = math.inf

    def __post_init__(self) -> None:
        if not 0.0 < self.target_accept < 1.0:
            raise ConfigError(f"target_accept must lie in (0, 1), got {self.target_accept}")
        if not (
            0.0 < self.gamma < math.inf and 0.0 <= self.t0 < math.inf and 0.0 < self.kappa <= 1.0
        ):
            raise ConfigError(
                f"gamma must be positive, t0 at least 0 and kappa in (0, 1], got {self.gamma}, "
                f"{self.t0} and {self.kappa}"
            )
        if not self.largest > 0.0:
            raise ConfigError(f"largest must be positive, got {self.largest}")

    def start(self, step_size: float | Tensor, num_images: int) -> Tensor:
        """The adaptation's state before the first step.

        Arguments:
            step_size: first step, one number or (N,).
            num_images: N.

        Returns:
            (4, N) float64: mu, ln tau, ln of the averaged tau, H.
        """
        log_step = torch.as_tensor(step_size, dtype=torch.float64).log().expand(num_images).clone()
        return torch.stack(
            [
                log_step + torch.log(torch.tensor(10.0, dtype=torch.float64)),
                log_step,
                log_step,
                torch.zeros_like(log_step),
            ]
        )

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
        log_step = (mu - k**0.5 / self.gamma * error).clamp(max=math.log(self.largest))
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


def largest_stable_step(preconditioner: LowRank, fraction: float = 0.5) -> Tensor:
    r"""A step for Euler-Maruyama without adjustment, from the top curvature eigenvalue:
    $\tau = 2 f / (1 + \lambda_{max})$.

    On a Gaussian posterior with this H the scheme is stable below f = 1, and the variance of its
    stiffest direction comes out 1 / (1 - f) times too large: twice at one half, all other
    directions less. A heuristic: elsewhere than where H was taken, the curvature may be larger.

    Arguments:
        preconditioner: H = I + U Lambda U^T from `gauss_newton`; a rank of 1 is enough.
        fraction: f in (0, 1).

    Returns:
        (N,) float64, one step per image.

    Raises:
        ConfigError: fraction outside (0, 1), or a preconditioner of another kind.
    """
    if not isinstance(
        preconditioner, LowRank
    ):  # the mean of a band may be far below the largest eigenvalue
        raise ConfigError(
            "the largest curvature is read from a low-rank Gaussian, got "
            f"{type(preconditioner).__name__}: give nw.gauss_newton(..., rank=1)"
        )
    if not 0.0 < fraction < 1.0:
        raise ConfigError(
            f"fraction must lie in (0, 1), got {fraction}: at 1 the unadjusted scheme is no "
            "longer stable"
        )
    top = torch.nn.functional.pad(preconditioner.eigenvalues.to(torch.float64), (0, 1)).amax(
        1
    )  # the pad: rank 0 means curvature 0
    return 2.0 * fraction / (1.0 + top)
