r"""Manifold-preserving guided diffusion, without its projection: the estimate
$\hat x_0 = f(x_i, \sigma_i)$ itself takes a gradient step, so no gradient goes through the network.

$$\hat x_0 \leftarrow \hat x_0 - 10 \zeta \nabla_{\hat x_0} \lVert y - A(\hat x_0) \rVert
\quad \text{(released)}, \qquad
\hat x_0 \leftarrow \hat x_0 - \zeta \nabla_{\hat x_0} L_y(\hat x_0) \quad \text{(text)}$$
The "released" rule clamps before the update, not after it. Its step has one length at every noise
level: what it overshoots in the last step is in the sample.
"""

import torch
from torch import Tensor

from ..._checks import real
from ...types import Denoiser, Likelihood, Operator
from .ancestral import ancestral
from .batch import Batch, Block, measured
from .rules import estimate, loss_of


@torch.inference_mode(False)
def mpgd(
    denoiser: Denoiser,
    operator: Operator,
    y: Tensor,
    num_samples: int = 1,
    num_steps: int = 100,
    seed: int = 0,
    rule: str = "released",
    likelihood: Likelihood | None = None,
    zeta: float = 1.0,
    batch_size: int | None = None,
    progress: bool = True,
    first_image: int = 0,
) -> Tensor:
    """Restore by manifold-preserving guided diffusion.

    The samples are not the posterior's, however many steps there are. Cost: num_steps network calls
    a sample, none differentiated. Reference: He et al., Manifold Preserving Guided Diffusion, 2024.

    Arguments:
        denoiser: f(x_t, sigma), a diffusion or a consistency model.
        operator: A; its unobserved entries of y are not read.
        y: (N, *y) measurements; the samples have its type and device.
        num_samples: samples per image.
        num_steps: noise levels above 0, at least 2.
        seed: of all noise, keyed by image, sample and step.
        rule: "released" (the paper's code) or "text" (its Appendix B.2).
        likelihood: p(y | A(x)), needed by "text", not read by "released".
        zeta: guidance weight, 0 or more: 1 to 30 in the paper ("released"), far less for "text".
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
        >>> nw.baselines.mpgd(denoiser, lambda x: x[:, :1], torch.ones(1, 1), zeta=0.05).shape
        torch.Size([1, 1, 2])
    """
    zeta = real("zeta", zeta, least=0)
    loss = loss_of(rule, operator, likelihood)
    y, observed = measured(denoiser, operator, y)
    batch = Batch(denoiser, y, observed, num_samples, seed, first_image, batch_size, progress)

    def guide(x: Tensor, sigma: float, block: Block) -> tuple[Tensor, float]:
        x0 = estimate(denoiser, x, sigma, rule)
        with torch.enable_grad():
            leaf = x0.detach().requires_grad_()
            grad = torch.autograd.grad(loss(leaf, block).sum(), leaf)[0]
        return x0 - zeta * (10.0 if rule == "released" else 1.0) * grad, 0.0

    return ancestral(denoiser, batch, num_steps, guide)
