"""The noise of a training step and its levels."""

import torch
from torch import Generator, Tensor

from ...denoiser import NetworkDenoiser


def unit_noise(x: Tensor, generator: Generator) -> Tensor:
    """float32 noise N(0, I) of x's shape, from a generator on the CPU."""
    if not x.is_cuda:
        return torch.randn(x.shape, generator=generator).to(x.device)
    # drawn there: the CPU takes longer for the noise than a GPU for the step
    seed = int(torch.randint(2**62, (), generator=generator))
    own = Generator(x.device).manual_seed(seed)
    return torch.randn(x.shape, generator=own, device=x.device)


def lognormal(p_mean: float, p_std: float, count: int, generator: Generator) -> Tensor:
    """Levels on the CPU whose logarithm is N(p_mean, p_std^2)."""
    return torch.exp(p_mean + p_std * torch.randn(count, generator=generator))


def student_levels(
    denoiser: NetworkDenoiser, p_mean: float, p_std: float, count: int, generator: Generator
) -> Tensor:
    """Lognormal levels, kept between 2 sigma_min and sigma_max."""
    t = lognormal(p_mean, p_std, count, generator)
    return t.clamp(2 * denoiser.sigma_min, denoiser.sigma_max)


def column(t: Tensor) -> Tensor:
    """One number an image, (B, 1, 1, 1) to multiply images with."""
    return t.view(-1, 1, 1, 1)
