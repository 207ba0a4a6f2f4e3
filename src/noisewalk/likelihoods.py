r"""Likelihoods p(y | A(x)): negative log density, Gauss-Newton weight and simulation in one object, so that they cannot disagree.

Sums run over the observed entries O of one row, in float64, every constant included; what stands at an unobserved entry, NaN too, changes
neither a value nor a gradient.
"""

import math
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from .errors import ConfigError
from .noise import SIMULATE, Noise
from .repr import readable


def _mask(observed: Tensor | None, like: Tensor) -> Tensor:
    if observed is None:
        return torch.ones((), dtype=torch.bool, device=like.device).expand(like.shape)
    if observed.dtype != torch.bool:
        raise ConfigError(f"observed must be a bool tensor, got {observed.dtype}")
    try:
        return observed.to(like.device).expand(like.shape)
    except RuntimeError as error:
        raise ConfigError(f"observed of shape {tuple(observed.shape)} does not broadcast to y's {tuple(like.shape)}") from error


def _check_same_shape(mean: Tensor, y: Tensor) -> None:
    if mean.shape != y.shape:
        raise ConfigError(f"A(x) and y must have the same shape, got {tuple(mean.shape)} and {tuple(y.shape)}")


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Gaussian:
    r"""Additive Gaussian noise, y = A(x) + sigma_y n.

    $$-\log p(y | x) = \sum_{i \in O} \frac{(y_i - A(x)_i)^2}{2 \sigma_i^2} + \log \sigma_i + \frac{1}{2} \log 2 \pi$$

    Arguments:
        sigma_y: standard deviation on the scale of the pixels in [-1, 1], positive; a number, or a tensor that broadcasts to one y.

    Raises:
        ConfigError: if a value is not positive and finite.
    """

    sigma_y: float | Tensor

    def __post_init__(self) -> None:
        value = self.sigma_y
        if isinstance(value, Tensor):
            if value.is_complex() or value.dtype == torch.bool or value.numel() == 0:
                raise ConfigError(f"sigma_y must hold real numbers, got {value.dtype} of shape {tuple(value.shape)}")
            wrong = int((~(torch.isfinite(value) & (value > 0))).sum())
            if wrong:
                raise ConfigError(f"sigma_y must be positive and finite, but {wrong} of {value.numel()} entries are not")
            object.__setattr__(self, "sigma_y", value.detach().clone())
        elif not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < math.inf:
            raise ConfigError(f"sigma_y must be a positive finite number or a tensor, got {value!r}")
        else:
            object.__setattr__(self, "sigma_y", float(value))

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | x) of every row.

        Arguments:
            mean: (B, *y), A(x).
            y: (B, *y) measurements.
            observed: bool, broadcastable to (B, *y); None: all.

        Returns:
            (B,) float64.
        """
        residual, sigma, mask = self._whitened(mean, y, observed)
        constant = torch.where(mask, torch.log(sigma) + 0.5 * math.log(2 * math.pi), 0.0)
        return (0.5 * residual**2 + constant).flatten(1).sum(1)

    def residual_chi2(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """Mean squared residual in units of sigma_y: near 1 where A(x) explains y.

        Arguments:
            mean: (B, *y), A(x).
            y: (B, *y) measurements.
            observed: bool, broadcastable to (B, *y); None: all.

        Returns:
            (B,) float64; NaN where a row observes nothing.
        """
        residual, _, mask = self._whitened(mean, y, observed)
        return (residual**2).flatten(1).sum(1) / mask.flatten(1).sum(1)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """The Gauss-Newton weight, 1 / sigma_y^2.

        Arguments:
            mean: (B, *y), A(x).
            y: (B, *y) measurements; not read.
            observed: bool, broadcastable to (B, *y); None: all.

        Returns:
            (B, *y) in the type of mean, 0 where unobserved.
        """
        return torch.where(_mask(observed, mean), self._sigma(mean) ** -2, 0.0).to(mean.dtype)

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """A measurement of every row.

        Arguments:
            mean: (B, *y), A(x).
            noise: of B rows; its SIMULATE slot is used.
            observed: bool, broadcastable to (B, *y); None: all.

        Returns:
            (B, *y) in the type of mean, 0 where unobserved.
        """
        if len(noise.image) != len(mean):
            raise ConfigError(f"noise must have one row per row of A(x), got {len(noise.image)} and {len(mean)}")
        normal = noise.normal(tuple(mean.shape[1:]), SIMULATE, torch.float64).to(mean.device)
        return torch.where(_mask(observed, mean), mean + self._sigma(mean) * normal, 0.0).to(mean.dtype)

    def _whitened(self, mean: Tensor, y: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        _check_same_shape(mean, y)
        mask, sigma = _mask(observed, mean), self._sigma(mean)
        difference = torch.where(mask, y.to(mean.device, torch.float64) - mean.to(torch.float64), 0.0)
        return difference / sigma, sigma, mask

    def _sigma(self, mean: Tensor) -> Tensor:
        sigma = torch.as_tensor(self.sigma_y, dtype=torch.float64, device=mean.device)
        shape = tuple(mean.shape[1:])
        if sigma.ndim > len(shape) or any(s not in (1, n) for s, n in zip(sigma.shape[::-1], shape[::-1], strict=False)):
            raise ConfigError(f"sigma_y of shape {tuple(sigma.shape)} does not broadcast to one y of shape {shape}")
        return sigma
