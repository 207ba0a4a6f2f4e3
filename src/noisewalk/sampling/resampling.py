"""The arithmetic of tempered SMC: temperatures, resampling, the error of the evidence, memory."""

import torch
from torch import Tensor

BISECTIONS = 60  # halvings of the search for the next beta


def next_step(nll: Tensor, left: Tensor, ess_fraction: float) -> Tensor:
    """(N,) the largest increase of beta, at most `left`, that keeps this share of the particles
    as effective sample size; nll is (N, P) float64."""

    def ess(step: Tensor) -> Tensor:
        log_weights = -step[:, None] * nll
        return (
            torch.exp(2 * torch.logsumexp(log_weights, 1) - torch.logsumexp(2 * log_weights, 1))
            / nll.shape[1]
        )

    low, high = torch.zeros_like(left), left.clone()
    enough = ess(high) >= ess_fraction
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        good = ess(middle) >= ess_fraction
        low, high = torch.where(good, middle, low), torch.where(good, high, middle)
    return torch.where(enough, left, torch.where(low > 0, low, high))


def systematic(log_weights: Tensor, offset: Tensor) -> Tensor:
    """(N, P) ascending indices of systematic resampling: particle i comes back floor(P w_i) times
    or one time more. The offset is (N,) uniform in (0, 1)."""
    count = log_weights.shape[1]
    edges = torch.softmax(log_weights, 1).cumsum(1)
    points = (
        torch.arange(count, device=edges.device, dtype=edges.dtype) + offset.to(edges)[:, None]
    ) / count
    return torch.searchsorted(edges / edges[:, -1:], points).clamp(max=count - 1)


def evidence_error(family: Tensor) -> Tensor:
    """(N,) standard error of the log evidence, from the (N, P) ancestors of the particles among the
    P of the start. From about 0.5 on it says only that the error is large; it is at most 1."""
    count = family.shape[1]
    descendants = torch.zeros_like(family).scatter_add(1, family, torch.ones_like(family))
    return ((descendants.square().sum(1) - count).double() / count**2).sqrt()


def correlation(before: Tensor, after: Tensor) -> Tensor:
    """(N,) how much the particles remember: the correlation over the particles of (N, P, K) numbers
    with the same numbers later, mean over the K; 0 for a number that does not vary, NaN if one is
    not finite."""
    first, second = (part - part.mean(1, keepdim=True) for part in (before, after))
    scale = (first.square().sum(1) * second.square().sum(1)).sqrt()
    return torch.where(
        scale > 0, (first * second).sum(1) / scale, torch.where(scale == 0, 0.0, torch.nan)
    ).mean(1)
