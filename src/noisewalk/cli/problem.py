"""A restoration problem: prior, operator, likelihood and measurement, from a file."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from .._text import split
from ..errors import ConfigError
from ..files import ValueRange, load_image, load_measurement
from ..files.ranges import UNSCALED, NoRangeError
from ..likelihoods import parse as parse_likelihood
from ..likelihoods import text_of
from ..likelihoods.base import LikelihoodBase
from ..operators import held_by, observed_of, output_shape_of, parse
from ..posterior import NoisePosterior, simulate
from ..types import NoiseMap, Operator
from .options import map_of

if TYPE_CHECKING:
    from ..priors.prior import Prior
    from .sample import SampleOptions

Parts: TypeAlias = tuple[str, str, NoiseMap, str, Operator]
"""The first five fields of a problem."""
NARROW = 0.2  # a measurement that fills a smaller share of the value range is doubted
DARKEST = -0.1
"""Floats are doubted where less than a hundredth of them is darker: they may go from 0 to 1."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that defines p(x | y), on the scale of [-1, 1], and what people call it."""

    source: str
    prior_name: str
    phi: NoiseMap
    operator_text: str
    operator: Operator
    likelihood: LikelihoodBase
    y: Tensor
    value_range: ValueRange  # what -1 and 1 stand for in the user's file
    truth: Tensor | None = None
    observed: Tensor | None = None
    """Bool, shape of y: False in the gaps, which come on top of the operator's own."""
    simulated_by: LikelihoodBase | None = None
    """What y was drawn from, where it is not the likelihood."""

    @property
    def title(self) -> str:
        """One line for people."""
        return f"{self.source}: {self.operator_text}"

    def target(self, microbatch: int | None = None) -> NoisePosterior:
        """The posterior in noise space."""
        parts = self.phi, self.operator, self.likelihood, self.y, self.observed
        return NoisePosterior(*parts, microbatch)

    def in_float64(self) -> "Problem":
        """The problem in double precision, and with it the whole run."""
        truth = None if self.truth is None else self.truth.double()
        return replace(self, y=self.y.double(), truth=truth)

    def arrays(self) -> dict[str, Tensor]:
        """What a run keeps of the problem: the operator's masks and kernels, and the truth."""
        count, found = len(self.y), held_by(self.operator)
        held = {name: value[None].expand(count, *value.shape) for name, value in found.items()}
        return held if self.truth is None else {**held, "truth": self.truth}

    def facts(self) -> dict[str, Any]:
        """What the report needs beside the draws, ready for JSON."""
        level = getattr(self.likelihood, "sigma_y", None)
        by = self.simulated_by
        return {
            "title": self.title,
            "prior": self.prior_name,
            "operator": self.operator_text,
            "likelihood": text_of(self.likelihood),
            **({} if level is None else {"sigma_y": level}),
            **({} if by is None else {"simulated_by": repr(by)}),
            "range": [self.value_range.low, self.value_range.high],
            "source": self.source,
            "simulated": self.truth is not None,
        }

    def doubts(self) -> list[str]:
        """What makes the value range look wrong, a phrase each."""
        seen = torch.ones_like(self.y, dtype=torch.bool)
        shape = tuple(self.phi.data_shape)  # type: ignore[attr-defined]
        for mask in (self.observed, observed_of(self.operator, shape)):
            seen = seen if mask is None else seen & mask.to(seen.device)
        y, (low, high) = self.y[seen], (self.value_range.low, self.value_range.high)
        filled = 0.5 * float(y.max() - y.min())
        if self.truth is None and filled < NARROW:
            share = f"the measurement fills {100 * filled:.2g} % of {low:g} to {high:g}"
            return [f"{share}: is that its --range LO HI?"]
        if self.value_range != UNSCALED or self.likelihood.counts:
            return []
        pixels = self.truth
        if pixels is None:
            with torch.no_grad():
                black = self.operator(self.y.new_full((1, *shape), -1.0))
            pixels = y if float(black.median()) < -0.5 else None  # where black is seen as black
        if pixels is None or (pixels < DARKEST).double().mean() >= 0.01:
            return []
        taken = "floats are taken as -1 (black) to 1 (white), and these have no dark half"
        return [f"{taken}: if 0 is black, give --range 0 1"]


def read_problem(options: "SampleOptions", prior: "Prior") -> Problem:
    """The problem of `noisewalk sample`, from its file."""
    o, phi = options, map_of(prior, options.num_steps)
    operator = parse(o.operator, prior.shape)
    bounds = None if o.range is None else ValueRange(*o.range)
    parts: Parts = (o.input.name, prior.name, phi, o.operator, operator)
    try:
        problem = (_simulated if o.simulate else _measured)(o, prior.shape, bounds, parts)
    except NoRangeError as error:
        raise ConfigError(f"{error}; {prior.name}'s images: {prior.unit}") from error
    return problem.in_float64() if o.dtype == "float64" else problem


def _simulated(
    options: "SampleOptions", shape: tuple[int, ...], bounds: ValueRange | None, parts: Parts
) -> Problem:
    """A clean image and its measurement; an unknown level is simulated at that of --sigma-y."""
    o, unknown = options, split(options.likelihood)[0] == "unknown"
    image, found = load_image(o.input, shape, bounds, o.fit)  # type: ignore[arg-type]
    truth, operator = image[None].to(o.device), parts[-1]
    hidden = unknown and o.sigma_y is not None
    likelihood: Any = parse_likelihood(o.likelihood, None if hidden else o.sigma_y, found.half)
    source = parse_likelihood("gaussian", o.sigma_y, found.half) if hidden else None
    if unknown and not hidden and likelihood.concentration < 1:
        why = "a measurement of unknown noise level is simulated at the level of --sigma-y"
        raise ConfigError(f"{why}, which the sampler is not told: give --sigma-y")
    y = simulate(operator, source or likelihood, truth, o.seed)
    return Problem(*parts, likelihood, y, found, truth, None, source)


def _measured(
    options: "SampleOptions", shape: tuple[int, ...], bounds: ValueRange | None, parts: Parts
) -> Problem:
    """A measurement file as y; counts stay as they are, whatever the range of the outputs."""
    o, operator = options, parts[-1]
    size, seen = output_shape_of(operator, shape), observed_of(operator, shape)
    scale = UNSCALED if parse_likelihood(o.likelihood, o.sigma_y).counts else bounds
    y, observed, found = load_measurement(o.input, size, scale, o.missing, seen)
    found = bounds or found
    likelihood = parse_likelihood(o.likelihood, o.sigma_y, found.half)
    gaps = None if observed is None else observed[None].to(o.device)
    return Problem(*parts, likelihood, y[None].to(o.device), found, observed=gaps)
