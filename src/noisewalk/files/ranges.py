"""Which values -1 and 1 stand for: from a file's unit to the library's scale and back.

A range given by the user (`--range`) goes before all else; (-1, 1) leaves values as they are.
Without one, integers of 8 bits have the range of their type, and floats in .npy and .npz files are
taken as [-1, 1] unless they lie beyond the bound of their kind. Everything else is refused with the
quantiles that help to choose a range.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._checks import real
from ..errors import ConfigError


@dataclass(frozen=True)
class ValueRange:
    """What -1 and 1 stand for in the file's unit.

    With m = (low + high) / 2 and h = (high - low) / 2,
    x = (v - m) / h,    v = m + h x,    sigma_x = sigma_v / h.

    Arguments:
        low: value, in the file's unit, that -1 stands for; one of each band, or one for all.
        high: value that 1 stands for; above low.

    Raises:
        ConfigError: a bound is not finite, or low is not below high.

    Example:
        >>> unit = nw.files.ValueRange(0, 255)
        >>> unit.to_unit(np.array([0, 255])), unit.scale_sigma(12.75)
        (tensor([-1.,  1.]), 0.1)
        >>> nw.files.ValueRange((0, 0), (10, 20)).to_unit(np.full((2, 1, 1), 10)).flatten()
        tensor([1., 0.])
    """

    low: float | tuple[float, ...]
    high: float | tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            ends = [real(f"the {name} end of --range LO HI", v) for v in _each(getattr(self, name))]
            one = not isinstance(getattr(self, name), tuple | list)
            object.__setattr__(self, name, ends[0] if one else tuple(ends))
        if len(_each(self.low)) != len(_each(self.high)) or not all(
            low < high and high / 2 - low / 2 < np.inf
            for low, high in zip(_each(self.low), _each(self.high), strict=True)
        ):
            raise ConfigError(f"--range LO HI needs LO below HI, got {self.low} {self.high}")

    @classmethod
    def of(cls, dtype: np.dtype) -> "ValueRange":
        """The range of an integer type, (0, 1) of bool, (-1, 1) of floats."""
        if dtype.kind in "iu":
            return cls(float(np.iinfo(dtype).min), float(np.iinfo(dtype).max))
        return cls(0.0, 1.0) if dtype.kind == "b" else cls(-1.0, 1.0)

    @classmethod
    def by_band(cls, text: str) -> "ValueRange":
        """That of --band-range, such as 0:3000,0:2500,0:4000."""
        try:
            ends = [tuple(map(float, part.split(":"))) for part in text.split(",")]
            low, high = zip(*((low, high) for low, high in ends), strict=True)
        except ValueError:
            example = "such as 0:3000,0:2500,0:4000"
            raise ConfigError(f"--band-range takes LO:HI a band, {example}; got {text!r}") from None
        return cls(tuple(low), tuple(high))

    def __str__(self) -> str:
        pairs = zip(_each(self.low), _each(self.high), strict=True)
        return ", ".join(f"{low:g} to {high:g}" for low, high in pairs)

    @property
    def text(self) -> str:
        """As --band-range takes it."""
        pairs = zip(_each(self.low), _each(self.high), strict=True)
        return ",".join(f"{low!r}:{high!r}" for low, high in pairs)

    @property
    def num_bands(self) -> int | None:
        """How many bands have a range of their own; None: one range for all."""
        return len(self.low) if isinstance(self.low, tuple) else None

    @property
    def half(self) -> Any:
        """h, what one unit of [-1, 1] is in the file's unit; by band a tensor (C, 1, 1)."""
        return _tensor(self.high) / 2 - _tensor(self.low) / 2

    @property
    def middle(self) -> Any:
        """m, the value that 0 stands for; by band a tensor (C, 1, 1)."""
        return _tensor(self.high) / 2 + _tensor(self.low) / 2

    def to_unit(self, values: np.ndarray | Tensor) -> Tensor:
        """x of v in the file's unit, rounded to float32 and not clipped; NaN stays NaN."""
        given = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, "f8"))
        return ((given.double() - self.middle) / self.half).float()

    def from_unit(self, x: Tensor) -> Tensor:
        """v of x, in float64, not clipped: rounding gives 8- and 16-bit integers back exactly."""
        return self.middle + self.half * x.double()

    def scale_sigma(self, sigma: Any) -> Any:
        """sigma_x of a standard deviation in the file's unit."""
        return sigma / self.half


def _each(ends: Any) -> Any:
    return ends if isinstance(ends, tuple | list) else (ends,)


def _tensor(ends: float | tuple[float, ...]) -> Any:
    """The ends by band as a tensor (C, 1, 1), one end as it is."""
    if not isinstance(ends, tuple):
        return ends
    return torch.tensor(ends, dtype=torch.float64)[:, None, None]


class NoRangeError(ConfigError):
    """A file does not say what -1 and 1 stand for; the message proposes a range."""

    def __init__(self, message: str, physical: bool = False) -> None:
        super().__init__(message)
        self.physical = physical  # whether the values are floats, perhaps in a prior's own unit


def implied_range(values: np.ndarray, path: Path, bound: float) -> ValueRange:
    """The range of a file that is given without one; NoRangeError where none is sure."""
    dtype, scaled = values.dtype, path.suffix.lower() in (".npy", ".npz")
    if dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize == 1):
        return ValueRange.of(dtype)
    inside = scaled and not (np.abs(values[np.isfinite(values)]) > bound).any()
    if dtype.kind == "f" and inside:
        return UNSCALED
    why = "not in [-1, 1]" if dtype.kind == "f" and scaled else "of unknown range"
    raise NoRangeError(f"{path} has {dtype} values {why}: {_proposal(values)}", dtype.kind == "f")


def _proposal(values: np.ndarray) -> str:
    """The quantiles of the finite values and the option to type."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "none is finite; give the --range LO HI of the values that are there"
    low, one, most, high = np.quantile(finite, (0.0, 0.01, 0.99, 1.0))
    found = f"minimum {low:.6g}, 1 % {one:.6g}, 99 % {most:.6g}, maximum {high:.6g}"
    example = f"--range {low:.3g} {high:.3g}" if high > low else "--range LO HI"
    meant = "the values that are black and white in the prior's images, whatever this file holds"
    taken = "--range -1 1 takes the values as they are"
    return f"{found}; give --range LO HI: {meant} ({example} is a guess; {taken})"


def span(values: np.ndarray) -> str:
    """The least and the largest finite value, for messages."""
    finite = values[np.isfinite(values)]
    return f"{float(finite.min()):g} to {float(finite.max()):g}"


UNSCALED = ValueRange(-1.0, 1.0)
"""Leaves counts and floats as they are."""
