r"""EDM's denoising loss for the teacher.

$$\mathbb{E}\; \lambda(\sigma) \| D(x + \sigma n, \sigma) - x \|^2, \qquad
\ln \sigma \sim N(P_{mean}, P_{std}^2), \qquad
\lambda = (\sigma^2 + \sigma_d^2) / (\sigma \sigma_d)^2$$

Reference: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022,
equation 8 and Table 1.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Generator, Tensor, nn

from ...._checks import real
from ...denoiser import NetworkDenoiser, check_kind
from .noise import column, lognormal, unit_noise


@dataclass(frozen=True)
class DiffusionLoss:
    """EDM's loss of a batch; P_mean and P_std are those of ln(sigma)."""

    denoiser: NetworkDenoiser
    p_mean: float = -1.2
    p_std: float = 1.2
    nfe: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_kind("denoiser", self.denoiser, "edm")
        real("p_mean", self.p_mean)
        real("p_std", self.p_std, above=0.0)

    def __call__(self, network: nn.Module, x: Tensor, generator: Generator, done: float) -> Tensor:
        """The loss of each image, averaged over its pixels."""
        denoise = replace(self.denoiser, network=network)
        sigma = lognormal(self.p_mean, self.p_std, len(x), generator).to(x.device)
        noise = unit_noise(x, generator)
        weight = (sigma**2 + denoise.sigma_data**2) / (sigma * denoise.sigma_data) ** 2
        error = denoise(x + column(sigma) * noise, sigma) - x
        return weight * error.float().square().flatten(1).mean(1)
