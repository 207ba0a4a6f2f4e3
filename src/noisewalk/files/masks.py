"""Masks from files: which entries of a measurement are observed, and which are missing."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from .arrays import read_array
from .reading import Reading, numbers_in, parted

PAINTED = (".png", ".webp", ".tif", ".tiff")
"""Files whose first row is the top one."""


class Gaps(NamedTuple):
    """What marks the gaps of a measurement, beside what its own file says."""

    missing: str | Path | None = None  # "nan", a number, or a file that is nonzero where missing
    observed: str | Path | None = None  # a file that is nonzero where observed
    bits: str | tuple[int, ...] | None = None  # of the file of `missing`, from 0; None: any


def load_mask(path: str | Path, shape: tuple[int, ...]) -> Tensor:
    """Read a mask of a measurement or an image, nonzero = observed.

    Arguments:
        path: any file that `read_array` reads but a JPEG; floats must be 0 or 1.
        shape: (C, H, W) of the measurement; the file may be (H, W), (1, H, W) or (C, H, W).

    Returns:
        Bool tensor of that shape, True = observed.

    Raises:
        ConfigError: the file cannot be read, is of another type or shape, or holds other values.

    Example:
        >>> import noisewalk as nw, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/mask.npy", np.eye(2))
        ...     nw.files.load_mask(f"{folder}/mask.npy", (1, 2, 2)).tolist()
        [[[True, False], [False, True]]]
    """
    values, unknown = _flags(path, tuple(shape))
    return torch.from_numpy((values != 0) & ~unknown).expand(shape).clone()


def present(reading: Reading, gaps: Gaps, shape: tuple[int, ...]) -> Tensor | None:
    """Which entries are there, bool of this shape; None where nothing marks a gap.

    A mark of the user's that matches nothing is a ConfigError: it was meant for another file. A
    painted mask has its top row first, and is turned for a measurement in FITS, which has it last.
    """
    place = reading.georeference
    up = place is not None and place.format == "fits"
    marks = [] if reading.missing is None else [reading.missing.reshape(shape)]
    if gaps.missing is not None:
        found = _matched(reading.values.reshape(shape), gaps, shape)
        marks.append(_turned(found, gaps.missing, up))
    elif gaps.bits is not None:
        raise ConfigError("--bits belongs to a mask of flags: give --missing FILE too")
    if gaps.observed is not None:
        marks.append(_turned(~load_mask(gaps.observed, shape).numpy(), gaps.observed, up))
    if not marks:
        return None
    return torch.from_numpy(~np.logical_or.reduce(marks))


def _matched(values: np.ndarray, gaps: Gaps, shape: tuple[int, ...]) -> np.ndarray:
    """Where --missing matches; ConfigError if it does nowhere."""
    bits, word = numbers_in("--bits", gaps.bits, 0), str(gaps.missing)
    try:
        number = float(word)
    except ValueError:
        flags, unknown = _flags(word, shape, bits)
        found, what = np.broadcast_to((flags != 0) | unknown, shape), f"the mask {word}"
        hint = "it is zero everywhere: nonzero means missing (--observed FILE is the opposite)"
        hint = f"none of the bits {', '.join(map(str, bits))} is set" if bits else hint
    else:
        if bits:
            raise ConfigError("--bits belongs to a mask of flags: give --missing FILE")
        found, what = (
            np.isnan(values) if np.isnan(number) else values == number,
            "--missing " + word,
        )
        hint = "none of the values is that: leave it out, or give the number that marks a gap"
    if not found.any():
        raise ConfigError(f"{what} marks none of {found.size} entries as missing; {hint}")
    return found


def _turned(found: np.ndarray, mark: str | Path, up: bool) -> np.ndarray:
    """What a file says of a measurement with the bottom row first, if that is `up`."""
    painted = parted(str(mark))[0].suffix.lower() in PAINTED
    return np.ascontiguousarray(found[..., ::-1, :]) if up and painted else found


def _flags(
    path: str | Path, shape: tuple[int, ...], bits: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """The values of a mask file, of these bits alone if there are any, and where the file itself
    says that it has none."""

    def fits(found: tuple[int, ...]) -> None:
        if found not in (shape, (1, *shape), (1, *shape[1:])):
            allowed = f"{shape[1:]}, {(1, *shape[1:])} and the measurement's {shape}"
            raise ConfigError(f"the mask {path} has shape {found}; allowed are {allowed}")

    if parted(path)[0].suffix.lower() in (".jpg", ".jpeg"):
        raise ConfigError(f"the mask {path} is a JPEG, whose values are not exact; save it as .png")
    reading = read_array(path, fits)
    values, unknown = reading.values, reading.missing
    unknown = np.zeros(values.shape, bool) if unknown is None else unknown
    if values.shape == (1, *shape):
        values, unknown = values[0], unknown[0]
    if values.dtype.kind == "f" and not (np.isin(values, (0, 1)) | unknown).all():
        raise ConfigError(f"the mask {path} has values other than 0 and 1; save mask > 0.5")
    if not bits:
        return values, unknown
    if values.dtype.kind not in "iu" or max(bits) >= 8 * values.dtype.itemsize:
        most = f"{values.dtype} values, which have no bit {max(bits)}"
        raise ConfigError(f"the mask {path} has {most}: bits are counted from 0")
    unsigned = np.dtype(f"u{values.dtype.itemsize}").type
    return values.astype(unsigned) & unsigned(sum(1 << bit for bit in bits)), unknown
