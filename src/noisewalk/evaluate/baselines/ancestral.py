r"""The ancestral Euler loop that the guided methods share, and the two rules by which they are
guided.

On the noise levels $\sigma_0 > \dots > \sigma_{N-1}$ of Karras et al. and a final $\sigma_N = 0$,
with $x_0 \sim N(0, \sigma_0^2 I)$,
$$x_{i+1} = \hat x_0 + \frac{\sigma_{i+1}^2}{\sigma_i^2} (x_i - \hat x_0) + \sigma_{i+1} \sqrt{1 - \sigma_{i+1}^2 / \sigma_i^2}\; n_i - p_i,$$
an Euler step down to $\sigma_{i+1}^2 / \sigma_i$ and noise up to $\sigma_{i+1}$. A method chooses
the estimate $\hat x_0$ and the push $p_i$.

The paper's Appendix B.2 and its released code do not agree; the weights of its Tables A.1 and A.2
belong to the code.

- rule "released": $\hat x_0 = \mathrm{clamp}(f(x_i, \sigma_i), -1, 1)$, differentiated through the
  clamp too; the loss is the norm of $y - A(\hat x_0)$, not squared: least squares, whatever the
  noise is. The push carries a factor $\sigma_i$.
- rule "text": $\hat x_0 = f(x_i, \sigma_i)$, never clamped; the loss is the likelihood's
  $L_y(\hat x_0)$. (The paper prints the gradient of p(y | x) with the sign of a step away from y;
  -log p is meant.)

Every norm and every likelihood is over one row, observed entries alone.

References: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022,
equation 5; Purohit et al., Posterior sampling via Langevin dynamics based on generative priors,
2024, Appendix B.2.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from ...errors import ConfigError
from ...maps.ode import karras_sigmas
from ...noise import PROPOSAL
from ...types import Denoiser, Likelihood, Operator
from .batch import Batch, Block, Progress, whole_number

RULES = ("released", "text")

Guide: TypeAlias = Callable[[Tensor, float, Block], tuple[Tensor, "Tensor | float"]]
"""(x_i, sigma_i, block) -> the estimate of x_0, and the push."""

Loss: TypeAlias = Callable[[Tensor, Block], Tensor]
"""(x_0, block) -> (B,)."""


def ancestral(denoiser: Denoiser, batch: Batch, num_steps: int, guide: Guide) -> Tensor:
    """Walk a batch down the noise levels; one call of `guide` a step.

    Arguments:
        denoiser: whose noise levels they are.
        batch: the rows.
        num_steps: N, at least 2.
        guide: what the method does at a step.

    Returns:
        (image, sample, *x).

    Raises:
        ConfigError: num_steps is no whole number of at least 2.
    """
    whole_number("num_steps", num_steps, 2)
    sigmas = [*karras_sigmas(num_steps, denoiser.sigma_min, denoiser.sigma_max).tolist(), 0.0]

    def step(x: Tensor, i: int, block: Block) -> Tensor:
        x0, push = guide(x, sigmas[i], block)
        ratio = (sigmas[i + 1] / sigmas[i]) ** 2
        down = x0 + ratio * (x - x0)
        if sigmas[i + 1] > 0:
            down = down + sigmas[i + 1] * (1 - ratio) ** 0.5 * block.noise.normal(
                batch.shape, PROPOSAL, x.dtype
            )
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
    progress: Progress | None = None,
    first_image: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Samples of the prior: what every guided method does at zeta = 0, bit by bit; num_steps
    network calls a sample.

    Arguments:
        denoiser: f(x_t, sigma), a diffusion or a consistency model.
        num_images: images of the noise's key.
        num_samples: samples of each.
        num_steps: noise levels above 0.
        seed: of all noise.
        rule: "released" clamps every estimate of x_0 to [-1, 1], "text" does not.
        batch_size: rows per network call; None: all at once.
        progress: called as progress(step, num_steps), or None.
        first_image: number of the first image in the noise's key.
        device: the denoiser's.
        dtype: of the samples.

    Returns:
        (image, sample, *x), never clamped.

    Raises:
        ConfigError: a value out of range.
    """
    check_rule(rule)
    whole_number("num_images", num_images, 1)
    nothing = torch.zeros(num_images, 0, device=device, dtype=dtype)
    batch = Batch(
        nothing, None, tuple(denoiser.shape), num_samples, seed, first_image, batch_size, progress
    )
    return ancestral(
        denoiser,
        batch,
        num_steps,
        lambda x, sigma, block: (estimate(denoiser, x, sigma, rule), 0.0),
    )


def estimate(denoiser: Denoiser, x: Tensor, sigma: float, rule: str) -> Tensor:
    """The estimate of x_0, one network call a row.

    Arguments:
        denoiser: f(x_t, sigma).
        x: (B, *x) at noise level sigma.
        sigma: the level.
        rule: "released" clamps.

    Returns:
        (B, *x).
    """
    x0 = denoiser(x, torch.tensor(sigma, dtype=x.dtype, device=x.device))
    return x0.clamp(-1, 1) if rule == "released" else x0


def through(
    denoiser: Denoiser, x: Tensor, sigma: float, rule: str, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The estimate of x_0, and the gradient of its loss in x_t through the network.

    Arguments:
        denoiser: f(x_t, sigma).
        x: (B, *x) at noise level sigma.
        sigma: the level.
        rule: "released" clamps.
        loss: of the estimate, (B, *x) -> (B,), row-wise.

    Returns:
        (B, *x) twice.
    """
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        x0 = estimate(denoiser, leaf, sigma, rule)
        value = loss(x0).sum()
        if not value.requires_grad:
            raise ConfigError(
                "no gradient comes back through the operator: write it in torch operations, "
                "without detach() or numpy"
            )
        return x0.detach(), torch.autograd.grad(value, leaf)[0]


def loss_of(rule: str, operator: Operator, likelihood: Likelihood | None) -> Loss:
    """How far an estimate is from the measurement.

    Arguments:
        rule: "released": the norm of y - A(x_0); "text": -log p(y | x_0).
        operator: A.
        likelihood: p(y | A(x)); read by "text" alone.

    Returns:
        A row-wise loss.

    Raises:
        ConfigError: an unknown rule, or "text" without a likelihood.
    """
    check_rule(rule)

    def norm(x0: Tensor, block: Block) -> Tensor:
        residual = block.y - operator(x0)
        if block.observed is not None:
            residual = torch.where(block.observed, residual, residual.new_zeros(()))
        return torch.linalg.vector_norm(residual.flatten(1), dim=1)

    if rule == "released":
        return norm
    if likelihood is None:
        raise ConfigError(
            "rule='text' differentiates the likelihood: give likelihood=, such as "
            "nw.likelihoods.Gaussian(sigma_y), or use rule='released'"
        )
    return lambda x0, block: likelihood.nll(operator(x0), block.y, block.observed)


def check_rule(rule: str) -> None:
    """ConfigError unless the rule is a known one."""
    if rule not in RULES:
        raise ConfigError(
            f"unknown rule {rule!r}: choose 'released' (the paper's code, to which its zeta "
            "belong) or 'text' (its Appendix B.2)"
        )
