"""Measurements of clean images, by the same parts that a posterior is made of."""

import torch
from torch import Tensor

from . import noise as keyed
from ._intake import plain
from ._repr import describe
from .errors import ConfigError
from .likelihoods.base import complete
from .operators import observed_of
from .types import Likelihood, Operator


@torch.inference_mode(False)
def simulate(operator: Operator, likelihood: Likelihood, x: Tensor, seed: int = 0) -> Tensor:
    """A measurement of every image, y ~ p(y | A(x)).

    Arguments:
        operator: A.
        likelihood: p(y | A(x)).
        x: (N, *data) clean images.
        seed: of the measurement noise.

    Returns:
        (N, *y); 0 where the operator observes nothing.

    Example:
        >>> x = torch.zeros(2, 1, 8, 8)
        >>> nw.simulate(nw.operators.AveragePool(4), nw.likelihoods.Gaussian(0.1), x).shape
        torch.Size([2, 1, 2, 2])
    """
    x = plain("x", x)
    if not x.is_floating_point() or x.ndim == 0:
        raise ConfigError(f"x must be a floating-point tensor (images, *data), got {describe(x)}")
    rows = keyed.rows(seed, len(x), device=x.device)
    with torch.no_grad():
        observed = observed_of(operator, tuple(x.shape[1:]))
        return complete(likelihood).sample(operator(x), rows, observed)
