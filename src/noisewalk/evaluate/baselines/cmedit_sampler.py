r"""CMEdit: zero-shot editing with a consistency model, on the K + 1 levels
$t_0 = \sigma_{max} > \dots > t_K = \sigma_{min}$ of Karras et al.

$$\hat x_0 = \mathrm{clamp}(f(x, t_k), -1, 1), \qquad
\hat x_0 \leftarrow \hat x_0 + A^+ (y - A(\hat x_0)), \qquad
x = \hat x_0 + \sqrt{t_{k+1}^2 - \sigma_{min}^2}\; n$$
from $x \sim N(0, \sigma_{max}^2 I)$. The update replaces the measured part. Under a mask,
$\hat x_0$ takes y where observed. Under average pooling by p, each p x p patch takes its mean from
y: coefficient 0 in an orthogonal basis whose first vector is constant.
"""

import torch
from torch import Tensor

from ... import operators
from ..._checks import one_of, whole
from ...errors import ConfigError
from ...maps.ode import karras_sigmas
from ...noise import PROPOSAL
from ...types import Denoiser, Likelihood, Operator
from .batch import Batch, Block, measured
from .rules import RULES, estimate

MASKS = operators.BoxInpainting | operators.CloudInpainting
MASKS |= operators.MaskInpainting | operators.RandomInpainting


@torch.inference_mode(False)
def cmedit(
    denoiser: Denoiser,
    operator: Operator,
    y: Tensor,
    num_samples: int = 1,
    num_steps: int = 4,
    seed: int = 0,
    rule: str = "released",
    likelihood: Likelihood | None = None,
    batch_size: int | None = None,
    progress: bool = True,
    first_image: int = 0,
) -> Tensor:
    """Restore by zero-shot editing with a consistency model.

    y is taken to be free of noise: its noise stays in the samples, which are not the posterior's.
    Cost: num_steps network calls a sample, none differentiated.
    Reference: Song et al., Consistency Models, 2023, Algorithm 4.

    Arguments:
        denoiser: f(x_t, sigma), meant to be a consistency model.
        operator: a mask or AveragePool.
        y: (N, *y) measurements; the samples have its type and device.
        num_samples: samples per image.
        num_steps: K, 1 or more; 4 in the paper.
        seed: of all noise, keyed by image, sample and step.
        rule: "released" or "text", which are one here.
        likelihood: not read.
        batch_size: rows per network call; None: all at once.
        progress: show a progress bar on a terminal, a line a minute elsewhere.
        first_image: number of y's first image in the noise's key, for images taken in parts.

    Returns:
        (image, sample, *x); A of every sample is y.

    Raises:
        ConfigError: another operator, a value out of range, or y does not fit the operator.

    Example:
        >>> denoiser = lambda x_t, sigma: x_t / (1 + sigma**2)  # of the prior N(0, I)
        >>> denoiser.shape, denoiser.sigma_min, denoiser.sigma_max = (1, 2, 2), 0.002, 80.0
        >>> y = torch.full((1, 1, 1, 1), 0.25)  # the mean of four pixels
        >>> nw.baselines.cmedit(denoiser, nw.operators.AveragePool(2), y).mean()
        tensor(0.2500)
    """
    if not isinstance(operator, operators.AveragePool | MASKS):
        name = getattr(operator, "__name__", type(operator).__name__)
        fits = "it replaces what is measured, which it can for masks and AveragePool alone"
        raise ConfigError(f"cmedit is N/A for {name}: {fits}")
    one_of("rule", rule, RULES)
    num_steps = whole("num_steps", num_steps)
    y, observed = measured(denoiser, operator, y)
    batch = Batch(denoiser, y, observed, num_samples, seed, first_image, batch_size, progress)
    levels = karras_sigmas(num_steps + 1, denoiser.sigma_min, denoiser.sigma_max).tolist()

    def step(x: Tensor, k: int, block: Block) -> Tensor:
        x0 = replaced(estimate(denoiser, x, levels[k], "released"), operator, block)
        if k + 1 == num_steps:
            return x0
        noise = block.noise.normal(batch.shape, PROPOSAL, x.dtype)
        return x0 + (levels[k + 1] ** 2 - denoiser.sigma_min**2) ** 0.5 * noise

    return batch.walk(denoiser.sigma_max, step, num_steps)


def replaced(x0: Tensor, operator: Operator, block: Block) -> Tensor:
    """The estimate (B, *x) with its measured part from y."""
    if isinstance(operator, operators.AveragePool):
        p, missing = operator.factor, block.y - operator(x0)
        return x0 + missing.repeat_interleave(p, -2).repeat_interleave(p, -1)
    return block.y if block.observed is None else torch.where(block.observed, block.y, x0)
