r"""Additive noise with heavier tails than Gaussian noise, for outliers.

Perturbed data y + e spread the minimisers of the misfit, whose slope is psi, with the variance
$E[\mathrm{Var}(\psi(r + e) | r)] / E[\psi'(r + e)]^2$ of an M-estimator (Huber, 1964). The spread
of a Gaussian e is chosen so that this is 1 over the Fisher information, as for the posterior.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ConfigError
from ..noise import Noise
from .base import LikelihoodBase, sup_at_y
from .rows import count_of, difference, hide, normals, row_sum, uniforms

MOST_DF = 1e9
LAPLACE_SPREAD = 0.572  # of the perturbation, in scales


def student_spread(df: float) -> float:
    """The same for Student-t noise, fitted to quadratures from one degree of freedom on."""
    return max(0.6, 1.0 + (df - 5.0) / (df * (df + 19.0)))


@dataclass(frozen=True)
class Laplace(LikelihoodBase):
    r"""Additive Laplace noise of scale s, whose variance is 2 s^2.

    $$-\log p(y | x) = \sum_{i \in O} \frac{|y_i - A(x)_i|}{s} + \log 2 s$$

    Arguments:
        scale: s on the scale of the pixels in [-1, 1], positive.

    Raises:
        ConfigError: if the scale is not positive and finite.

    Example:
        >>> nw.likelihoods.Laplace(0.5).nll(torch.zeros(1, 2), torch.ones(1, 2))
        tensor([4.], dtype=torch.float64)
    """

    scale: float
    square_variance = 5.0
    sup_log_likelihood = sup_at_y

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | A(x)) of every row, (B,) float64."""
        residual, mask = difference(mean, y, observed)
        return row_sum(residual.abs() / self.scale) + count_of(mask) * math.log(2 * self.scale)

    def residual(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(y - A(x)) / (sqrt(2) scale), (B, *y) float64, 0 where unobserved."""
        return difference(mean, y, observed)[0] / (math.sqrt(2) * self.scale)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """The Fisher information of A(x): the second derivative is 0 almost everywhere."""
        return hide(self.scale**-2, mean, observed)

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """A measurement of every row, drawn by inversion of the distribution function."""
        centred = uniforms(mean, noise)[:, 0] - 0.5
        step = torch.sign(centred) * torch.log1p(-2 * centred.abs())
        return hide(mean - self.scale * step, mean, observed)

    def perturb(
        self, y: Tensor, mean: Tensor, noise: Noise, observed: Tensor | None = None
    ) -> Tensor:
        """y + 0.572 scale n, (B, *y): so wide that the minimisers spread as the Fisher information
        says. Laplace noise would spread them 2.7 times as far in variance."""
        normal = normals(y, noise, tuple(y.shape[1:]))
        return hide(y + LAPLACE_SPREAD * self.scale * normal, y, observed)


@dataclass(frozen=True)
class StudentT(LikelihoodBase):
    r"""Additive Student-t noise, y = A(x) + s t with t of $\nu$ degrees of freedom.

    $$-\log p(y | x) = \sum_{i \in O} \frac{\nu + 1}{2}
    \log\Big(1 + \frac{(y_i - A(x)_i)^2}{\nu s^2}\Big) + \log s + \frac12 \log \nu \pi
    + \log \Gamma(\tfrac{\nu}{2}) - \log \Gamma(\tfrac{\nu + 1}{2})$$
    The variance is $s^2 \nu / (\nu - 2)$, and infinite for $\nu \le 2$.
    Reference: Bailey, Polar Generation of Random Variates with the t-Distribution, 1994.

    Arguments:
        df: degrees of freedom, positive and at most 1e9; 1 is Cauchy noise, infinity would be
            Gaussian.
        scale: s on the scale of the pixels in [-1, 1], positive.

    Raises:
        ConfigError: if a value is not positive and finite.

    Example:
        >>> nw.likelihoods.StudentT(1.0, 1.0).curvature(torch.zeros(1, 1), torch.ones(1, 1))
        tensor([[0.5000]])
    """

    df: float
    scale: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.df > MOST_DF:
            raise ConfigError(
                f"StudentT's df must be at most {MOST_DF:g}, got {self.df:g}: use Gaussian noise"
            )

    sup_log_likelihood = sup_at_y

    @property
    def square_variance(self) -> float:  # type: ignore[override]
        """Variance of one squared residual; NaN for df <= 4, where it is infinite."""
        return 2 + 6 / (self.df - 4) if self.df > 4 else math.nan

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | A(x)) of every row, (B,) float64."""
        residual, mask = difference(mean, y, observed)
        constant = math.log(self.scale) + 0.5 * math.log(self.df * math.pi)
        constant = constant + math.lgamma(self.df / 2) - math.lgamma((self.df + 1) / 2)
        terms = row_sum(torch.log1p((residual / self.scale) ** 2 / self.df))
        return 0.5 * (self.df + 1) * terms + count_of(mask) * constant

    def residual(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(y - A(x)) / standard deviation, (B, *y) float64, 0 where unobserved; NaN for df <= 2."""
        std = self.scale * math.sqrt(self.df / (self.df - 2)) if self.df > 2 else math.nan
        residual, mask = difference(mean, y, observed)
        return torch.where(mask, residual / std, 0.0)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """The Fisher information of A(x): the second derivative at y is negative for an outlier."""
        return hide((self.df + 1) / ((self.df + 3) * self.scale**2), mean, observed)

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """A measurement of every row, (B, *y) in the type of A(x), 0 where unobserved."""
        radius, angle = uniforms(mean, noise, 2).unbind(1)
        length = torch.sqrt(self.df * torch.expm1(-2 / self.df * torch.log(radius)))
        return hide(mean + self.scale * (length * torch.cos(2 * math.pi * angle)), mean, observed)

    def perturb(
        self, y: Tensor, mean: Tensor, noise: Noise, observed: Tensor | None = None
    ) -> Tensor:
        """y + c scale n, (B, *y), c = 0.8 for one degree of freedom, 1 from four on: so wide that
        the minimisers spread as the Fisher information says, within 3 % in variance."""
        normal = normals(y, noise, tuple(y.shape[1:]))
        return hide(y + student_spread(self.df) * self.scale * normal, y, observed)
