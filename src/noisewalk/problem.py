"""A restoration problem: a prior, an operator, a noise level and a measurement, simulated from a clean image or the user's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import noise as keyed
from .errors import ConfigError
from .inputs import Fit, ValueRange, load_image, load_measurement
from .likelihoods import Gaussian
from .operators import observed_of, output_shape_of, parse
from .targets import NoisePosterior

if TYPE_CHECKING:
    from .priors.prior import Prior
    from .types import NoiseMap


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that defines p(x | y).

    Arguments:
        title: one line for people.
        prior_name: which prior.
        phi: its map.
        operator_text: as `operators.parse` reads it.
        sigma_y: measurement noise on the [-1, 1] scale.
        y: (N, *y).
        truth: (N, *x) clean images, None if unknown.
        observed: bool, shape of y: gaps on top of the operator's own; None for none.
        value_range: what -1 and 1 stand for in the user's file.
        source: where the image or measurement came from.
    """

    title: str
    prior_name: str
    phi: NoiseMap
    operator_text: str
    sigma_y: float
    y: Tensor
    truth: Tensor | None
    observed: Tensor | None
    value_range: ValueRange
    source: str

    def target(self, microbatch: int | None = None) -> NoisePosterior:
        """The posterior in noise space.

        Arguments:
            microbatch: rows per network call.

        Returns:
            The target.
        """
        shape = tuple(self.phi.data_shape)  # type: ignore[attr-defined]
        return NoisePosterior(self.phi, parse(self.operator_text, shape), Gaussian(self.sigma_y), self.y, self.observed, microbatch)

    def to(self, dtype: torch.dtype) -> Problem:
        """The problem in another precision.

        Arguments:
            dtype: of y, of the truth and so of the whole run.

        Returns:
            A copy.
        """
        return replace(self, y=self.y.to(dtype), truth=None if self.truth is None else self.truth.to(dtype))

    def facts(self) -> dict[str, Any]:
        """What the report needs beside the draws, JSON-ready."""
        return {
            "title": self.title,
            "prior": self.prior_name,
            "operator": self.operator_text,
            "likelihood": "gaussian",
            "sigma_y": self.sigma_y,
            "value_range": [self.value_range.low, self.value_range.high],
            "source": self.source,
            "simulated": self.truth is not None,
        }


def check_sigma(sigma_y: float | None, value_range: ValueRange) -> float:
    """The noise level on the library's scale.

    Arguments:
        sigma_y: in the file's unit.
        value_range: of the file.

    Returns:
        On the [-1, 1] scale.

    Raises:
        ConfigError: missing, not a positive finite number.
    """
    if sigma_y is None:
        raise ConfigError("a Gaussian measurement needs its noise level: give --sigma-y, in the unit of the file")
    if not 0 < sigma_y < float("inf"):
        raise ConfigError(f"--sigma-y must be a positive finite number, got {sigma_y}")
    return float(value_range.scale_sigma(sigma_y))


def simulated(prior: Prior, phi: NoiseMap, operator: str, sigma_y: float, images: Tensor, value_range: ValueRange, source: str, seed: int = 0) -> Problem:
    """Degrade clean images.

    Arguments:
        prior: the prior.
        phi: its map.
        operator: text for `operators.parse`.
        sigma_y: noise on the [-1, 1] scale.
        images: (N, C, H, W) in [-1, 1].
        value_range: of the file they came from.
        source: where they came from.
        seed: of the measurement noise.

    Returns:
        The problem, truth included.
    """
    A = parse(operator, prior.shape)
    with torch.no_grad():
        y = Gaussian(sigma_y).sample(A(images), keyed.rows(seed, len(images), device=images.device), observed_of(A, prior.shape))
    return Problem(f"{source}: {operator}", prior.name, phi, operator, sigma_y, y, images, None, value_range, source)


def from_image(
    path: Path, prior: Prior, phi: NoiseMap, operator: str, sigma_y: float | None, value_range: ValueRange | None, fit: Fit | None, seed: int, device: str
) -> Problem:
    """Simulate from a clean image file.

    Arguments:
        path: of the image.
        prior: the prior.
        phi: its map.
        operator: text for `operators.parse`.
        sigma_y: in the file's unit.
        value_range: None takes the file's type's range.
        fit: how to bring another size to the prior's.
        seed: of the measurement noise.
        device: where the tensors live.

    Returns:
        The problem.
    """
    parse(operator, prior.shape)
    image, value_range = load_image(path, prior.shape, value_range, fit)
    return simulated(prior, phi, operator, check_sigma(sigma_y, value_range), image[None].to(device), value_range, path.name, seed)


def from_measurement(
    path: Path, prior: Prior, phi: NoiseMap, operator: str, sigma_y: float | None, value_range: ValueRange | None, missing: str | None, device: str
) -> Problem:
    """Take a measurement file as y.

    Arguments:
        path: of the measurement, of the shape A produces.
        prior: the prior.
        phi: its map.
        operator: text for `operators.parse`.
        sigma_y: in the file's unit.
        value_range: None takes the file's type's range.
        missing: "nan", or a mask file; None for no gaps.
        device: where the tensors live.

    Returns:
        The problem, without a truth.
    """
    A = parse(operator, prior.shape)
    y, observed, value_range = load_measurement(path, output_shape_of(A, prior.shape), value_range, missing)
    sigma = check_sigma(sigma_y, value_range)
    gaps = None if observed is None else observed[None].to(device)
    return Problem(f"{path.name}: {operator}", prior.name, phi, operator, sigma, y[None].to(device), None, gaps, value_range, path.name)
