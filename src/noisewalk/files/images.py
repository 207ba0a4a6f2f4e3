"""Images and measurements in and out of the library's scale, [-1, 1].

A file holds v in its own unit. With (low, high) the values that -1 and 1 stand for, m = (low +
high) / 2 and h = (high - low) / 2,

    x = (v - m) / h,    v = m + h x,    sigma_x = sigma_v / h.

Integers map by their type's range (uint8: 0..255, uint16: 0..65535, int16: -32768..32767, bool:
0..1). Floats are taken as [-1, 1]. A range given by the user (`--range`) goes before both; (-1, 1)
leaves values as they are (Poisson counts, Fourier magnitudes). Without one, data that cannot be
meant that way is an error: floats beyond `IMAGE_BOUND` or `MEASUREMENT_BOUND`, and 32- and 64-bit
integers that use less than 2^-16 of their range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ..errors import ConfigError
from .arrays import Reading, read_array

__all__ = [
    "Fit",
    "Reading",
    "ValueRange",
    "load_image",
    "load_mask",
    "load_measurement",
    "read_array",
    "save_png",
]

Fit = Literal["crop", "resize", "pad"]
Sigma = TypeVar("Sigma", float, Tensor)

IMAGE_BOUND = 1.5
"""Largest |x| of a clean image: room for the overshoot of a resampling filter."""
MEASUREMENT_BOUND = 4.0
"""Largest |y| of a float measurement whose range was not given: 1 plus six standard deviations of
noise of sigma_y = 0.5."""
LUMA = (0.299, 0.587, 0.114)
"""Rec. 601 weights of R, G, B."""


@dataclass(frozen=True)
class ValueRange:
    """What -1 and 1 stand for: x = (v - (low + high) / 2) / ((high - low) / 2).

    Arguments:
        low: value, in the file's unit, that -1 stands for.
        high: value that 1 stands for; above low.

    Raises:
        ConfigError: a bound is not finite, or low is not below high.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and 0 < self.half < math.inf):
            raise ConfigError(
                f"the value range is {self.low} {self.high}; --range LO HI needs two finite "
                "numbers, LO below HI"
            )

    @classmethod
    def of(cls, dtype: np.dtype) -> ValueRange:
        """The range that a dtype implies.

        Arguments:
            dtype: bool, integer or float.

        Returns:
            The type's range for integers, (0, 1) for bool, (-1, 1) for floats.
        """
        if dtype.kind in "iu":
            return cls(float(np.iinfo(dtype).min), float(np.iinfo(dtype).max))
        return cls(0.0, 1.0) if dtype.kind == "b" else cls(-1.0, 1.0)

    @property
    def half(self) -> float:
        """h, what one unit of the scale of [-1, 1] is in the file's unit."""
        return self.high / 2 - self.low / 2

    @property
    def _middle(self) -> float:
        return self.high / 2 + self.low / 2

    def to_unit(self, values: np.ndarray | Tensor) -> Tensor:
        """x = (v - m) / h, in float64 and then rounded.

        Arguments:
            values: v in the file's unit, any shape and real dtype; NaN stays NaN.

        Returns:
            x of the same shape, float32, not clipped.
        """
        v = (
            values.double()
            if isinstance(values, Tensor)
            else torch.from_numpy(np.array(values, dtype=np.float64))
        )
        return ((v - self._middle) / self.half).float()

    def from_unit(self, x: Tensor) -> Tensor:
        """v = m + h x, in float64: rounding gives 8- and 16-bit integers back exactly.

        Arguments:
            x: values on the scale of [-1, 1], any shape.

        Returns:
            v of the same shape, float64, in the file's unit, neither clipped nor rounded.
        """
        return self._middle + self.half * x.double()

    def scale_sigma(self, sigma: Sigma) -> Sigma:
        """sigma_x = sigma_v / h = 2 sigma_v / (high - low).

        Arguments:
            sigma: standard deviation in the file's unit.

        Returns:
            The same on the scale of [-1, 1].
        """
        return sigma / self.half


