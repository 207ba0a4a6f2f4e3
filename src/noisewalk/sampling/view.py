"""One image of a run as what people look at: arrays in the file's unit, and the limits of the
pictures, which the truth, the mean and the draws share."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from .. import _pictures as pictures
from .._checks import whole
from ..errors import ConfigError
from .export import is_counted, observed_y, origin_of
from .scores import evenly

if TYPE_CHECKING:
    from ..files.measurement import Measurement
    from .run import Run

IN_UNITS = "value in [-1, 1]"


class View(NamedTuple):
    """One image; the arrays are (C, H, W) or whatever shape x and y have, in `unit`."""

    mean: np.ndarray
    std: np.ndarray
    draws: np.ndarray  # (n, *x), a selection
    truth: np.ndarray | None
    y: np.ndarray | None  # NaN where not observed
    limits: tuple[float, float]
    y_limits: tuple[float, float]
    unit: str  # of the labels
    origin: str  # where the first row is: "upper" or "lower"

    @property
    def error(self) -> np.ndarray | None:
        """|mean - truth| over the channels."""
        return None if self.truth is None else pictures.over_channels(self.mean - self.truth)

    @property
    def spread(self) -> np.ndarray:
        """The standard deviation over the channels."""
        return pictures.over_channels(self.std)

    @property
    def top(self) -> float:
        """The end of the colour bar of the uncertainty and the error."""
        parts = [self.spread] if self.error is None else [self.spread, self.error]
        return pictures.upper(*parts)

    @property
    def is_picture(self) -> bool:
        """Whether x is a field of pixels."""
        return self.mean.ndim >= 2


def view_of(
    run: "Run", image: int = 0, num_draws: int = 5, like: "Measurement | None" = None
) -> View:
    """The image of a number, with at most so many draws."""
    image = whole("image", image, 0, run.draws.shape[0] - 1)
    if run.draws.shape[2] == 0:
        raise ConfigError("the run has no draws yet: there is nothing to show")
    scale, unit, _ = origin_of(run, like)
    if scale.num_bands not in (None, 3):  # the bands of a grid have one bar: no unit fits it
        scale, unit = type(scale)(-1.0, 1.0), ""
    own = scale.num_bands is None and (scale.low, scale.high) != (-1.0, 1.0)

    def shown(x: Tensor) -> np.ndarray:
        return (scale.from_unit(x) if own else x.double()).cpu().numpy()

    moments = run.mean[image], run.std[image]
    std = moments[1].double() * (scale.half if own else 1.0)
    truth = None if run.truth is None else shown(run.truth[image])
    mean, draws = shown(moments[0]), shown(evenly(run.draws[image], num_draws))
    y, alike = _measurement(run, image), own and run.y is not None and not is_counted(run)
    if y is not None and alike and tuple(y.shape[1:]) == tuple(run.draws.shape[-2:]):
        y = scale.from_unit(y)
    known = [mean, draws] if truth is None else [mean, draws, truth]
    limits = pictures.limits(*known)
    values = None if y is None else y.cpu().numpy()
    y_limits = _y_limits(values, limits)
    label = (f"value in {unit}" if unit else "value in the file's unit") if own else IN_UNITS
    facts = run.spec.get("problem", {})
    origin = "lower" if facts.get("bottom_up") is True else "upper"
    return View(mean, std.cpu().numpy(), draws, truth, values, limits, y_limits, label, origin)


def _measurement(run: "Run", image: int) -> Tensor | None:
    if run.y is None:
        return None
    return observed_y(run)[image].double()


def _y_limits(y: np.ndarray | None, limits: tuple[float, float]) -> tuple[float, float]:
    """The limits of x where y is on its scale, else its own."""
    if y is None:
        return limits
    low, high = pictures.limits(y)
    width = limits[1] - limits[0]
    near = low >= limits[0] - width / 2 and high <= limits[1] + width / 2
    return limits if near else (low, high)


def verdict_line(summary: dict[str, Any]) -> str:
    """The verdict with its reason, as one text."""
    return f"{str(summary['verdict']).capitalize()}: {summary['verdict_reason']}"
