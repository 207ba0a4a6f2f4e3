"""Laplace noise: heavier tails than Gaussian noise, and the absolute residual as its loss."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..noise import Noise
from .base import LikelihoodBase, sup_at_y
from .observed import count_of, difference, hide, row_sum
from .simulation import uniforms


@dataclass(frozen=True)
class Laplace(LikelihoodBase):
    r"""Additive Laplace noise of scale s, whose variance is 2 s^2.

    $$-\log p(y | x) = \sum_{i \in O} \frac{|y_i - A(x)_i|}{s} + \log 2 s$$

    Arguments:
        scale: s on the scale of the pixels in [-1, 1], positive.

    Raises:
        ConfigError: if the scale is not positive and finite.

    Example:
        >>> import torch, noisewalk as nw
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
