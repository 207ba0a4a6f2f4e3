r"""Loss-guided diffusion: DPS with M perturbed copies of the estimate.

$$\hat x_0^{(m)} = \hat x_0 + r_i \epsilon^{(m)}, \qquad r_i = \sigma_i / \sqrt{1 + \sigma_i^2},$$
$$p_i = \zeta \sigma_i \nabla_{x_i} \sum_m \lVert y - A(\hat x_0^{(m)}) \rVert
\quad \text{(released)}, \qquad
p_i = -\zeta \nabla_{x_i} \log \frac{1}{M} \sum_m \exp(-L_y(\hat x_0^{(m)})) \quad \text{(text)}$$
The released sum is not divided by M, so zeta and M go together. At M = 1 and small $\sigma_i$ it is
DPS.
"""

import math

import torch
from torch import Tensor

from ..._checks import real, whole
from ...noise import JITTER
from ...types import Denoiser, Likelihood, Operator
from .ancestral import ancestral
from .batch import Batch, Block, measured
from .rules import loss_of, through


@torch.inference_mode(False)
def lgd(
    denoiser: Denoiser,
    operator: Operator,
    y: Tensor,
    num_samples: int = 1,
    num_steps: int = 100,
    seed: int = 0,
    rule: str = "released",
    likelihood: Likelihood | None = None,
    zeta: float = 3.0,
    num_mc: int = 10,
    batch_size: int | None = None,
    progress: bool = True,
    first_image: int = 0,
) -> Tensor:
    """Restore by loss-guided diffusion.

    The samples are not the posterior's, however many steps there are. Cost: num_steps network calls
    a sample, each differentiated, and num_mc calls of the operator for each.
    Reference: Song et al., Loss-Guided Diffusion Models for Plug-and-Play Controllable Generation,
    2023.

    Arguments:
        denoiser: f(x_t, sigma), a diffusion or a consistency model.
        operator: A; its unobserved entries of y are not read.
        y: (N, *y) measurements; the samples have its type and device.
        num_samples: samples per image.
        num_steps: noise levels above 0, at least 2.
        seed: of all noise, keyed by image, sample and step.
        rule: "released" (the paper's code) or "text" (its Appendix B.2).
        likelihood: p(y | A(x)), needed by "text", not read by "released".
        zeta: guidance weight, 0 or more: 0.5 to 30 in the paper ("released"), far less for "text".
        num_mc: M, copies of each estimate, 1 or more.
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
        >>> nw.baselines.lgd(denoiser, lambda x: x[:, :1], torch.ones(1, 1), num_steps=9).shape
        torch.Size([1, 1, 2])
    """
    zeta, copies = real("zeta", zeta, least=0), whole("num_mc", num_mc)
    one = loss_of(rule, operator, likelihood)
    y, observed = measured(denoiser, operator, y)
    batch = Batch(denoiser, y, observed, num_samples, seed, first_image, batch_size, progress)

    def guide(x: Tensor, sigma: float, block: Block) -> tuple[Tensor, Tensor]:
        epsilon = block.noise.normal((copies, *batch.shape), JITTER, x.dtype)
        y, image = (part.repeat_interleave(copies, 0) for part in (block.y, block.image))
        repeated = block._replace(y=y, image=image)

        def loss(x0: Tensor) -> Tensor:
            perturbed = x0.unsqueeze(1) + sigma / math.sqrt(1 + sigma**2) * epsilon
            losses = one(perturbed.flatten(0, 1), repeated).unflatten(0, (-1, copies))
            if rule == "released":
                return losses.sum(1)
            return math.log(copies) - torch.logsumexp(-losses, 1)

        return through(denoiser, x, sigma, rule, zeta, loss)

    return ancestral(denoiser, batch, num_steps, guide)
