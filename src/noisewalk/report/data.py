"""What a report shows: plain arrays and strings, independent of how a run is stored.

Pixels are on the library's scale, [-1, 1]; `value_range` says what -1 and 1 mean to the user, and
only labels are converted: a pixel p reads low + (p + 1) (high - low) / 2, a standard deviation s
reads s (high - low) / 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ConfigError


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ReportData:
    """One restored image, its draws and what is known about them.

    Arguments:
        title: one line that names the problem.
        measurement: y, any shape; (C, h, w) is shown as an image, (h, w) as a heat map, a vector as
            a curve. NaN counts as unobserved.
        mean: (C, H, W) mean over the draws.
        std: (C, H, W) standard deviation over the draws.
        samples: (chain, sample, C, H, W) a selection of the draws.
        nll: (chain, draw) trace of -log p(y | x).
        summary: the run's numbers by name, None where there is none. "chi2" with "num_images" is
            the mean over so many images; "psnr" is that of the mean where "psnr_draws" is given
            too.
        truth: (C, H, W) clean image; None: not known.
        observed: bool, broadcastable to y, True where measured; None: everywhere.
        residual: (y - A(x)) / noise averaged over the draws, shape of y; None: not shown.
        log_posterior: (chain, draw) trace of log p(z | y) up to a constant; None: not shown.
        acceptance_rate: (chain, draw) in [0, 1]; None: the kernel has none.
        settings: (group, [(name, value), ...]) pairs in the order of display; a name "command" is
            shown as the command line.
        value_range: (low, high, unit): what the pixels -1 and 1 stand for; the unit may be empty.
        measurement_unit: None: y is on the pixel scale; else y is on its own scale (counts, Fourier
            magnitudes) and this is its unit, which may be empty.
        notes: warnings that must be seen first.
        remarks: what must be seen first as well, but is no warning.
        has_step: whether the kernel has a step size; without one (slice sampling) a low acceptance
            means nothing.
        likelihood: its name and values; "gaussian", alone or before a ":", is one of known sigma_y.
        chi2_std: standard deviation of "chi2" of one image if the model is right; None: a Gaussian
            likelihood's, sqrt(2 / m), of others not known; NaN: none.

    Raises:
        ConfigError: shapes that do not fit together.
    """

    title: str
    measurement: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    samples: np.ndarray
    nll: np.ndarray
    summary: Mapping[str, float | int | str | None]
    truth: np.ndarray | None = None
    observed: np.ndarray | None = None
    residual: np.ndarray | None = None
    log_posterior: np.ndarray | None = None
    acceptance_rate: np.ndarray | None = None
    settings: Sequence[tuple[str, Sequence[tuple[str, Any]]]] = ()
    value_range: tuple[float, float, str] = (-1.0, 1.0, "")
    measurement_unit: str | None = None
    notes: Sequence[str] = field(default=())
    remarks: Sequence[str] = field(default=())
    has_step: bool = True
    likelihood: str = "gaussian"
    chi2_std: float | None = None

    def __post_init__(self) -> None:
        if self.mean.ndim != 3:
            raise ConfigError(f"the report's mean has shape {self.mean.shape}; give (C, H, W)")
        for name in ("std", "truth"):
            value = getattr(self, name)
            if value is not None and value.shape != self.mean.shape:
                raise ConfigError(
                    f"the report's {name} has shape {value.shape}; give the mean's, "
                    f"{self.mean.shape}"
                )
        if self.samples.ndim != 5 or self.samples.shape[2:] != self.mean.shape:
            raise ConfigError(
                f"the report's samples have shape {self.samples.shape}; give (chain, sample, "
                f"{', '.join(map(str, self.mean.shape))})"
            )
        for name in ("nll", "log_posterior", "acceptance_rate"):
            value = getattr(self, name)
            if value is not None and (value.ndim != 2 or len(value) != len(self.samples)):
                raise ConfigError(
                    f"the report's {name} has shape {value.shape}; give (chain, draw) with the "
                    f"samples' {len(self.samples)} chains"
                )
        if self.residual is not None and self.residual.shape != self.measurement.shape:
            raise ConfigError(
                f"the report's residual has shape {self.residual.shape}; give the "
                f"measurement's, {self.measurement.shape}"
            )
        if self.observed is not None:
            try:
                np.broadcast_to(self.observed, self.measurement.shape)
            except ValueError:
                raise ConfigError(
                    f"the report's observed has shape {self.observed.shape}; give one that "
                    f"broadcasts to {self.measurement.shape}"
                ) from None
        low, high, _ = self.value_range
        if not (np.isfinite(low) and np.isfinite(high) and low != high):
            raise ConfigError(
                f"the report's value range is {low} to {high}; give two different finite numbers"
            )

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
        """User's units per library unit, (high - low) / 2, positive."""
        return abs(self.value_range[1] - self.value_range[0]) / 2

    @property
    def measured(self) -> np.ndarray:
        """Where y was measured: bool of y's shape, False where it is NaN."""
        observed = True if self.observed is None else np.asarray(self.observed, dtype=bool)
        return np.isfinite(self.measurement) & observed


def as_list(data: ReportData | Sequence[ReportData]) -> list[ReportData]:
    """One report or several, as a list.

    Arguments:
        data: one, or a sequence.

    Returns:
        At least one.

    Raises:
        ConfigError: the sequence is empty.
    """
    several = [data] if isinstance(data, ReportData) else list(data)
    if not several:
        raise ConfigError("a report of no images was asked for; give at least one ReportData")
    return several
