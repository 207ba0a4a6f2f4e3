"""Gaussian noise of a known level."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .._repr import readable
from ..errors import ConfigError
from ..noise import SIMULATE, Noise
from .checks import check_rows, difference, hide, mask_of, mean_square, positive, row_sum, spread


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Gaussian:
    r"""Additive Gaussian noise, y = A(x) + sigma_y n.

    $$-\log p(y | x) = \sum_{i \in O} \frac{(y_i - A(x)_i)^2}{2 \sigma_i^2} + \log \sigma_i + \frac{1}{2} \log 2 \pi$$

    Arguments:
        sigma_y: standard deviation on the scale of y (that of pixels in [-1, 1] where y is an
            image), positive; a number, or a tensor or array that broadcasts to one y: one value for
            each entry where the noise differs.

    Raises:
        ConfigError: if a value is not positive and finite.
    """

    sigma_y: float | Tensor  # an array becomes a tensor

    def __post_init__(self) -> None:
        value = (
            torch.from_numpy(self.sigma_y) if isinstance(self.sigma_y, np.ndarray) else self.sigma_y
        )
        if not isinstance(value, Tensor):
            object.__setattr__(
                self, "sigma_y", positive("Gaussian", "sigma_y", value, " or a tensor")
            )
            return
        if value.is_complex() or value.dtype == torch.bool or value.numel() == 0:
            raise ConfigError(
                f"sigma_y must hold real numbers, got {value.dtype} of shape {tuple(value.shape)}"
            )
        wrong = int((~(torch.isfinite(value) & (value > 0))).sum())
        if wrong:
            raise ConfigError(
                f"sigma_y must be positive and finite, but {wrong} of {value.numel()} entries "
                "are not"
            )
        object.__setattr__(self, "sigma_y", value.detach().clone())

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | x) of every row.

        Arguments:
            mean: (B, *y), A(x).
            y: (B, *y) measurements.
            observed: bool, broadcastable to (B, *y); None: all.

        Returns:
            (B,) float64.
        """
        residual, mask = self._whitened(mean, y, observed)
        constant = torch.where(
            mask, torch.log(self._sigma(mean)) + 0.5 * math.log(2 * math.pi), 0.0
        )
        return row_sum(0.5 * residual**2 + constant)

    def residual(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(y - A(x)) / sigma_y.

        Arguments:
            mean: (B, *y), A(x).
            y: (B, *y) measurements.
            observed: bool, broadcastable to (B, *y); None: all.

        Returns:
            (B, *y) float64, 0 where unobserved.
        """
        return self._whitened(mean, y, observed)[0]

    def residual_chi2(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """Mean squared residual in units of the noise: near 1 where A(x) explains y.

        Arguments:
            mean: (B, *y), A(x).
            y: (B, *y) measurements.
            observed: bool, broadcastable to (B, *y); None: all.

        Returns:
            (B,) float64; NaN where a row observes nothing.
        """
        return mean_square(*self._whitened(mean, y, observed))

    def residual_chi2_std(self, mean: Tensor, observed: Tensor | None = None) -> Tensor:
        """Standard deviation of `residual_chi2` when y comes from A(x), sqrt(2 / m) with m observed
        entries.

        Arguments:
            mean: (B, *y), A(x).
            observed: bool, broadcastable to (B, *y); None: all.

        Returns:
            (B,) float64.
        """
        return spread(2.0, mean, observed)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """The Gauss-Newton weight, 1 / sigma_y^2.

        Arguments:
            mean: (B, *y), A(x).
            y: (B, *y) measurements; not read.
            observed: bool, broadcastable to (B, *y); None: all.

        Returns:
            (B, *y) in the type of mean, 0 where unobserved.
        """
        return torch.where(mask_of(observed, mean), self._sigma(mean) ** -2, 0.0).to(mean.dtype)

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """A measurement of every row.

        Arguments:
            mean: (B, *y), A(x).
            noise: of B rows; its SIMULATE slot is used.
            observed: bool, broadcastable to (B, *y); None: all.

        Returns:
            (B, *y) in the type of mean, 0 where unobserved.
        """
        check_rows(mean, noise)
        normal = noise.normal(tuple(mean.shape[1:]), SIMULATE, torch.float64).to(mean.device)
        return hide(mean + self._sigma(mean) * normal, mean, observed)

    def _whitened(self, mean: Tensor, y: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor]:
        distance, mask = difference(mean, y, observed)
        return distance / self._sigma(mean), mask

    def _sigma(self, mean: Tensor) -> Tensor:
        sigma = torch.as_tensor(self.sigma_y, dtype=torch.float64, device=mean.device)
        shape = tuple(mean.shape[1:])
        if sigma.ndim > len(shape) or any(
            s not in (1, n) for s, n in zip(sigma.shape[::-1], shape[::-1], strict=False)
        ):
            raise ConfigError(
                f"sigma_y of shape {tuple(sigma.shape)} does not broadcast to one y of shape "
                f"{shape}"
            )
        return sigma
