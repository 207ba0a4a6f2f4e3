"""A restoration problem: a prior, an operator, a likelihood and a measurement, simulated from a
clean image or the user's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import noise as keyed
from ..errors import ConfigError
from ..files import Fit, ValueRange, load_image, load_measurement
from ..likelihoods import Gaussian, Poisson, UnknownGaussian, text_of
from ..likelihoods import parse as parse_likelihood
from ..operators import observed_of, output_shape_of, parse
from ..posterior import NoisePosterior

if TYPE_CHECKING:
    from ..priors.prior import Prior
    from ..types import Likelihood, NoiseMap

UNSCALED = ValueRange(-1.0, 1.0)
"""Leaves counts and floats as they are."""
NARROW = 0.2
"""Share of the value range below which a measurement is remarked on."""
DARKEST = -0.1
"""Floats of which less than a hundredth is darker are remarked on: they may go from 0 to 1."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that defines p(x | y).

    Arguments:
        title: one line for people.
        prior_name: which prior.
        phi: its map.
        operator_text: as `operators.parse` reads it.
        likelihood: p(y | A(x)), on the [-1, 1] scale.
        y: (N, *y); counts under a Poisson likelihood.
        truth: (N, *x) clean images, None if unknown.
        observed: bool, shape of y: gaps on top of the operator's own; None for none.
        value_range: what -1 and 1 stand for in the user's file.
        source: where the image or measurement came from.
        simulated_by: the likelihood that y was drawn from where it is another one, its level
            unknown to the sampler.
    """

    title: str
    prior_name: str
    phi: NoiseMap
    operator_text: str
    likelihood: Likelihood
    y: Tensor
    truth: Tensor | None
    observed: Tensor | None
    value_range: ValueRange
    source: str
    simulated_by: Likelihood | None = None

    @cached_property
    def operator(self) -> Any:
        """A, made once: some read their weights from a file."""
        return parse(self.operator_text, tuple(self.phi.data_shape))  # type: ignore[attr-defined]

    def target(self, microbatch: int | None = None) -> NoisePosterior:
        """The posterior in noise space.

        Arguments:
            microbatch: rows per network call.

        Returns:
            The target.
        """
        return NoisePosterior(
            self.phi, self.operator, self.likelihood, self.y, self.observed, microbatch
        )

    def to(self, dtype: torch.dtype) -> Problem:
        """The problem in another precision.

        Arguments:
            dtype: of y, of the truth and so of the whole run.

        Returns:
            A copy.
        """
        return replace(
            self, y=self.y.to(dtype), truth=None if self.truth is None else self.truth.to(dtype)
        )

    def doubts(self) -> list[str]:
        """What makes the value range look wrong, a phrase each; empty if nothing does."""
        seen = observed_of(self.operator, tuple(self.phi.data_shape))  # type: ignore[attr-defined]
        kept = (
            torch.ones_like(self.y, dtype=torch.bool)
            if self.observed is None
            else self.observed.expand_as(self.y)
        )
        y = self.y[kept if seen is None else kept & seen.to(kept.device)]
        low, high = self.value_range.low, self.value_range.high
        found = []
        filled = 0.5 * float(y.max() - y.min())
        if self.truth is None and filled < NARROW:
            found.append(
                f"the measurement fills {100 * filled:.2g} % of {low:g} to {high:g}: is that "
                "its --range LO HI?"
            )
        elif self.value_range == UNSCALED and not isinstance(self.likelihood, Poisson):
            pixels = (
                self.truth
                if self.truth is not None
                else y
                if self._measures_black_as_black()
                else None
            )
            if pixels is not None and (pixels < DARKEST).double().mean() < 0.01:
                found.append(
                    "floats are taken as -1 (black) to 1 (white), and these have no dark half: "
                    "if 0 is black, give --range 0 1"
                )
        return found

    def _measures_black_as_black(self) -> bool:
        black = self.y.new_full((1, *self.phi.data_shape), -1.0)  # type: ignore[attr-defined]
        with torch.no_grad():
            return float(self.operator(black).median()) < -0.5

    def facts(self) -> dict[str, Any]:
        """What the report needs beside the draws, JSON-ready."""
        return {
            "title": self.title,
            "prior": self.prior_name,
            "operator": self.operator_text,
            "likelihood": text_of(self.likelihood),
            **(
                {"sigma_y": self.likelihood.sigma_y}
                if isinstance(self.likelihood, Gaussian)
                else {}
            ),
            **({"simulated_by": repr(self.simulated_by)} if self.simulated_by is not None else {}),
            "value_range": [self.value_range.low, self.value_range.high],
            "source": self.source,
            "simulated": self.truth is not None,
        }


def simulated(
    prior: Prior,
    phi: NoiseMap,
    operator: str,
    likelihood: Likelihood,
    images: Tensor,
    value_range: ValueRange,
    source: str,
    seed: int = 0,
    simulated_by: Likelihood | None = None,
) -> Problem:
    """Degrade clean images.

    Arguments:
        prior: the prior.
        phi: its map.
        operator: text for `operators.parse`.
        likelihood: p(y | A(x)), on the [-1, 1] scale.
        images: (N, C, H, W) in [-1, 1].
        value_range: of the file they came from.
        source: where they came from.
        seed: of the measurement noise.
        simulated_by: what y is drawn from; None: the likelihood.

    Returns:
        The problem, truth included.
    """
    A = parse(operator, prior.shape)
    with torch.no_grad():
        y = (simulated_by or likelihood).sample(
            A(images),
            keyed.rows(seed, len(images), device=images.device),
            observed_of(A, prior.shape),
        )
    return Problem(
        f"{source}: {operator}",
        prior.name,
        phi,
        operator,
        likelihood,
        y,
        images,
        None,
        value_range,
        source,
        simulated_by,
    )


def from_image(
    path: Path,
    prior: Prior,
    phi: NoiseMap,
    operator: str,
    likelihood: str,
    sigma_y: float | None,
    value_range: ValueRange | None,
    fit: Fit | None,
    seed: int,
    device: str,
) -> Problem:
    """Simulate from a clean image file.

    Arguments:
        path: of the image.
        prior: the prior.
        phi: its map.
        operator: text for `operators.parse`.
        likelihood: text for `likelihoods.parse`, in the file's unit.
        sigma_y: noise level of "gaussian" in the file's unit; for "unknown", of the measurement
            that is simulated and not told to the sampler.
        value_range: None takes the file's type's range.
        fit: how to bring another size to the prior's.
        seed: of the measurement noise.
        device: where the tensors live.

    Returns:
        The problem.
    """
    parse(operator, prior.shape)
    image, value_range = load_image(path, prior.shape, value_range, fit)
    unit = value_range.half
    hidden = likelihood.partition(":")[0].strip() == "unknown" and sigma_y is not None
    chosen = parse_likelihood(likelihood, None if hidden else sigma_y, unit)
    source = parse_likelihood("gaussian", sigma_y, unit) if hidden else None
    if isinstance(chosen, UnknownGaussian) and chosen.concentration < 1 and source is None:
        raise ConfigError(
            "a measurement of unknown noise level is simulated at the level of --sigma-y, "
            "which the sampler is not told: give --sigma-y"
        )
    return simulated(
        prior, phi, operator, chosen, image[None].to(device), value_range, path.name, seed, source
    )


def from_measurement(
    path: Path,
    prior: Prior,
    phi: NoiseMap,
    operator: str,
    likelihood: str,
    sigma_y: float | None,
    value_range: ValueRange | None,
    missing: str | None,
    device: str,
) -> Problem:
    """Take a measurement file as y.

    Arguments:
        path: of the measurement, of the shape A produces.
        prior: the prior.
        phi: its map.
        operator: text for `operators.parse`.
        likelihood: text for `likelihoods.parse`, in the file's unit; under "poisson" y is taken as
            counts, whatever the range.
        sigma_y: noise level of "gaussian" in the file's unit.
        value_range: None takes the file's type's range, for counts (-1, 1).
        missing: "nan", a number, or a mask file; None for no gaps.
        device: where the tensors live.

    Returns:
        The problem, without a truth.
    """
    A = parse(operator, prior.shape)
    counts = isinstance(parse_likelihood(likelihood, sigma_y), Poisson)
    shape = output_shape_of(A, prior.shape)
    y, observed, read_as = load_measurement(
        path, shape, UNSCALED if counts else value_range, missing, observed_of(A, prior.shape)
    )
    bounds = value_range or read_as
    gaps = None if observed is None else observed[None].to(device)
    chosen = parse_likelihood(likelihood, sigma_y, bounds.half)
    return Problem(
        f"{path.name}: {operator}",
        prior.name,
        phi,
        operator,
        chosen,
        y[None].to(device),
        None,
        gaps,
        bounds,
        path.name,
    )
