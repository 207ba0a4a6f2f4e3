r"""Diffusion posterior sampling: the gradient of the measurement's loss in $x_i$, taken through the
network, pushes every ancestral step.

$$p_i = \zeta \sigma_i \nabla_{x_i} \lVert y - A(\hat x_0(x_i)) \rVert \quad \text{(released)},
\qquad p_i = \zeta \nabla_{x_i} L_y(\hat x_0(x_i)) \quad \text{(text)}$$
"""

from torch import Tensor

from ..._checks import real
from ...types import Denoiser, Likelihood, Operator
from .ancestral import ancestral
from .batch import Block, Progress, measured
from .rules import loss_of, through


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
    progress: Progress | None = None,
    first_image: int = 0,
) -> Tensor:
    """Restore by diffusion posterior sampling.

    The likelihood of x_t is taken to be that of the estimate of x_0, so the samples are not the
    posterior's, however many steps there are. Cost: num_steps network calls a sample, each
    differentiated.

    Reference: Chung et al., Diffusion Posterior Sampling for General Noisy Inverse Problems, 2023,
    Algorithm 1.

    Arguments:
        denoiser: f(x_t, sigma), a diffusion or a consistency model.
        operator: A; its unobserved entries of y are not read.
        y: (N, *y) measurements; the samples have its type and device.
        num_samples: samples per image.
        num_steps: noise levels above 0, at least 2.
        seed: of all noise, keyed by image, sample and step.
        rule: "released" (the paper's code) or "text" (its Appendix B.2).
        likelihood: p(y | A(x)), needed by "text", not read by "released".
        zeta: guidance weight, 0 or more; 4 to 30 in the paper's tables, for "released". Rule "text"
            needs a much smaller one, as its gradient is that of the likelihood.
        batch_size: rows per network call; None: all at once.
        progress: called as progress(step, num_steps), or None.
        first_image: number of y's first image in the noise's key. Images that are taken in parts
            then draw what they draw at once.

    Returns:
        (image, sample, *x), never clamped.

    Raises:
        ConfigError: a value out of range, or y does not fit the operator.

    Example:
        >>> import torch
        >>> import noisewalk as nw
        >>> def denoiser(x_t, sigma):  # of the prior N(0, I)
        ...     return x_t / (1 + sigma**2)
        >>> denoiser.shape, denoiser.sigma_min, denoiser.sigma_max = (2,), 0.002, 80.0
        >>> y = torch.tensor([[0.5]])  # the first of two pixels
        >>> x = nw.baselines.dps(denoiser, lambda x: x[:, :1], y, num_samples=4, zeta=1.0)
        >>> x.shape
        torch.Size([1, 4, 2])
    """
    zeta = real("zeta", zeta, least=0)
    loss = loss_of(rule, operator, likelihood)
    batch = measured(denoiser, operator, y, num_samples, seed, first_image, batch_size, progress)

    def guide(x: Tensor, sigma: float, block: Block) -> tuple[Tensor, Tensor]:
        x0, grad = through(denoiser, x, sigma, rule, lambda x0: loss(x0, block))
        return x0, zeta * (sigma if rule == "released" else 1.0) * grad

    return ancestral(denoiser, batch, num_steps, guide)
