"""What a report shows: plain arrays and texts, independent of how a run is stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError
from .place import Place
from .text import Value

RGB = ("Red", "Green", "Blue")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ReportData:
    """One restored image, its draws and what is known about them.

    Pixels are on the library's scale, [-1, 1]. Only labels are converted to the user's unit: a
    pixel p reads low + (p + 1) (high - low) / 2, a standard deviation s reads s (high - low) / 2.

    Arguments:
        title: one line that names the problem.
        measurement: y: an image (C, h, w), a map (h, w) or a vector; NaN where not observed.
        mean: (C, H, W) mean over the draws.
        std: (C, H, W) standard deviation over the draws.
        samples: (chain, sample, C, H, W) a selection of the draws.
        nll: (chain, draw) trace of -log p(y | x).
        summary: the run's numbers by name; None: missing. "chi2" is the mean over "num_images".
        truth: (C, H, W) clean image; None: not known.
        observed: bool, broadcastable to y, True where measured; None: everywhere.
        residual: (y - A(x)) / noise averaged over the draws, shape of y; None: not shown.
        log_posterior: (chain, draw) trace of log p(z | y) up to a constant; None: not shown.
        acceptance_rate: (chain, draw) in [0, 1]; None: the kernel has none.
        settings: (group, [(name, value), ...]) pairs; "command" is shown as a command line.
        value_range: (low, high, unit): what the pixels -1 and 1 stand for; the unit may be empty.
        measurement_unit: the unit, perhaps empty, of a y that is not on the pixels' scale.
        bottom_up: whether the file has the bottom row first; the arrays here have the top one.
        quantiles: (3, C, H, W) the 5, 50 and 95 % quantiles of all draws; None: of the samples.
        r_hat: (C, H, W); None: the chains are too short.
        ess: (C, H, W) bulk effective sample size; None: the chains are too short.
        predicted: A(mean), shape of y; None: not shown.
        bands: the names of the channels; empty: red, green and blue, or numbers.
        place: ticks along the edges and the way to north; None: not known.
        how: how the measurement was made of x, a phrase such as "x is blurred"; may be empty.
        label: what a person calls the image, shown above the verdict; "": the title.
        files: of the run, which the report links to, relative to it.
        notes: warnings, shown below the pictures.
        remarks: what is shown there as well, but is no warning.
        has_step: False if the kernel has no step size to make smaller; None: not known.
        chi2_is_exact: whether m "chi2" follows chi-square(m), with m observed entries.
        chi2_std: standard deviation of an image's "chi2" if the model is right; NaN: it has none;
            None: that of chi-square if `chi2_is_exact`, else not known.

    Raises:
        ConfigError: the shapes do not fit together, or the value range is empty or not finite.

    Example:
        >>> import numpy as np, noisewalk as nw
        >>> x = np.random.default_rng(0).uniform(-1, 1, (2, 5, 1, 8, 8))
        >>> moments = {"mean": x.mean((0, 1)), "std": x.std((0, 1)), "nll": np.zeros((2, 5))}
        >>> shown = {"title": "Noise", "measurement": x[0, 0], "summary": {"nfe": 10}}
        >>> nw.report.ReportData(samples=x, **moments, **shown)
        ReportData('Noise', x=(1, 8, 8), y=(1, 8, 8), chains=2, draws=5, shown=5)
    """

    title: str
    measurement: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    samples: np.ndarray
    nll: np.ndarray
    summary: Mapping[str, Value]
    truth: np.ndarray | None = None
    observed: np.ndarray | None = None
    residual: np.ndarray | None = None
    log_posterior: np.ndarray | None = None
    acceptance_rate: np.ndarray | None = None
    settings: Sequence[tuple[str, Sequence[tuple[str, Any]]]] = ()
    value_range: tuple[float, float, str] = (-1.0, 1.0, "")
    measurement_unit: str | None = None
    bottom_up: bool = False
    quantiles: np.ndarray | None = None
    r_hat: np.ndarray | None = None
    ess: np.ndarray | None = None
    predicted: np.ndarray | None = None
    bands: Sequence[str] = ()
    place: Place | None = None
    how: str = ""
    label: str = ""
    files: Sequence[str] = ()
    notes: Sequence[str] = ()
    remarks: Sequence[str] = ()
    has_step: bool | None = True
    chi2_is_exact: bool = True
    chi2_std: float | None = None

    def __post_init__(self) -> None:
        x, y, chains = self.mean.shape, self.measurement.shape, len(self.samples)
        self._demand("mean", lambda v: v.ndim == 3, "(C, H, W)")
        for name in ("std", "truth", "r_hat", "ess"):
            self._demand(name, lambda v: v.shape == x, f"the mean's, {x}")
        allowed = f"(chain, sample, {', '.join(map(str, x))})"
        self._demand("samples", lambda v: v.ndim == 5 and v.shape[2:] == x, allowed)
        for name in ("nll", "log_posterior", "acceptance_rate"):
            allowed = f"(chain, draw) with the samples' {chains} chains"
            self._demand(name, lambda v: v.ndim == 2 and len(v) == chains, allowed)
        self._demand("quantiles", lambda v: v.shape == (3, *x), f"(3, *x) with x {x}")
        for name in ("residual", "predicted"):
            self._demand(name, lambda v: v.shape == y, f"the measurement's, {y}")
        self._demand("observed", lambda v: _broadcasts(v, y), f"one that broadcasts to {y}")
        low, high, _ = self.value_range
        if not 1e-30 <= abs(high - low) <= 1e30 or max(abs(low), abs(high)) > 1e30:
            allowed = "give two finite numbers, up to 1e30 and at least 1e-30 apart"
            raise ConfigError(f"the report's value range is {low} to {high}; {allowed}")

    def __repr__(self) -> str:
        chains, shown = self.samples.shape[:2]
        return (
            f"ReportData({self.title!r}, x={self.mean.shape}, y={self.measurement.shape}, "
            f"chains={chains}, draws={self.nll.shape[1]}, shown={shown})"
        )

    @property
    def unit(self) -> str:
        """The user's unit."""
        return self.value_range[2]

    @property
    def scale(self) -> float:
        """User's units per library unit, |high - low| / 2."""
        return abs(self.value_range[1] - self.value_range[0]) / 2

    @property
    def measured(self) -> np.ndarray:
        """Where y was measured: bool of y's shape, False where y is NaN."""
        observed = True if self.observed is None else np.asarray(self.observed, dtype=bool)
        return np.isfinite(self.measurement) & observed

    @property
    def measurement_on_grid(self) -> bool:
        """Whether the measurement is a picture of the same field of view as x, channel by
        channel."""
        x, y = self.mean, self.measurement
        if self.measurement_unit is not None or y.ndim != 3:
            return False
        return len(y) in (1, len(x)) and y.shape[1] * x.shape[2] == y.shape[2] * x.shape[1]

    @property
    def band_names(self) -> Sequence[str]:
        """A name for each channel."""
        count = len(self.mean)
        if len(self.bands) == count:
            return self.bands
        return RGB if count == 3 else [f"Band {i + 1}" for i in range(count)]

    def in_unit(self, x: np.ndarray) -> np.ndarray:
        """Values in [-1, 1] in the user's unit."""
        low, high, _ = self.value_range
        return low + (np.asarray(x, np.float64) + 1) * (high - low) / 2

    @property
    def one_each(self) -> bool:
        """Whether there are several chains of one draw, or particles."""
        return len(self.samples) > 1 and self.nll.shape[1] == 1

    @property
    def row_name(self) -> str:
        """What a row of the draws is: a chain, or a particle of tempered SMC."""
        return "Chain" if self.summary.get("log_evidence") is None else "Particle"

    def _demand(self, name: str, fits: Callable[[np.ndarray], bool], allowed: str) -> None:
        """Raise a ConfigError if an array is given and does not fit."""
        value = getattr(self, name)
        if value is not None and not fits(value):
            raise ConfigError(f"the report's {name} has shape {value.shape}; give {allowed}")


def as_list(data: ReportData | Sequence[ReportData]) -> list[ReportData]:
    """One report or several, as a list; ConfigError if there is none."""
    several = [data] if isinstance(data, ReportData) else list(data)
    if not several:
        raise ConfigError("a report of no images was asked for; give at least one ReportData")
    return several


def _broadcasts(values: np.ndarray, shape: tuple[int, ...]) -> bool:
    try:
        np.broadcast_to(values, shape)
    except ValueError:
        return False
    return True
