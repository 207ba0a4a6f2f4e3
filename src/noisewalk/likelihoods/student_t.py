r"""Student-t noise: outliers of any size are expected, and their pull on x fades with their
distance.

Reference of the simulation: Bailey, Polar Generation of Random Variates with the t-Distribution,
1994.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise import Noise
from .checks import (
    constant_weight,
    count_of,
    difference,
    hide,
    mask_of,
    mean_square,
    positive,
    row_sum,
    spread,
    uniforms,
)


@dataclass(frozen=True)
class StudentT:
    r"""Additive Student-t noise, y = A(x) + s t with t of $\nu$ degrees of freedom.

    $$-\log p(y | x) = \sum_{i \in O} \frac{\nu + 1}{2} \log\Big(1 + \frac{(y_i - A(x)_i)^2}{\nu s^2}\Big)
    + \log s + \frac12 \log \nu \pi + \log \Gamma(\tfrac{\nu}{2}) - \log \Gamma(\tfrac{\nu + 1}{2})$$

    The variance is $s^2 \nu / (\nu - 2)$, and infinite for $\nu \le 2$.

    Arguments:
        df: degrees of freedom, positive; 1 is Cauchy noise, infinity would be Gaussian.
        scale: s on the scale of the pixels in [-1, 1], positive.

    Raises:
        ConfigError: if a value is not positive and finite.
    """

    df: float
    scale: float

    def __post_init__(self) -> None:
        for name in ("df", "scale"):
            object.__setattr__(self, name, positive("StudentT", name, getattr(self, name)))

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | x) of every row, (B,) float64."""
        residual, mask = difference(mean, y, observed)
        constant = (
            math.log(self.scale)
            + 0.5 * math.log(self.df * math.pi)
            + math.lgamma(self.df / 2)
            - math.lgamma((self.df + 1) / 2)
        )
        return (
            0.5 * (self.df + 1) * row_sum(torch.log1p((residual / self.scale) ** 2 / self.df))
            + count_of(mask) * constant
        )

    def residual(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(y - A(x)) / standard deviation, (B, *y) float64, 0 where unobserved; NaN for df <= 2,
        where there is none."""
        residual, mask = difference(mean, y, observed)
        return torch.where(mask, residual / self._std, 0.0)

    def residual_chi2(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """Mean squared residual over the noise's variance, (B,) float64: near 1 where A(x) explains
        y; NaN for df <= 2."""
        return mean_square(self.residual(mean, y, observed), mask_of(observed, mean))

    def residual_chi2_std(self, mean: Tensor, observed: Tensor | None = None) -> Tensor:
        """Standard deviation of `residual_chi2` when y comes from A(x), (B,) float64; NaN for df <=
        4, where it is infinite."""
        return spread(2 + 6 / (self.df - 4) if self.df > 4 else math.nan, mean, observed)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """The Fisher information of A(x), (df + 1) / ((df + 3) scale^2); (B, *y) in the type of
        A(x), 0 where unobserved.

        The second derivative at y is negative for an outlier and would not be a weight.
        """
        return constant_weight((self.df + 1) / ((self.df + 3) * self.scale**2), mean, observed)

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """A measurement of every row, (B, *y) in the type of A(x), 0 where unobserved; uses the
        SIMULATE slot."""
        radius, angle = uniforms(mean, noise, 2).unbind(1)
        t = torch.sqrt(self.df * torch.expm1(-2 / self.df * torch.log(radius))) * torch.cos(
            2 * math.pi * angle
        )
        return hide(mean + self.scale * t, mean, observed)

    @property
    def _std(self) -> float:
        return self.scale * math.sqrt(self.df / (self.df - 2)) if self.df > 2 else math.nan
