r"""Loss-guided diffusion: DPS with M perturbed copies of the estimate.

$$\hat x_0^{(m)} = \hat x_0 + r_i \epsilon^{(m)}, \qquad r_i = \sigma_i / \sqrt{1 + \sigma_i^2},$$
$$p_i = \zeta \sigma_i \nabla_{x_i} \sum_m \lVert y - A(\hat x_0^{(m)}) \rVert \quad \text{(released)}, \qquad
p_i = -\zeta \nabla_{x_i} \log \frac{1}{M} \sum_m \exp(-L_y(\hat x_0^{(m)})) \quad \text{(text)}$$

The released sum is not divided by M: zeta and M go together. At M = 1 and small $\sigma_i$ it is
DPS.

Reference: Song et al., Loss-Guided Diffusion Models for Plug-and-Play Controllable Generation,
2023.
"""

import math

import torch
from torch import Tensor

from ...noise import JITTER
from ...types import Denoiser, Likelihood, Operator
from .ancestral import ancestral, loss_of, through
from .batch import Block, Progress, measured, weight, whole_number


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
    progress: Progress | None = None,
    first_image: int = 0,
) -> Tensor:
    """Restore by loss-guided diffusion; num_steps network calls a sample, each differentiated, and
    num_mc of the operator for each.

    Arguments:
        denoiser: f(x_t, sigma), a diffusion or a consistency model.
        operator: A; its unobserved entries of y are not read.
        y: (N, *y) measurements; the samples have its type and device.
        num_samples: samples per image.
        num_steps: noise levels above 0, at least 2.
        seed: of all noise, keyed by image, sample and step.
        rule: "released" (the paper's code) or "text" (its Appendix B.2).
        likelihood: p(y | A(x)), needed by "text", not read by "released".
        zeta: guidance weight, 0 or more; 0.5 to 30 in the paper's tables, for "released"; rule
            "text" needs a much smaller one, as its gradient is that of the likelihood.
        num_mc: M, copies of each estimate, 1 or more.
        batch_size: rows per network call; None: all at once.
        progress: called as progress(step, num_steps), or None.
        first_image: number of y's first image in the noise's key: images taken in parts draw what
            they draw at once.

    Returns:
        (image, sample, *x), never clamped.

    Raises:
        ConfigError: a value out of range, or y does not fit the operator.
    """
    weight("zeta", zeta)
    whole_number("num_mc", num_mc, 1)
    one = loss_of(rule, operator, likelihood)
    batch = measured(denoiser, operator, y, num_samples, seed, first_image, batch_size, progress)

    def guide(x: Tensor, sigma: float, block: Block) -> tuple[Tensor, Tensor]:
        epsilon = block.noise.normal((num_mc, *batch.shape), JITTER, x.dtype)
        copies = block.repeat(num_mc)

        def loss(x0: Tensor) -> Tensor:
            perturbed = x0.unsqueeze(1) + sigma / math.sqrt(1 + sigma**2) * epsilon
            losses = one(perturbed.flatten(0, 1), copies).unflatten(0, (-1, num_mc))
            return (
                losses.sum(1)
                if rule == "released"
                else math.log(num_mc) - torch.logsumexp(-losses, 1)
            )

        x0, grad = through(denoiser, x, sigma, rule, loss)
        return x0, zeta * (sigma if rule == "released" else 1.0) * grad

    return ancestral(denoiser, batch, num_steps, guide)
