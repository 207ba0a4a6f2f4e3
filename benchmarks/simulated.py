"""Problems whose truth is a draw of the prior itself."""

from typing import Any

import torch

import noisewalk as nw


def simulated(
    prior: Any, operator: str, sigma_y: float, seed: int, num_images: int = 1
) -> nw.NoisePosterior:
    """Draw truths and measure them with Gaussian noise.

    Arguments:
        prior: from `nw.load_prior`.
        operator: as `nw.operators.parse` reads it.
        sigma_y: standard deviation of the noise.
        seed: of truth and noise. It must not be the seed of a run on this posterior, whose first
            chain would start at the truth.
        num_images: truths.

    Returns:
        Their posterior.
    """
    phi, made = prior.map(), nw.operators.parse(operator, prior.shape)
    likelihood = nw.likelihoods.Gaussian(sigma_y)
    with torch.no_grad():
        x = phi(nw.noise.rows(seed, num_images).normal(phi.shape, nw.noise.INIT))
    y = nw.simulate(made, likelihood, x, seed)
    return nw.NoisePosterior(phi, made, likelihood, y)
