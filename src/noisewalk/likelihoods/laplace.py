"""Laplace noise: heavier tails than Gaussian noise, and the absolute residual as its loss."""

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
    mean_square,
    positive,
    row_sum,
    spread,
    uniforms,
)


@dataclass(frozen=True)
class Laplace:
    r"""Additive Laplace noise of scale s, so of variance 2 s^2.

    $$-\log p(y | x) = \sum_{i \in O} \frac{|y_i - A(x)_i|}{s} + \log 2 s$$

    Arguments:
        scale: s on the scale of the pixels in [-1, 1], positive.

    Raises:
        ConfigError: if the scale is not positive and finite.
    """

    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", positive("Laplace", "scale", self.scale))

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | x) of every row, (B,) float64."""
        residual, mask = difference(mean, y, observed)
        return row_sum(residual.abs() / self.scale) + count_of(mask) * math.log(2 * self.scale)

    def residual(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(y - A(x)) / (sqrt(2) scale), (B, *y) float64, 0 where unobserved."""
        return difference(mean, y, observed)[0] / (math.sqrt(2) * self.scale)

    def residual_chi2(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """Mean squared residual over the noise's variance, (B,) float64: near 1 where A(x) explains
        y; NaN where a row observes nothing."""
        residual, mask = difference(mean, y, observed)
        return mean_square(residual / (math.sqrt(2) * self.scale), mask)

    def residual_chi2_std(self, mean: Tensor, observed: Tensor | None = None) -> Tensor:
        """Standard deviation of `residual_chi2` when y comes from A(x), sqrt(5 / m) with m observed
        entries, (B,) float64."""
        return spread(5.0, mean, observed)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """The Fisher information of A(x), 1 / scale^2 (the second derivative is 0 almost
        everywhere); in the type of A(x), 0 where unobserved."""
        return constant_weight(self.scale**-2, mean, observed)

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """A measurement of every row by inversion, (B, *y) in the type of A(x), 0 where unobserved;
        uses the SIMULATE slot."""
        centred = uniforms(mean, noise)[:, 0] - 0.5
        return hide(
            mean - self.scale * torch.sign(centred) * torch.log1p(-2 * centred.abs()),
            mean,
            observed,
        )
