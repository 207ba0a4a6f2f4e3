"""Exact draws of a Gaussian posterior over small pictures, with their target and their truth."""

import torch

import noisewalk as nw

SIGMA = 0.5
SHAPE = (1, 12, 12)


def exact(images=1, chains=4, draws=8, seed=0, width=1.0):
    """x ~ N(0, 1) by pixel, y = x + N(0, SIGMA^2) where observed; draws `width` times too wide."""
    noise = torch.Generator().manual_seed(seed)
    truth = 0.4 * torch.randn(images, *SHAPE, generator=noise)
    y = truth + SIGMA * torch.randn(images, *SHAPE, generator=noise)
    precision = 1 / 0.4**2 + 1 / SIGMA**2
    mean = y / SIGMA**2 / precision
    size = images, chains, draws, *SHAPE
    fresh = torch.randn(size, generator=noise) * precision**-0.5 * width
    target = nw.NoisePosterior(
        nw.maps.Generator(Scaled(), SHAPE, SHAPE),
        torch.nn.Identity(),
        nw.likelihoods.Gaussian(SIGMA),
        y,
    )
    return mean[:, None, None] + fresh, target, truth


class Scaled(torch.nn.Module):
    """z -> 0.4 z."""

    def forward(self, z):
        return 0.4 * z
