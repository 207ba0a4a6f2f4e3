"""Photon counts."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError
from ..noise import Noise
from .base import LikelihoodBase
from .rows import count_of, float64_pair, hide, mask_of, row_sum, uniforms

FLOOR, REACH = 1e-4, 8


@dataclass(frozen=True)
class Poisson(LikelihoodBase):
    r"""Counts y of rate $\lambda(x) = p \max((A(x) + 1) / 2, 10^{-4})$, never rescaled.

    $$-\log p(y | x) = \sum_{i \in O} \lambda_i - y_i \log \lambda_i + \log y_i!$$
    A negative count has density 0; a fractional one, of a calibrated detector, has a value too.
    Where the maximum holds $\lambda$ at its least, A(x) has no gradient.

    Arguments:
        peak: p, the mean count where A(x) = 1; positive.

    Raises:
        ConfigError: if the peak is not positive and finite.

    Example:
        >>> nw.likelihoods.Poisson(50.0).curvature(torch.zeros(1, 1), torch.ones(1, 1))
        tensor([[25.]])
    """

    peak: float
    counts = True

    def check_measurement(self, y: Tensor, observed: Tensor | None = None) -> None:
        """ConfigError unless every observed entry of y can be a count."""
        bad = mask_of(observed, y) & ~((y >= 0) & torch.isfinite(y))
        if bad.any():
            raise ConfigError(
                f"Poisson wants counts, finite and not negative, but {int(bad.sum())} observed "
                f"entries of y are neither (such as {float(y[bad][0]):g}): do not rescale counts "
                "to [-1, 1]; for additive noise take Gaussian, Laplace, StudentT, UnknownGaussian"
            )

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | A(x)) of every row, (B,) float64."""
        _, counts, mask = float64_pair(mean, y, observed)
        rate = self._rate(mean, observed)
        terms = rate - torch.xlogy(counts, rate) + torch.lgamma(counts + 1)
        return row_sum(torch.where(mask, torch.where(counts < 0, torch.inf, terms), 0.0))

    def residual(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """Pearson's residual (y - rate) / sqrt(rate), (B, *y) float64, 0 where unobserved."""
        _, counts, mask = float64_pair(mean, y, observed)
        rate = self._rate(mean, observed)
        return torch.where(mask, (counts - rate) / rate.sqrt(), 0.0)

    def residual_chi2_std(self, mean: Tensor, observed: Tensor | None = None) -> Tensor:
        """That of `residual_chi2`, (B,) float64: a squared residual has variance 2 + 1 / rate."""
        mask = mask_of(observed, mean)
        variance = torch.where(mask, 2 + 1 / self._rate(mean, observed), 0.0)
        return row_sum(variance).sqrt() / count_of(mask)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """The Fisher information of A(x), (peak / 2)^2 / rate, 0 where the rate is held."""
        free = mask_of(observed, mean) & ((mean.to(torch.float64) + 1) / 2 >= FLOOR)
        weight = (self.peak / 2) ** 2 / self._rate(mean, observed)
        return torch.where(free, weight, 0.0).to(mean.dtype)

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """Counts of every row, drawn by inversion of the distribution function."""
        uniform = uniforms(mean, noise)[:, 0]
        return hide(quantile(self._rate(mean, observed), uniform), mean, observed)

    def perturb(
        self, y: Tensor, mean: Tensor, noise: Noise, observed: Tensor | None = None
    ) -> Tensor:
        """Counts of rate y, (B, *y); 0 where y is 0."""
        uniform, rate = uniforms(y, noise)[:, 0], y.to(torch.float64).nan_to_num().clamp(min=0)
        drawn = quantile(rate.clamp(min=FLOOR), uniform)
        return hide(torch.where(rate > 0, drawn, 0.0), y, observed)

    def sup_log_likelihood(self, y: Tensor | None = None, observed: Tensor | None = None) -> Tensor:
        """The log mass at the rate max(y, 1e-4 peak), (N,) float64."""
        if y is None:
            raise ConfigError("the mass depends on the counts: give sup_log_likelihood the y")
        counts = torch.nan_to_num(y.to(torch.float64))
        return -self.nll(2 * counts / self.peak - 1, counts, observed)

    def _rate(self, mean: Tensor, observed: Tensor | None) -> Tensor:
        at = torch.where(mask_of(observed, mean), mean.to(torch.float64), 0.0)
        return self.peak * ((at + 1) / 2).clamp(min=FLOOR)


def quantile(rate: Tensor, uniform: Tensor) -> Tensor:
    """The least k with P(K <= k) >= u, bisected around Cornish and Fisher's, off by at most 6."""
    z = torch.special.ndtri(uniform)
    low = (torch.floor(rate + rate.sqrt() * z + (z**2 - 1) / 6) - REACH).clamp(min=-1)
    width = 2 * REACH
    while width > 1:  # P(K <= low) < u <= P(K <= low + width)
        width //= 2
        short = torch.special.gammaincc(low + width + 1, rate) < uniform
        low = torch.where(short, low + width, low)
    return low + 1