def load_image(
    path: str | Path,
    shape: tuple[int, ...],
    value_range: ValueRange | None = None,
    fit: Fit | None = None,
) -> tuple[Tensor, ValueRange]:
    """Read a clean image for a simulation.

    `fit` changes images of another size. "crop": the centre at full resolution. "resize": the
    largest centre part of the target's aspect ratio, resampled (antialiased bicubic, clipped to the
    extremes of that part). "pad": centred on the darkest value, -1. Each converts RGB to grey by
    Rec. 601 luma and grey to RGB by repetition. An image that has the shape already is never
    changed.

    Arguments:
        path: a file that `read_array` reads, (C, H, W) or (H, W).
        shape: (C, H, W) of the prior's x.
        value_range: what -1 and 1 stand for; None: by the file's dtype.
        fit: "crop", "resize" or "pad"; None: the shape must be right already.

    Returns:
        The image, (C, H, W) float32 on the scale of [-1, 1] (at most `IMAGE_BOUND` in absolute
        value), and the range used.

    Raises:
        ConfigError: the file cannot be used, or has another shape (names --fit), non-finite values
            or values out of range (names --range).
    """
    if fit is not None and fit not in get_args(Fit):
        raise ConfigError(f"--fit is {fit!r}; allowed are {', '.join(get_args(Fit))}")
    reading = read_array(path)
    _check_image_axes(reading, shape)
    value_range = value_range or _implied_range(reading, IMAGE_BOUND)
    x = value_range.to_unit(reading.values)
    bad = int((~x.isfinite()).sum())
    if bad:
        raise ConfigError(
            f"{path} has {bad} NaN or infinite values of {x.numel()}; a clean image must be "
            "finite everywhere"
        )
    if x.abs().max() > IMAGE_BOUND:
        raise ConfigError(
            f"{path} has values in {_span(reading.values)}, far outside {value_range.low:g} to "
            f"{value_range.high:g}; give their --range LO HI"
        )
    if tuple(x.shape) == tuple(shape):
        return x, value_range
    if fit is None:
        raise ConfigError(
            f"{path} has shape {tuple(x.shape)} but the prior's images are {tuple(shape)}; "
            "give --fit crop, resize or pad"
        )
    return _fit_size(_fit_channels(x, shape[0], path), shape[1], shape[2], fit, path), value_range


def load_measurement(
    path: str | Path,
    shape_y: tuple[int, ...],
    value_range: ValueRange | None = None,
    missing: str | Path | None = None,
    read: Tensor | None = None,
) -> tuple[Tensor, Tensor | None, ValueRange]:
    """Read a measurement y = A(x) + noise that was really made; it must have exactly the shape that
    A produces.

    Arguments:
        path: a file that `read_array` reads.
        shape_y: shape of A(x); a file of shape (H, W) stands for (1, H, W).
        value_range: what -1 and 1 stand for; None: by the file's dtype. (-1, 1) takes y as it is,
            as counts need.
        missing: "nan" or a number, such as "-9999": entries of this value are not observed;
            otherwise a mask file (see `load_mask`); None: all are.
        read: bool, broadcastable to shape_y: entries that the operator observes at all; None: all.

    Returns:
        y, float32, 0 where not observed; what `missing` leaves, bool of shape_y, or None without
        it; the range used.

    Raises:
        ConfigError: the file or mask cannot be used, the shape differs, observed entries are not
            finite (names --missing), none is observed, or values exceed `MEASUREMENT_BOUND` (names
            --range), unless the range is (-1, 1).
    """
    reading = read_array(path)
    values = _with_shape(reading, tuple(shape_y))
    observed = None if missing is None else _present(values, missing, shape_y)
    seen = torch.ones(tuple(shape_y), dtype=torch.bool) if observed is None else observed
    if read is not None:
        seen = seen & read.cpu().expand(shape_y)
    if not seen.any():
        raise ConfigError(
            f"{path} has no observed entry: --missing {missing} and the operator leave none of "
            f"{values.size}"
        )
    kept = values[seen.numpy()]
    value_range = value_range or _implied_range(Reading(kept, reading.path), MEASUREMENT_BOUND)
    y = value_range.to_unit(values)
    bad = ~y.isfinite() & seen
    if bad.any():
        nan = int((y.isnan() & bad).sum())
        counts = f"{nan} NaN and {int(bad.sum()) - nan} infinite values"
        raise ConfigError(
            f"{path} has {counts} among {kept.size} observed entries; --missing nan leaves NaN "
            "out, --missing FILE the zeros of a mask"
        )
    y = y.masked_fill(~seen, 0.0)
    if value_range != ValueRange(-1.0, 1.0) and y.abs().max() > MEASUREMENT_BOUND:
        far = (
            f"{path} has values in {_span(kept)}, far outside {value_range.low:g} to "
            f"{value_range.high:g}"
        )
        raise ConfigError(
            f"{far}: give their --range LO HI, or --missing VALUE where that marks gaps"
        )
    return y, observed, value_range


