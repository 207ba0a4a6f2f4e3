"""Photon counts behind an amplifier: Poisson noise with gain, background and read noise."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .._checks import real
from ..errors import ConfigError
from ..noise import Noise
from .base import LikelihoodBase
from .poisson import FLOOR, quantile
from .rows import count_of, float64_pair, hide, mask_of, row_sum, uniforms

NEAR = 12  # photons around y / gain that the sum takes
NEWTON = 30  # steps to the saddle point
SPLITS = 80  # thirds of the interval in which the likeliest signal is sought


@dataclass(frozen=True)
class PoissonGaussian(LikelihoodBase):
    r"""Photons k of rate $\lambda$, amplified and read: $y = g k + r n$, n standard normal.

    $$\lambda(x) = \frac{s(x) + b}{g}, \qquad s(x) = p \max((A(x) + 1) / 2, 10^{-4}), \qquad
    p(y | x) = \sum_{k} \frac{\lambda^k e^{-\lambda}}{k!} N(y; g k, r^2)$$
    so that y has the mean s + b and the variance g (s + b) + r^2. Where r < g, this sum is taken
    over the 25 k nearest to y / g. Where r >= g, log p is the saddle-point approximation of second
    order: with u = y / g, v = r / g and the t at which $\lambda e^t + v^2 t = u$,
    $$\log p \approx \lambda (e^t - 1) + \tfrac12 v^2 t^2 - t u
    - \tfrac12 \log 2 \pi \kappa_2 - \log g + \frac{\kappa}{8 \kappa_2^2}
    - \frac{5 \kappa^2}{24 \kappa_2^3}, \quad \kappa = \lambda e^t, \quad \kappa_2 = \kappa + v^2.$$
    Its error is below 0.002 an entry for any rate, where y is within 5 standard deviations of its
    mean; at r = 2 g it is below 0.0002. With r = 0, y / g is a count as in `Poisson`.

    References: Snyder, Hammoud and White, Image recovery from data acquired with a charge-coupled-
    device camera, 1993; Daniels, Saddlepoint approximations in statistics, 1954.

    Arguments:
        peak: p, the mean of y above the background where A(x) = 1, in the unit of y; positive.
        gain: g, what one photon adds to y; positive.
        background: b, the mean of y without light; at least 0.
        read: r, the standard deviation of the read noise, in the unit of y; at least 0.

    Raises:
        ConfigError: a value out of range.

    Example:
        >>> noise = nw.likelihoods.PoissonGaussian(100.0, gain=2.0, background=5.0, read=4.0)
        >>> round(noise.nll(torch.zeros(1, 1), torch.full((1, 1), 55.0)).item(), 2)
        3.34
    """

    peak: float
    gain: float = 1.0
    background: float = 0.0
    read: float = 0.0
    counts = True

    def __post_init__(self) -> None:
        for name in ("peak", "gain"):
            vars(self)[name] = real(f"PoissonGaussian's {name}", vars(self)[name], above=0)
        for name in ("background", "read"):
            vars(self)[name] = real(f"PoissonGaussian's {name}", vars(self)[name], least=0)

    def check_measurement(self, y: Tensor, observed: Tensor | None = None) -> None:
        """ConfigError unless every observed entry of y can be measured so."""
        bad = mask_of(observed, y) & ~(torch.isfinite(y) & ((y >= 0) | (self.read > 0)))
        if bad.any():
            must = "counts that are finite" + (
                "" if self.read else " and, without read noise, >= 0"
            )
            found = f"{int(bad.sum())} observed entries of y are not (such as {float(y[bad][0]):g})"
            raise ConfigError(f"PoissonGaussian wants {must}, but {found}: do not rescale counts")

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | A(x)) of every row, (B,) float64."""
        _, measured, mask = float64_pair(mean, y, observed)
        terms = self._log_density(self._level(mean, observed) / self.gain, measured / self.gain)
        return row_sum(torch.where(mask, math.log(self.gain) - terms, 0.0))

    def residual(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(y - its mean) / its standard deviation, (B, *y) float64, 0 where unobserved."""
        _, measured, mask = float64_pair(mean, y, observed)
        level = self._level(mean, observed)
        return torch.where(mask, (measured - level) / self._variance(level).sqrt(), 0.0)

    def residual_chi2_std(self, mean: Tensor, observed: Tensor | None = None) -> Tensor:
        """That of `residual_chi2`, (B,) float64: a squared residual has variance 2 + the fourth
        cumulant of y, g^3 (s + b), over its squared variance."""
        mask, level = mask_of(observed, mean), self._level(mean, observed)
        each = 2 + self.gain**3 * level / self._variance(level) ** 2
        return row_sum(torch.where(mask, each, 0.0)).sqrt() / count_of(mask)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(p / 2)^2 over the variance of y, at most the Fisher information; 0 where the signal is
        held at its least."""
        free = mask_of(observed, mean) & ((mean.to(torch.float64) + 1) / 2 >= FLOOR)
        weight = (self.peak / 2) ** 2 / self._variance(self._level(mean, observed))
        return torch.where(free, weight, 0.0).to(mean.dtype)

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """A measurement of every row, (B, *y) in the type of A(x), 0 where unobserved."""
        return hide(self._drawn(self._level(mean, observed), mean, noise), mean, observed)

    def perturb(
        self, y: Tensor, mean: Tensor, noise: Noise, observed: Tensor | None = None
    ) -> Tensor:
        """A measurement of the mean y, where y is a mean that photons can have; below 0 it is y and
        read noise."""
        given = y.to(torch.float64).nan_to_num()
        light = given.clamp(min=0)
        drawn = self._drawn(light.clamp(min=FLOOR * self.gain), y, noise)
        dark = self.read * self._normals(y, noise)
        return hide(torch.where(light > 0, drawn, dark + given), y, observed)

    def sup_log_likelihood(self, y: Tensor | None = None, observed: Tensor | None = None) -> Tensor:
        """The log density at the likeliest signal, (N,) float64."""
        if y is None:
            raise ConfigError("the density depends on y: give sup_log_likelihood the y")
        measured = torch.nan_to_num(y.to(torch.float64))
        low = torch.full_like(measured, FLOOR * self.peak)
        spread = self._variance(measured.clamp(min=0) + self.background + self.gain).sqrt()
        high = (measured - self.background).clamp(min=0) + low + 4 * spread
        for _ in range(SPLITS):  # log p is concave in the signal
            a, b = (2 * low + high) / 3, (low + 2 * high) / 3
            rates = [(s + self.background) / self.gain for s in (a, b)]
            up = torch.lt(*(self._log_density(rate, measured / self.gain) for rate in rates))
            low, high = torch.where(up, a, low), torch.where(up, high, b)
        return -self.nll(low / self.peak * 2 - 1, measured, observed)

    def _level(self, mean: Tensor, observed: Tensor | None) -> Tensor:
        """s + b, the mean of y."""
        at = torch.where(mask_of(observed, mean), mean.to(torch.float64), 0.0)
        return self.peak * ((at + 1) / 2).clamp(min=FLOOR) + self.background

    def _variance(self, level: Tensor) -> Tensor:
        return self.gain * level + self.read**2

    def _drawn(self, level: Tensor, like: Tensor, noise: Noise) -> Tensor:
        photons = quantile(level / self.gain, uniforms(like, noise, 2)[:, 0])
        return self.gain * photons + self.read * self._normals(like, noise)

    def _normals(self, like: Tensor, noise: Noise) -> Tensor:
        return torch.special.ndtri(uniforms(like, noise, 2)[:, 1])

    def _log_density(self, rate: Tensor, u: Tensor) -> Tensor:
        """log p of u = y / g."""
        v = self.read / self.gain
        if v == 0:
            mass = torch.xlogy(u, rate) - rate - torch.lgamma(u.clamp(min=0) + 1)
            return torch.where(u < 0, -torch.inf, mass)
        return _summed(rate, u, v) if v < 1 else _saddle(rate, u, v)


def _summed(rate: Tensor, u: Tensor, v: float) -> Tensor:
    """log of the sum over the photons that are near u."""
    near = torch.arange(-NEAR, NEAR + 1, dtype=torch.float64, device=u.device)
    k = (u.clamp(min=0).round()[..., None] + near).clamp(min=-1)
    mass = torch.xlogy(k.clamp(min=0), rate[..., None]) - rate[..., None] - torch.lgamma(k + 1.0)
    spread = -0.5 * ((u[..., None] - k) / v) ** 2
    terms = torch.where(k >= 0, mass.nan_to_num(neginf=-1e300) + spread, -torch.inf)
    return torch.logsumexp(terms, -1) - math.log(v) - 0.5 * math.log(2 * math.pi)


def _saddle(rate: Tensor, u: Tensor, v: float) -> Tensor:
    """The saddle-point approximation of second order."""
    with torch.no_grad():
        t = torch.where(u > rate, (u.clamp(min=1e-300) / rate).log(), (u - rate) / (rate + v**2))
        for _ in range(NEWTON):  # from above, where the convex function has no other root
            t = _newton(rate, u, v, t)
    t = _newton(rate, u, v, t)  # with the derivative of t in the rate
    k = rate * t.exp()
    second = k + v**2
    exponent = rate * torch.expm1(t) + 0.5 * (v * t) ** 2 - t * u
    more = k / (8 * second**2) - 5 * k**2 / (24 * second**3)
    return exponent - 0.5 * (2 * math.pi * second).log() + more


def _newton(rate: Tensor, u: Tensor, v: float, t: Tensor) -> Tensor:
    k = rate * t.exp()
    return t - (k + v**2 * t - u) / (k + v**2)
