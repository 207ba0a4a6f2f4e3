r"""Diffusion posterior sampling: the gradient of the measurement's loss in $x_i$, taken through the
network, pushes every ancestral step.

$$p_i = \zeta \sigma_i \nabla_{x_i} \lVert y - A(\hat x_0(x_i)) \rVert \quad \text{(released)},
\qquad p_i = \zeta \nabla_{x_i} L_y(\hat x_0(x_i)) \quad \text{(text)}$$
"""

import torch
from torch import Tensor

from ..._checks import real
from ...types import Denoiser, Likelihood, Operator
from .ancestral import ancestral
from .batch import Batch, Block, measured
from .rules import loss_of, through


@torch.inference_mode(False)
def dps(
    denoiser: Denoiser,
    operator: Operator,
    y: Tensor,
    num_samples: int = 1,
    num_steps: int = 100,
    seed: int = 0,
    rule: str = "released",
    likelihood: Likelihood | None = None,
    zeta: float = 20.0,
    batch_size: int | None = None,
    progress: bool = True,
    first_image: int = 0,
) -> Tensor:
    """Restore by diffusion posterior sampling.

    The likelihood of x_t is taken to be that of the estimate of x_0, so the samples are not the
    posterior's, however many steps there are. Cost: num_steps network calls a sample, each
    differentiated. Reference: Chung et al., Diffusion Posterior Sampling for General Noisy Inverse
    Problems, 2023, Algorithm 1.

    Arguments:
        denoiser: f(x_t, sigma), a diffusion or a consistency model.
        operator: A; its unobserved entries of y are not read.
        y: (N, *y) measurements; the samples have its type and device.
        num_samples: samples per image.
        num_steps: noise levels above 0, at least 2.
        seed: of all noise, keyed by image, sample and step.
        rule: "released" (the paper's code) or "text" (its Appendix B.2).
        likelihood: p(y | A(x)), needed by "text", not read by "released".
        zeta: guidance weight, 0 or more: 4 to 30 in the paper ("released"), far less for "text".
        batch_size: rows per network call; None: all at once.
        progress: show a progress bar on a terminal, a line a minute elsewhere.
        first_image: number of y's first image in the noise's key, for images taken in parts.

    Returns:
        (image, sample, *x), never clamped.

    Raises:
        ConfigError: a value out of range, or y does not fit the operator.

    Example:
        >>> denoiser = lambda x_t, sigma: x_t / (1 + sigma**2)  # of the prior N(0, I)
        >>> denoiser.shape, denoiser.sigma_min, denoiser.sigma_max = (2,), 0.002, 80.0
        >>> nw.baselines.dps(denoiser, lambda x: x[:, :1], torch.ones(1, 1), num_samples=4).shape
        torch.Size([1, 4, 2])
    """
    zeta = real("zeta", zeta, least=0)
    loss = loss_of(rule, operator, likelihood)
    y, observed = measured(denoiser, operator, y)
    batch = Batch(denoiser, y, observed, num_samples, seed, first_image, batch_size, progress)

    def guide(x: Tensor, sigma: float, block: Block) -> tuple[Tensor, Tensor]:
        return through(denoiser, x, sigma, rule, zeta, lambda x0: loss(x0, block))

    return ancestral(denoiser, batch, num_steps, guide)
