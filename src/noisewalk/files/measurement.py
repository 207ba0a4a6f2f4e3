"""From a file to a tensor on the scale of [-1, 1]: a clean image, or a measurement y."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from .. import _pictures
from .._checks import one_of
from ..errors import ConfigError
from .arrays import read_array
from .georeference import Georeference
from .levels import Level, noise_level
from .masks import Gaps, present
from .ranges import UNSCALED, ValueRange, implied_range, span
from .reading import numbers_in
from .resize import Fit, fitted

IMAGE_BOUND = 1.5  # largest |x| of a clean image: room for the overshoot of a resampling filter
MEASUREMENT_BOUND = 4.0  # largest |y| of a measurement: 1 plus six sigma_y of 0.5


def load_image(
    path: str | Path,
    shape: tuple[int, ...],
    value_range: ValueRange | None = None,
    fit: Fit | None = None,
) -> tuple[Tensor, ValueRange]:
    """Read a clean image for a simulation.

    `fit` changes images of another shape. "crop" takes the centre at full resolution. "resize"
    takes the largest centre part of the right aspect ratio and resamples it (antialiased bicubic,
    clipped to that part's extremes). "pad" centres the image on the darkest value, -1. Each
    converts RGB to grey by Rec. 601 luma and grey to RGB by repetition.

    Arguments:
        path: a file that `read_array` reads, (C, H, W) or (H, W).
        shape: (C, H, W) of the prior's x.
        value_range: what -1 and 1 stand for; None: the ends of the type for 8 bits, (-1, 1) for
            floats in .npy and .npz files.
        fit: "crop", "resize" or "pad"; None: the shape must be right already.

    Returns:
        The image, (C, H, W) float32 with |x| of at most `IMAGE_BOUND`, and the range used.

    Raises:
        ConfigError: the file, its shape (names --fit) or its values (names --range) cannot be used.

    Example:
        >>> import noisewalk as nw, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(path := f"{folder}/grey.npy", np.full((4, 6), 255, np.uint8))
        ...     nw.files.load_image(path, (1, 1, 2), fit="crop")
        (tensor([[[1., 1.]]]), ValueRange(low=0.0, high=255.0))
    """
    image = clean_image(path, shape, value_range, fit)
    return image.y[0], image.range


def clean_image(
    path: str | Path,
    shape: tuple[int, ...],
    value_range: ValueRange | None = None,
    fit: Fit | None = None,
    bands: str | None = None,
) -> "Measurement":
    """As `load_image`, with the unit of the file, and its place where the image is not fitted."""
    taken = numbers_in("--bands", bands, 1) or None
    if fit is not None:
        one_of("--fit", fit, get_args(Fit))
    shape = tuple(shape)

    def look(found: tuple[int, ...]) -> None:
        found = found if taken is None or len(found) != 3 else (len(taken), *found[1:])
        few = (1, 3, shape[0])
        last = len(found) == 3 and found[0] not in few and found[-1] in (4, *few)
        if last or len(found) != 3:
            raise _misfit(path, found, shape, "allowed are (C, H, W) and (H, W)", last)
        if fit is None and found != shape:
            raise _misfit(path, found, shape, "give --fit crop, resize or pad", False)

    reading = read_array(path, look).select(taken)
    values = reading.values
    if reading.missing is not None and reading.missing.any():
        found = f"{int(reading.missing.sum())} missing values of {values.size}"
        raise ConfigError(f"{path} has {found}; a clean image has none: cut out a whole part")
    value_range = value_range or implied_range(values, reading.path, IMAGE_BOUND)
    x = value_range.to_unit(values)
    if bad := int((~x.isfinite()).sum()):
        held = f"{bad} NaN or infinite values of {x.numel()}"
        raise ConfigError(f"{path} has {held}; a clean image has none")
    if x.abs().max() > IMAGE_BOUND:
        raise _too_far(path, values, value_range)
    place = reading.georeference
    if x.shape != shape and fit is not None:
        x, place = (
            fitted(x, shape, fit, path),
            None if place is None else Georeference(place.format),
        )
    return Measurement(x[None], None, None, reading.unit, place, value_range)


@dataclass(frozen=True)
class Given:
    """How a file is to be taken, as `open` says it; None where the user leaves it open."""

    sigma_y: Level | None = None
    variance: bool = False
    gaps: Gaps = field(default_factory=Gaps)
    bands: str | tuple[int, ...] | None = None
    range: tuple[float, float] | ValueRange | None = None
    band_range: str | None = None

    def __post_init__(self) -> None:
        if self.range is not None and self.band_range is not None:
            raise ConfigError("--range is one for all bands, --band-range one each: give one")
        if self.variance and self.sigma_y is None:
            raise ConfigError("--variance says what --sigma-y is: give --sigma-y too")

    @property
    def bounds(self) -> ValueRange | None:
        """What -1 and 1 stand for, where it is given."""
        if self.band_range is not None:
            return ValueRange.by_band(self.band_range)
        if self.range is None or isinstance(self.range, ValueRange):
            return self.range
        return ValueRange(*self.range)


@dataclass(frozen=True, eq=False, repr=False)
class Measurement:
    """A measurement from a file, on the scale of [-1, 1].

    Arguments:
        y: (1, C, H, W) float32, 0 where not observed.
        observed: (1, C, H, W) bool, False in the gaps; None: there is none.
        sigma_y: its noise level on the same scale, a number or (C, H, W); None: not given.
        unit: of the file, "" where it does not say.
        georeference: where its pixels lie; None: the format has no place for it.
        range: what -1 and 1 stand for in that unit.

    Example:
        >>> m = nw.files.Measurement(torch.zeros(1, 1, 2, 2), sigma_y=0.1)
        >>> m  # doctest: +ELLIPSIS
        Measurement(shape 1 x 2 x 2, missing 0 of 4, ... level, of [-1, 1] 0.1, place not known)
    """

    y: Tensor
    observed: Tensor | None = None
    sigma_y: float | Tensor | None = None
    unit: str = ""
    georeference: Georeference | None = None
    range: ValueRange = UNSCALED

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value in self._told().items())
        return f"Measurement({told})"

    def _told(self) -> dict[str, str]:
        level = self.sigma_y
        noise = (
            "not given" if level is None else f"{level:g}" if isinstance(level, float) else "map"
        )
        return {
            "shape": " x ".join(map(str, self.y.shape[1:])),
            "missing": f"{self.num_missing:,} of {self.y.numel():,}",
            "-1 and 1 are": f"{self.range} {self.unit}".strip(),
            "noise level, of [-1, 1]": noise,
            "place": "known" if self.georeference is not None else "not known",
        }

    def _repr_html_(self) -> str:
        numbers = self._told()
        y = self.y if self.observed is None else self.y.where(self.observed, torch.nan)
        shown = [("measurement", _pictures.shades(y[0], *_pictures.limits(y)))]
        return _pictures.card("Measurement", "", shown, numbers)

    @property
    def num_missing(self) -> int:
        """The entries of y in gaps."""
        return 0 if self.observed is None else int((~self.observed).sum())


def open(
    path: str | Path,
    sigma_y: Level | None = None,
    variance: bool = False,
    missing: str | Path | None = None,
    observed: str | Path | None = None,
    bits: str | tuple[int, ...] | None = None,
    bands: str | tuple[int, ...] | None = None,
    range: tuple[float, float] | None = None,
    band_range: str | None = None,
) -> Measurement:
    """Read a measurement y = A(x) + noise as `noisewalk sample` does.

    Gaps that the file itself marks are not observed: the nodata tag and the mask of a GeoTIFF, and
    BLANK of a FITS image. The scale and the offset of a GeoTIFF are applied.

    Arguments:
        path: a file that `read_array` reads, such as "obs.fits[SCI]".
        sigma_y: the noise level in the file's unit: a number, an array or a file.
        variance: whether sigma_y is a variance.
        missing: "nan", a number, or a file that is nonzero where an entry is missing.
        observed: a file that is nonzero where an entry is observed.
        bits: of the file of `missing`, counted from 0, such as "1,4"; None: any bit.
        bands: that are taken, counted from 1, such as "4,3,2" or (4, 3, 2); None: all.
        range: what -1 and 1 stand for in the file's unit; None: the ends of the type for 8 bits,
            (-1, 1) for floats in .npy and .npz files.
        band_range: the same by band, "0:3000,0:2500,0:4000".

    Returns:
        The measurement.

    Raises:
        ConfigError: a file, its shape or its values cannot be used, or the range is not known.

    Example:
        >>> import noisewalk as nw, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(path := f"{folder}/y.npy", np.array([[0.5, np.nan]]))
        ...     m = nw.files.open(path, sigma_y=0.1, missing="nan")
        >>> m.y, m.observed, m.sigma_y
        (tensor([[[[0.5000, 0.0000]]]]), tensor([[[[ True, False]]]]), 0.1)
    """
    gaps = Gaps(missing, observed, bits)
    return measure(path, Given(sigma_y, variance, gaps, bands, range, band_range))


def measure(
    path: str | Path,
    given: Given,
    shape: tuple[int, ...] | None = None,
    counts: bool = False,
    read: Tensor | None = None,
) -> Measurement:
    """The measurement in a file; `shape` is that of A(x), and `read` is True where A observes.

    Counts stay as they are. A shape that is not wanted is refused before anything is decoded.
    """
    bands = numbers_in("--bands", given.bands, 1) or None

    def look(found: tuple[int, ...]) -> None:
        taken = found if bands is None or len(found) != 3 else (len(bands), *found[1:])
        if shape is not None and taken not in (shape, (1, *shape)):
            raise _unwanted(path, found, taken, shape)

    reading = read_array(path, look).select(bands)
    values, size = reading.values, shape or reading.values.shape
    observed = present(reading, given.gaps, size)
    seen = torch.ones(size, dtype=torch.bool) if observed is None else observed
    if read is not None:
        seen = seen & read.cpu().expand(size)
    if not seen.any():
        cause = "the gaps and the operator leave none"
        raise ConfigError(f"{path} has no observed entry of {seen.numel()}: {cause}")
    kept, bounds = values.reshape(size)[seen.numpy()], given.bounds
    if bounds is not None and bounds.num_bands not in (None, size[0]):
        raise ConfigError(f"--band-range has {bounds.num_bands} ranges for {size[0]} bands")
    if not counts:
        bounds = bounds or implied_range(kept, reading.path, MEASUREMENT_BOUND)
    unit = UNSCALED if counts or bounds is None else bounds
    y = _checked(path, unit.to_unit(values.reshape(size)), seen, kept, unit)
    level = given.sigma_y
    sigma = None if level is None else noise_level(level, given.variance, size, unit, seen)
    gaps = None if observed is None else observed[None]
    place = reading.unit, reading.georeference
    return Measurement(y[None], gaps, sigma, *place, unit if bounds is None else bounds)


def _checked(
    path: str | Path, y: Tensor, seen: Tensor, kept: np.ndarray, unit: ValueRange
) -> Tensor:
    """y with 0 in the gaps; ConfigError unless the rest is finite and not far from [-1, 1]."""
    bad = ~y.isfinite() & seen
    if bad.any():
        nan = int((y.isnan() & bad).sum())
        found = f"{nan} NaN and {int(bad.sum()) - nan} infinite values among {kept.size} observed"
        advice = "--missing nan leaves NaN out, --missing FILE what is nonzero in a mask"
        raise ConfigError(f"{path} has {found} entries; {advice}")
    y = y.masked_fill(~seen, 0.0)
    if unit != UNSCALED and y.abs().max() > MEASUREMENT_BOUND:
        raise _too_far(path, kept, unit, ", or --missing VALUE where that marks gaps")
    return y


def _unwanted(
    path: str | Path, found: tuple[int, ...], taken: tuple[int, ...], shape: tuple[int, ...]
) -> ConfigError:
    """The error for a measurement of a shape that the operator does not give."""
    last = len(taken) == 3 and (taken[-1], *taken[:-1]) == shape
    advice = "--fit is not applied to measurements; check --operator, or give --simulate"
    if len(found) == len(shape) == 3 and found[1:] == shape[1:] and found[0] > shape[0]:
        advice = f"choose {shape[0]} of its bands, as in --bands {_counted(shape[0])}"
    elif len(found) == len(shape) == 3 and found[0] < shape[0]:
        advice = f"the file lacks bands, of {shape[0]}: take a prior of images with {found[0]}"
    return _misfit(path, taken, shape, advice, last)


def _counted(count: int) -> str:
    return ",".join(str(i + 1) for i in reversed(tuple(np.arange(count).tolist())))


def _misfit(
    path: str | Path, found: tuple[int, ...], shape: tuple[int, ...], advice: str, last: bool
) -> ConfigError:
    if last:
        turned = (found[-1], *found[:-1])
        advice = f"it looks channel-last: save np.moveaxis(a, -1, 0), of shape {turned}"
    return ConfigError(f"{path} has shape {found}, but {shape} is needed; {advice}")


def _too_far(path: str | Path, values: np.ndarray, unit: ValueRange, more: str = "") -> ConfigError:
    found = f"values in {span(values)}, far outside {unit}"
    return ConfigError(f"{path} has {found}; give their --range LO HI{more}")
