"""Gaussian noise of a known level."""

import math
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from .._checks import real
from .._intake import plain
from .._repr import readable
from ..errors import ConfigError
from ..noise import Noise
from .base import LikelihoodBase, sup_at_y
from .rows import difference, hide, mask_of, normals, row_sum


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Gaussian(LikelihoodBase):
    r"""Additive Gaussian noise, y = A(x) + sigma_y n.

    $$-\log p(y | x) = \sum_{i \in O} \frac{(y_i - A(x)_i)^2}{2 \sigma_i^2} + \log \sigma_i
    + \frac{1}{2} \log 2 \pi$$

    Arguments:
        sigma_y: standard deviation, positive, on the scale of y (pixels in [-1, 1] or not): a
            number, or a tensor or array that broadcasts to one y, or to (images, *y): with one axis
            more than y, such as (images, 1, 1, 1), it has a level for each image.

    Raises:
        ConfigError: if a value is not positive and finite.

    Example:
        >>> nw.likelihoods.Gaussian(0.5).residual(torch.zeros(1, 2), torch.ones(1, 2))
        tensor([[2., 2.]], dtype=torch.float64)
    """

    sigma_y: float | Tensor  # an array becomes a tensor
    chi2_is_exact = True
    square_variance = 2.0

    @torch.inference_mode(False)
    def __post_init__(self) -> None:
        value = self.sigma_y
        if getattr(value, "ndim", 0) and hasattr(value, "__array__"):
            value = plain("sigma_y", value)
        if not isinstance(value, Tensor):
            value = real("Gaussian's sigma_y (a number or a tensor)", value, above=0)
        elif value.is_complex() or value.dtype == torch.bool or value.numel() == 0:
            got = f"{value.dtype} of shape {tuple(value.shape)}"
            raise ConfigError(f"sigma_y must hold real numbers, got {got}")
        elif wrong := int((~(torch.isfinite(value) & (value > 0))).sum()):
            got = f"{wrong} of {value.numel()} entries are not"
            raise ConfigError(f"sigma_y must be positive and finite, but {got}")
        else:
            value = plain("sigma_y", value).clone()
        vars(self).update(sigma_y=value)

    def nll(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """-log p(y | A(x)) of every row, (B,) float64."""
        constant = torch.log(self._sigma(mean)) + 0.5 * math.log(2 * math.pi)
        constant = torch.where(mask_of(observed, mean), constant, 0.0)
        return row_sum(0.5 * self.residual(mean, y, observed) ** 2 + constant)

    def residual(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """(y - A(x)) / sigma_y, (B, *y) float64, 0 where unobserved."""
        return difference(mean, y, observed)[0] / self._sigma(mean)

    def curvature(self, mean: Tensor, y: Tensor, observed: Tensor | None = None) -> Tensor:
        """The Gauss-Newton weight 1 / sigma_y^2; y is not read."""
        return hide(self._sigma(mean) ** -2, mean, observed)

    def sample(self, mean: Tensor, noise: Noise, observed: Tensor | None = None) -> Tensor:
        """A measurement of every row, (B, *y) in the type of A(x), 0 where unobserved."""
        normal = normals(mean, noise, tuple(mean.shape[1:]))
        return hide(mean + self._sigma(mean) * normal, mean, observed)

    def perturb(
        self, y: Tensor, mean: Tensor, noise: Noise, observed: Tensor | None = None
    ) -> Tensor:
        """y + sigma_y n, (B, *y)."""
        return self.sample(y, noise, observed)

    def sup_log_likelihood(
        self, y: Tensor | None = None, observed: Tensor | None = None
    ) -> Tensor | float:
        """The log density at A(x) = y; without y, of one entry, where all have one level."""
        if y is None and isinstance(self.sigma_y, Tensor) and self.sigma_y.ndim:
            raise ConfigError("sigma_y may differ between entries: give sup_log_likelihood the y")
        return sup_at_y(self, y, observed)

    def of_rows(self, image: Tensor, axes: int) -> "Gaussian":
        """With the levels of these images, where each has its own."""
        sigma = self._each(axes)
        if sigma is None or len(sigma) == 1:
            return self
        return self._with(sigma.to(image.device)[image])

    def of_pairs(self, axes: int) -> "Gaussian":
        """With the levels of each image for both of its measurements."""
        sigma = self._each(axes)
        return self if sigma is None else self._with(sigma[:, None])

    def _each(self, axes: int) -> Tensor | None:
        """The levels of the images, where they have an axis for these."""
        sigma = self.sigma_y
        return sigma if isinstance(sigma, Tensor) and sigma.ndim == axes else None

    def _with(self, sigma_y: Tensor) -> "Gaussian":
        other = copy(self)
        vars(other).update(sigma_y=sigma_y)
        return other

    def check_measurement(self, y: Tensor, observed: Tensor | None = None) -> None:
        """ConfigError unless sigma_y broadcasts to y, with as many images."""
        self._sigma(y)
        sigma = self._each(y.ndim)
        if sigma is not None and len(sigma) not in (1, len(y)):
            has = f"{len(sigma)} images, and y has {len(y)}"
            raise ConfigError(f"sigma_y has levels of {has}: give one level an image, or one")

    def _sigma(self, mean: Tensor) -> Tensor:
        """The levels in a shape that broadcasts to the rows, which are image-major."""
        sigma = torch.as_tensor(self.sigma_y, dtype=torch.float64, device=mean.device)
        shape = tuple(mean.shape[1:])
        if sigma.ndim == mean.ndim:
            if len(mean) % len(sigma):
                has = f"{len(sigma)} images, and there are {len(mean)} rows of y"
                raise ConfigError(f"sigma_y has levels of {has}: give one level an image")
            sigma = sigma.repeat_interleave(len(mean) // len(sigma), 0)
            shape = tuple(mean.shape)
        sides = zip(sigma.shape[::-1], shape[::-1], strict=False)
        if sigma.ndim > len(shape) or any(side not in (1, n) for side, n in sides):
            got = tuple(sigma.shape)
            raise ConfigError(
                f"sigma_y of shape {got} does not broadcast to one y of shape {shape}"
            )
        return sigma
