"""A restoration problem: prior, operator, likelihood and measurement, from a file."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from .._simulate import simulate
from .._text import printable, split
from ..errors import ConfigError
from ..files.georeference import Georeference
from ..files.levels import is_file
from ..files.masks import Gaps
from ..files.measurement import Given, clean_image, measure
from ..files.ranges import UNSCALED, NoRangeError, ValueRange
from ..likelihoods import parse as parse_likelihood
from ..likelihoods import text_of
from ..likelihoods.base import LikelihoodBase
from ..operators import held_by, observed_of, output_shape_of, parse
from ..operators.compose import Compose
from ..operators.linear import AveragePool, Convolution
from ..operators.nonlinear import PhaseRetrieval
from ..operators.order import out_of_order
from ..posterior import NoisePosterior
from ..types import NoiseMap, Operator
from .options import map_of, number
from .scene import shape_of_x

if TYPE_CHECKING:
    from ..priors.prior import Prior
    from .sample import SampleOptions


@dataclass(frozen=True)
class Typed:
    """The likelihood and its noise level as they were typed, in the file's unit."""

    likelihood: str
    sigma_y: float | str | None
    scale: float  # what a difference of 1 on the scale of [-1, 1] is in that unit

    def facts(self) -> dict[str, Any]:
        """For spec.json: a level that is a number as one, a file by its name."""
        gaussian = self.sigma_y is not None and split(self.likelihood)[0] == "gaussian"
        level = self.sigma_y if is_file(self.sigma_y) else float(self.sigma_y or 0)
        told = {"sigma_y": level} if gaussian else {}
        return {"likelihood": self.likelihood, **told, "unit_scale": self.scale}

    def __str__(self) -> str:
        level = f", sigma_y {self.sigma_y}" if "sigma_y" in self.facts() else ""
        return f"{self.likelihood}{level}"


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
    unit: str = ""
    georeference: Georeference | None = None
    """Of x."""
    typed: "Typed | None" = None
    """The noise in the file's unit; None: it is known on the scale of [-1, 1] alone."""

    @property
    def title(self) -> str:
        """One line for people."""
        return f"{self.source}: {self.operator_text}"

    @property
    def noise(self) -> Typed:
        """The noise as it was typed."""
        text, level = text_of(self.likelihood), self.level
        return self.typed or Typed(text, None if level is None else float(level), 1.0)

    @property
    def gaps(self) -> str:
        """How much of the measurement is missing, beside what the operator hides."""
        count = 0 if self.observed is None else int((~self.observed).sum())
        return f"missing: {count:,} of {self.y.numel():,}"

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
        level = self.level
        if isinstance(level, Tensor):
            found["sigma_y"] = level.cpu()
        held = {name: value[None].expand(count, *value.shape) for name, value in found.items()}
        return held if self.truth is None else {**held, "truth": self.truth}

    def facts(self) -> dict[str, Any]:
        """What the report needs beside the draws, ready for JSON."""
        by, bands, place = self.simulated_by, self.value_range.num_bands, self.georeference
        low, high = self.value_range.low, self.value_range.high
        shared: Any = [-1.0, 1.0] if bands else [low, high]
        return {
            "title": self.title,
            "prior": self.prior_name,
            "operator": self.operator_text,
            **self.noise.facts(),
            **({} if by is None else {"simulated_by": repr(by)}),
            "range": shared,
            **({"band_range": self.value_range.text} if bands else {}),
            **({"unit": self.unit} if self.unit else {}),
            **({} if place is None else {"georeference": place.facts()}),
            **({"bottom_up": True} if place is not None and place.format == "fits" else {}),
            "source": self.source,
            "simulated": self.truth is not None,
        }

    @property
    def level(self) -> float | Tensor | None:
        """The noise level on the scale of [-1, 1], of a likelihood that has one."""
        return getattr(self.likelihood, "sigma_y", None)

    def doubts(self) -> list[str]:
        """What makes the operator or the value range look wrong, a phrase each."""
        wrong = out_of_order(self.operator)
        return [*([] if wrong is None else [wrong]), *self._doubts_of_range()]

    def _doubts_of_range(self) -> list[str]:
        seen = torch.ones_like(self.y, dtype=torch.bool)
        shape = tuple(self.phi.data_shape)  # type: ignore[attr-defined]
        for mask in (self.observed, observed_of(self.operator, shape)):
            seen = seen if mask is None else seen & mask.to(seen.device)
        y = self.y[seen]
        filled = 0.5 * float(y.max() - y.min())
        if self.truth is None and filled < NARROW:
            share = f"the measurement fills {100 * filled:.2g} % of {self.value_range}"
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
    o, shape = options, shape_of_x(options, prior)
    field = None if shape == prior.shape and o.window is None else shape[-2:]
    own: Any = _own_error(o.representation_error)
    phi = map_of(prior, o.num_steps, field, o.window, o.margin, own)  # type: ignore[arg-type]
    operator = parse(o.operator, shape)
    parts: Parts = (printable(o.input.name), prior.name, phi, o.operator, operator)
    read = _simulated if o.simulate else _measured
    try:
        problem = read(o, shape, parts)
    except NoRangeError as error:
        own = prior.card.get("range")
        if own is None or not error.physical:
            raise ConfigError(f"{error}; {prior.name}'s images: {prior.unit}") from error
        problem = read(replace(o, range=tuple(own)), shape, parts)
    return problem.in_float64() if o.dtype == "float64" else problem


