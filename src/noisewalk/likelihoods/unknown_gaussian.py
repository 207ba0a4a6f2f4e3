"""Gaussian noise whose level is not known: it is given a prior and integrated out."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError
from ..noise import Noise
from .base import LikelihoodBase
from .rows import count_of, difference, hide, normals, row_sum


@dataclass(frozen=True)
class UnknownGaussian(LikelihoodBase):
    r"""Gaussian noise of unknown level, $\sigma_y^2 \sim \text{InvGamma}(a, b)$, integrated out.

    With r = y - A(x) and m observed entries, which share their level,
    $$-\log p(y | x) = (a + \tfrac m2) \log(b + \tfrac12 |r|^2) - a \log b + \log \Gamma(a)
    - \log \Gamma(a + \tfrac m2) + \tfrac m2 \log 2 \pi.$$
    b bounds the density where A(x) can fit y exactly. The prior counts for nothing where m >> 2 a
    and m sigma_y^2 >> 2 b, as the default does for an image with visible noise.

    Arguments:
        concentration: a, positive; worth 2 a observed entries.
        rate: b on the squared scale of the pixels in [-1, 1], positive.

    Raises:
        ConfigError: if a value is not positive and finite.

    Example:
        >>> y = torch.full((1, 1000), 0.2)
        >>> nw.likelihoods.UnknownGaussian().noise_level(0 * y, y).round(decimals=3)
        tensor([0.2000], dtype=torch.float64)
    """

    concentration: float = 1e-3
    rate: float = 1e-3
    perturbs_at_fit = True

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | A(x)) of every row, (B,) float64."""
        a, b = self.concentration, self.rate
        residual, mask = difference(mean, y, observed)
        half = count_of(mask) / 2
        constant = half * math.log(2 * math.pi) - a * math.log(b) + math.lgamma(a)
        constant = constant - torch.lgamma(a + half)
        return (a + half) * torch.log(b + 0.5 * row_sum(residual**2)) + constant

    def noise_level(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """E[1 / sigma_y^2 | x, y]^(-1/2) = sqrt((b + |r|^2 / 2) / (a + m / 2)), (B,) float64."""
        return self._precision(mean, y, observed).rsqrt()

    def residual(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(y - A(x)) / `noise_level`, (B, *y) float64, 0 where unobserved."""
        residual, _ = difference(mean, y, observed)
        return residual * _per_row(self._precision(mean, y, observed).sqrt(), residual)

    def residual_chi2(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """NaN, (B,) float64: in units of the level that it tells, every residual is near 1."""
        return torch.full_like(self._precision(mean, y, observed), torch.nan)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """E[1 / sigma_y^2 | x, y], as in expectation-maximisation: it bounds the Hessian."""
        return hide(_per_row(self._precision(mean, y, observed), mean), mean, observed)

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """A measurement of every row, its level drawn first; the concentration is at least 1."""
        if self.concentration < 1:
            raise ConfigError(
                "UnknownGaussian can simulate for a concentration of at least 1, got "
                f"{self.concentration:g}, whose noise levels have no bound: simulate with "
                "Gaussian(sigma_y), or give a concentration and a rate that say what it is"
            )
        return _drawn(mean, noise, observed, self.concentration, self.rate)

    def replicate(
        self, mean: Tensor, y: Tensor, noise: Noise, observed: Tensor | None = None
    ) -> Tensor:
        """A second measurement at the level of y, which is drawn from its law given A(x) and y."""
        return _drawn(mean, noise, observed, *self._level(mean, y, observed))

    def perturb(
        self, y: Tensor, mean: Tensor, noise: Noise, observed: Tensor | None = None
    ) -> Tensor:
        """y + sigma_y n, (B, *y), with sigma_y^2 from its law given y and A(x) = `mean`."""
        return _drawn(y, noise, observed, *self._level(mean, y, observed))

    def _level(self, mean: Tensor, y: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor]:
        """The shape and the rate of the level's law given A(x) and y, (B,) each."""
        residual, mask = difference(mean, y, observed)
        return self.concentration + count_of(mask) / 2, self.rate + 0.5 * row_sum(residual**2)

    def _precision(self, mean: Tensor, y: Tensor, observed: Tensor | None) -> Tensor:
        shape, rate = self._level(mean, y, observed)
        return shape / rate


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _drawn(
    mean: Tensor, noise: Noise, observed: Tensor | None, shape: float | Tensor, rate: float | Tensor
) -> Tensor:
    """A(x) + sigma_y n with a level of every row, sigma_y^2 ~ InvGamma(shape, rate)."""
    normal = normals(mean, noise, (math.prod(mean.shape[1:]) + 1,))
    gamma = gamma_quantile(shape, torch.special.ndtr(normal[:, -1]))
    level = _per_row((rate / gamma).sqrt(), mean)
    return hide(mean + level * normal[:, :-1].reshape(mean.shape), mean, observed)


def gamma_quantile(shape: float | Tensor, uniform: Tensor) -> Tensor:
    """g with P(G <= g) = u for G of this shape, at least 0.5, and rate 1, by bisection of log g."""
    a = torch.zeros_like(uniform) + shape
    low, high = torch.log(a) - 60, torch.log(a + 10 * a.sqrt() + 50)
    for _ in range(64):
        middle = (low + high) / 2
        short = torch.special.gammainc(a, middle.exp()) < uniform
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return high.exp()