def _present(values: np.ndarray, missing: str | Path, shape: tuple[int, ...]) -> Tensor:
    """Which entries are there: other than NaN, other than a number, or the mask file's."""
    try:
        gap = float(str(missing))
    except ValueError:
        return load_mask(missing, shape)
    return torch.from_numpy(~np.isnan(values) if math.isnan(gap) else values != gap)


def load_mask(path: str | Path, shape: tuple[int, ...]) -> Tensor:
    """Read which entries of a measurement are observed.

    Arguments:
        path: an .npy file of bool or of 0 and 1 (1 = observed), or a .png file (nonzero =
            observed).
        shape: (C, H, W) of the measurement; the file may be (H, W), (1, H, W) or (C, H, W).

    Returns:
        Bool tensor of that shape, True = observed.

    Raises:
        ConfigError: the file cannot be read, is of another type or shape, or holds other values.
    """
    if Path(path).suffix.lower() not in (".npy", ".png"):
        raise ConfigError(
            f"the mask {path} is neither .npy (bool, or 0 and 1) nor .png (nonzero = observed)"
        )
    values, shape = read_array(path).values, tuple(shape)
    values = values[0] if values.shape == (1, *shape) else values
    if values.shape not in (shape, (1, *shape[1:])):
        raise ConfigError(
            f"the mask {path} has shape {values.shape}; allowed are {shape[1:]}, "
            f"{(1, *shape[1:])} and the measurement's {shape}"
        )
    if Path(path).suffix.lower() == ".npy" and not np.isin(values, (0, 1)).all():
        raise ConfigError(
            f"the mask {path} has values other than 0 (missing) and 1 (observed); save it as "
            "bool, e.g. mask > 0.5"
        )
    return torch.from_numpy(values != 0).expand(shape).clone()


def save_png(x: Tensor, path: str | Path) -> None:
    """Write an image for display: 8 bits, round((clip(x, -1, 1) + 1) * 127.5).

    Arguments:
        x: (C, H, W) on the scale of [-1, 1], C = 1 (grey) or 3 (RGB), finite.
        path: the file, overwritten if there.

    Raises:
        ConfigError: x has another shape or NaN, or the file cannot be written.
    """
    if x.ndim != 3 or x.shape[0] not in (1, 3) or x.numel() == 0:
        raise ConfigError(
            f"an image of shape {tuple(x.shape)} cannot be a PNG; allowed are (1, H, W) and "
            "(3, H, W)"
        )
    if x.isnan().any():
        raise ConfigError(
            f"the image for {path} has {int(x.isnan().sum())} NaN values; a PNG needs numbers"
        )
    pixels = ((x.detach().double().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
    image = Image.fromarray(
        pixels[0] if len(pixels) == 1 else np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    )
    try:
        image.save(path, format="PNG")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror or error}; give a file in an existing "
            "folder"
        ) from error