def _own_error(text: str | None) -> float | str | None:
    """The value of --representation-error."""
    if text is None or text == "card":
        return text
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"--representation-error must be card or a number such as 0.05, got {text!r}"
        ) from None


def _simulated(options: "SampleOptions", shape: tuple[int, ...], parts: Parts) -> Problem:
    """A clean image and its measurement; an unknown level is simulated at that of --sigma-y."""
    o, name = options, split(options.likelihood)[0]
    unknown = name == "unknown"
    bounds = None if o.range is None else ValueRange(*o.range)
    image = clean_image(o.input, shape, bounds, o.fit, o.bands)  # type: ignore[arg-type]
    truth, operator, half = image.y.to(o.device), parts[-1], image.range.half
    level = number("--sigma-y", o.sigma_y)
    _check_peak(o.likelihood, name == "poisson", image.range)
    hidden = unknown and level is not None
    likelihood: Any = parse_likelihood(o.likelihood, None if hidden else level, half)
    source = parse_likelihood("gaussian", level, half) if hidden else None
    if unknown and not hidden and likelihood.concentration < 1:
        why = "a measurement of unknown noise level is simulated at the level of --sigma-y"
        raise ConfigError(f"{why}, which the sampler is not told: give --sigma-y")
    y = simulate(operator, source or likelihood, truth, o.seed or 0)
    more = image.unit, image.georeference, Typed(o.likelihood, o.sigma_y, half)
    return Problem(*parts, likelihood, y, image.range, truth, None, source, *more)


def _measured(options: "SampleOptions", shape: tuple[int, ...], parts: Parts) -> Problem:
    """A measurement file as y; counts stay as they are, whatever the range of the outputs."""
    o, operator = options, parts[-1]
    size, seen = output_shape_of(operator, shape), observed_of(operator, shape)
    name = split(o.likelihood)[0]
    gaps = Gaps(o.missing, o.observed, o.bits)
    given = Given(o.sigma_y, o.variance, gaps, o.bands, o.range, o.band_range)
    counts = parse_likelihood(o.likelihood, None if o.sigma_y is None else 1.0).counts
    _check_peak(o.likelihood, counts, given.bounds)
    m = measure(o.input, given, size, counts, seen)
    half = m.range.half
    if isinstance(half, Tensor) and name not in ("gaussian", "poisson"):
        raise ConfigError(f"--band-range does not say the unit of {name}'s values: give --range")
    likelihood = parse_likelihood(o.likelihood, m.sigma_y, 1.0 if name == "gaussian" else half)
    y, hidden = m.y.to(o.device), None if m.observed is None else m.observed.to(o.device)
    typed = Typed(o.likelihood, o.sigma_y, 1.0 if isinstance(half, Tensor) else half)
    place = m.georeference and _of_image(m.georeference, operator)
    return Problem(*parts, likelihood, y, m.range, None, hidden, None, m.unit, place, typed)


def _check_peak(text: str, counts: bool, bounds: ValueRange | None) -> None:
    """ConfigError where the peak of counts is neither given nor the end of a range from 0."""
    if not counts or "peak" in text:
        return
    if bounds is None or bounds.low != 0.0:
        ways = "add peak=P, the mean of a pixel with x = 1, or give --range 0 P"
        raise ConfigError(f"--likelihood {text} does not say how bright an image is: {ways}")


def _of_image(place: Georeference, operator: Operator) -> Georeference:
    """The place of x from that of y: its pixels may be larger, and its border narrower."""
    steps = operator.steps if isinstance(operator, Compose) else (operator,)
    factor, top, left = 1, 0, 0
    for step in steps:
        if isinstance(step, PhaseRetrieval):
            return Georeference(place.format)
        if isinstance(step, Convolution) and step.boundary == "valid":
            high, wide = step.kernel.shape
            top, left = top + factor * ((high - 1) // 2), left + factor * ((wide - 1) // 2)
        factor *= step.factor if isinstance(step, AveragePool) else 1
    return place.finer(factor, top, left)
