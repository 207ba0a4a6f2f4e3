r"""The ancestral Euler loop that the guided methods share.

On the noise levels $\sigma_0 > \dots > \sigma_{N-1}$ of Karras et al. and a final $\sigma_N = 0$,
with $x_0 \sim N(0, \sigma_0^2 I)$,
$$x_{i+1} = \hat x_0 + \frac{\sigma_{i+1}^2}{\sigma_i^2} (x_i - \hat x_0)
+ \sigma_{i+1} \sqrt{1 - \sigma_{i+1}^2 / \sigma_i^2}\; n_i - p_i,$$
an Euler step down to $\sigma_{i+1}^2 / \sigma_i$ and noise up to $\sigma_{i+1}$. A method chooses
the estimate $\hat x_0$ and the push $p_i$.
Reference: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022,
equation 5.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ..._checks import one_of, whole
from ...maps.ode import karras_sigmas
from ...noise import PROPOSAL
from ...types import Denoiser
from .batch import Batch, Block
from .rules import RULES, estimate

# (x_i, sigma_i, block) -> the estimate of x_0, and the push
Guide: TypeAlias = Callable[[Tensor, float, Block], tuple[Tensor, "Tensor | float"]]


def ancestral(denoiser: Denoiser, batch: Batch, num_steps: int, guide: Guide) -> Tensor:
    """(image, sample, *x): walk a batch down the noise levels, with one call of `guide` a step."""
    num_steps = whole("num_steps", num_steps, 2)
    sigmas = [*karras_sigmas(num_steps, denoiser.sigma_min, denoiser.sigma_max).tolist(), 0.0]

    def step(x: Tensor, i: int, block: Block) -> Tensor:
        x0, push = guide(x, sigmas[i], block)
        ratio = (sigmas[i + 1] / sigmas[i]) ** 2
        down = x0 + ratio * (x - x0)
        if sigmas[i + 1] > 0:
            noise = block.noise.normal(batch.shape, PROPOSAL, x.dtype)
            down = down + sigmas[i + 1] * (1 - ratio) ** 0.5 * noise
        return down - push

    return batch.walk(sigmas[0], step, num_steps)


def unguided(
    denoiser: Denoiser,
    num_images: int = 1,
    num_samples: int = 1,
    num_steps: int = 100,
    seed: int = 0,
    rule: str = "released",
    batch_size: int | None = None,
    progress: bool = True,
    first_image: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Samples of the prior: what every guided method draws at zeta = 0, bit by bit.

    Cost: num_steps network calls a sample.

    Arguments:
        denoiser: f(x_t, sigma), a diffusion or a consistency model.
        num_images: images of the noise's key.
        num_samples: samples of each.
        num_steps: noise levels above 0, at least 2.
        seed: of all noise.
        rule: "released" clamps every estimate of x_0 to [-1, 1], "text" does not.
        batch_size: rows per network call; None: all at once.
        progress: show a progress bar on a terminal, a line a minute elsewhere.
        first_image: number of the first image in the noise's key.
        device: the denoiser's.
        dtype: of the samples.

    Returns:
        (image, sample, *x), never clamped.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> denoiser = lambda x_t, sigma: x_t / (1 + sigma**2)  # of the prior N(0, I)
        >>> denoiser.shape, denoiser.sigma_min, denoiser.sigma_max = (2,), 0.002, 80.0
        >>> nw.baselines.unguided(denoiser, num_images=3, num_samples=5, num_steps=10).shape
        torch.Size([3, 5, 2])
    """
    one_of("rule", rule, RULES)
    nothing = torch.zeros(whole("num_images", num_images), 0, device=device, dtype=dtype)
    batch = Batch(denoiser, nothing, None, num_samples, seed, first_image, batch_size, progress)

    def guide(x: Tensor, sigma: float, block: Block) -> tuple[Tensor, float]:
        return estimate(denoiser, x, sigma, rule), 0.0

    return ancestral(denoiser, batch, num_steps, guide)