def _implied_range(reading: Reading, bound: float) -> ValueRange:
    dtype, values = reading.values.dtype, reading.values
    implied = ValueRange.of(dtype)
    if (
        dtype.kind in "iu"
        and dtype.itemsize >= 4
        and float(values.max()) - float(values.min()) < (implied.high - implied.low) / 2**16
    ):
        raise ConfigError(
            f"{reading.path} has {dtype} values in {_span(values)}, next to nothing of that "
            "type's range; give their --range LO HI"
        )
    if dtype.kind == "f" and (np.abs(values[np.isfinite(values)]) > bound).any():
        raise ConfigError(
            f"{reading.path} has float values in {_span(values)}, not in [-1, 1]; give their "
            "--range LO HI (-1 1 takes them as they are)"
        )
    return implied


def _span(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    return f"{float(finite.min()):g} to {float(finite.max()):g}"


def _transposed(values: np.ndarray) -> str:
    return (
        "it looks channel-last: save np.moveaxis(a, -1, 0), of shape "
        f"{(values.shape[-1], *values.shape[:-1])}"
    )


def _check_image_axes(reading: Reading, shape: tuple[int, ...]) -> None:
    values = reading.values
    if values.ndim != 3:
        raise ConfigError(
            f"{reading.path} holds an array of shape {values.shape}; allowed are (C, H, W) and "
            f"(H, W), here {tuple(shape)}"
        )
    if values.shape[0] not in (1, 3, shape[0]) and values.shape[-1] in (1, 3, 4, shape[0]):
        raise ConfigError(
            f"{reading.path} has shape {values.shape} but (C, H, W) is expected, here "
            f"{tuple(shape)}; {_transposed(values)}"
        )


def _with_shape(reading: Reading, shape: tuple[int, ...]) -> np.ndarray:
    values = reading.values
    if values.shape in (shape, (1, *shape)):
        return values.reshape(shape)
    hint = (
        "--fit is not applied to measurements; check --operator and --prior, or --simulate for a "
        "clean image"
    )
    if values.ndim == 3 and (values.shape[-1], *values.shape[:-1]) == shape:
        hint = _transposed(values)
    raise ConfigError(
        f"{reading.path} has shape {values.shape} but the operator's measurements have shape "
        f"{shape}; {hint}"
    )


def _fit_channels(x: Tensor, channels: int, path: str | Path) -> Tensor:
    if x.shape[0] == channels:
        return x
    if (x.shape[0], channels) == (3, 1):
        return (x * x.new_tensor(LUMA)[:, None, None]).sum(0, keepdim=True)
    if (x.shape[0], channels) == (1, 3):
        return x.expand(3, -1, -1).contiguous()
    raise ConfigError(
        f"{path} has {x.shape[0]} channels but the prior's images have {channels}; --fit "
        "converts 3 to 1 (grey) and 1 to 3 only"
    )


def _fit_size(x: Tensor, height: int, width: int, fit: Fit, path: str | Path) -> Tensor:
    h, w = x.shape[-2:]
    if fit == "resize":
        scale = min(h / height, w / width)
        part = _centre(x, max(round(height * scale), 1), max(round(width * scale), 1))
        out = functional.interpolate(
            part[None], (height, width), mode="bicubic", antialias=True, align_corners=False
        )[0]
        return out.clamp(part.min(), part.max())
    if fit == "crop":
        if h < height or w < width:
            raise ConfigError(
                f"{path} is {h} x {w}, too small to crop {height} x {width} from; give --fit "
                "pad or resize"
            )
        return _centre(x, height, width).contiguous()
    if h > height or w > width:
        raise ConfigError(
            f"{path} is {h} x {w}, too large to pad to {height} x {width}; give --fit crop or "
            "resize"
        )
    top, left = (height - h) // 2, (width - w) // 2
    return functional.pad(x, (left, width - w - left, top, height - h - top), value=-1.0)


def _centre(x: Tensor, height: int, width: int) -> Tensor:
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]
