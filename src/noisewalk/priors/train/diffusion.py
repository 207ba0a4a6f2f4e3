r"""EDM's denoising loss for the teacher.

$$\mathbb{E}\; \lambda(\sigma) \| D(x + \sigma n, \sigma) - x \|^2, \qquad \ln \sigma \sim N(P_{mean}, P_{std}^2),
\qquad \lambda = (\sigma^2 + \sigma_d^2) / (\sigma \sigma_d)^2$$

Reference: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022,
equation 8 and Table 1.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..denoiser import NetworkDenoiser
from .checks import check_above, check_kind
from .draws import unit_noise


@dataclass(frozen=True)
class DiffusionLoss:
    """EDM's loss of a batch.

    Arguments:
        denoiser: the scaling around the network that is trained, kind "edm".
        p_mean: mean of ln(sigma).
        p_std: standard deviation of ln(sigma).

    Raises:
        ConfigError: a value that is not allowed.
    """

    denoiser: NetworkDenoiser
    p_mean: float = -1.2
    p_std: float = 1.2
    nfe: ClassVar[int] = 1
    """Network calls per image."""

    def __post_init__(self) -> None:
        check_kind("denoiser", self.denoiser, "edm")
        check_above("p_mean", self.p_mean, -math.inf)
        check_above("p_std", self.p_std, 0.0)

    def __call__(
        self, network: nn.Module, x: Tensor, generator: torch.Generator, done: float
    ) -> Tensor:
        """Loss per image.

        Arguments:
            network: the module under training.
            x: (B, C, H, W) clean images in [-1, 1].
            generator: source of the noise, on the CPU whatever x's device.
            done: share of the training done; unused here.

        Returns:
            (B,) loss per image, averaged over pixels.
        """
        denoise = replace(self.denoiser, network=network)
        sigma = torch.exp(self.p_mean + self.p_std * torch.randn(len(x), generator=generator)).to(
            x.device
        )
        noise = unit_noise(x, generator)
        weight = (sigma**2 + denoise.sigma_data**2) / (sigma * denoise.sigma_data) ** 2
        error = denoise(x + sigma.view(-1, 1, 1, 1) * noise, sigma) - x
        return weight * error.float().square().flatten(1).mean(1)
