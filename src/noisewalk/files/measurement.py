"""From a file to a tensor on the scale of [-1, 1]: a clean image, or a measurement y."""

from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from .._checks import one_of
from ..errors import ConfigError
from .arrays import read_array
from .masks import present
from .ranges import UNSCALED, ValueRange, implied_range, span
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
    if fit is not None:
        one_of("--fit", fit, get_args(Fit))
    values, shape = read_array(path).values, tuple(shape)
    few = (1, 3, shape[0])
    last = values.ndim == 3 and values.shape[0] not in few and values.shape[-1] in (4, *few)
    if last or values.ndim != 3:
        raise _misfit(path, values, shape, "allowed are (C, H, W) and (H, W)", last)
    value_range = value_range or implied_range(values, Path(path), IMAGE_BOUND)
    x = value_range.to_unit(values)
    if bad := int((~x.isfinite()).sum()):
        found = f"{bad} NaN or infinite values of {x.numel()}"
        raise ConfigError(f"{path} has {found}; a clean image has none")
    if x.abs().max() > IMAGE_BOUND:
        raise _too_far(path, values, value_range)
    if x.shape == shape:
        return x, value_range
    if fit is None:
        raise _misfit(path, values, shape, "give --fit crop, resize or pad")
    return fitted(x, shape, fit, path), value_range


def load_measurement(
    path: str | Path,
    shape_y: tuple[int, ...],
    value_range: ValueRange | None = None,
    missing: str | Path | None = None,
    read: Tensor | None = None,
) -> tuple[Tensor, Tensor | None, ValueRange]:
    """Read a real measurement y = A(x) + noise; it must have exactly the shape that A produces.

    Arguments:
        path: a file that `read_array` reads.
        shape_y: shape of A(x); a file of shape (H, W) stands for (1, H, W).
        value_range: what -1 and 1 stand for, (-1, 1) for counts; None: as for `load_image`.
        missing: value of unobserved entries ("nan", "-9999"), or a mask file; None: there is none.
        read: bool, broadcastable to shape_y: entries that the operator observes at all; None: all.

    Returns:
        y (float32, 0 where not observed), the bool mask that `missing` leaves or None, the range.

    Raises:
        ConfigError: the file, mask, shape or values (names --missing or --range) cannot be used.

    Example:
        >>> import noisewalk as nw, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(path := f"{folder}/y.npy", np.array([[0.5, np.nan]]))
        ...     nw.files.load_measurement(path, (1, 1, 2), missing="nan")[:2]
        (tensor([[[0.5000, 0.0000]]]), tensor([[[ True, False]]]))
    """
    values, shape = read_array(path).values, tuple(shape_y)
    if values.shape not in (shape, (1, *shape)):
        last = values.ndim == 3 and (values.shape[-1], *values.shape[:-1]) == shape
        advice = "--fit is not applied to measurements; check --operator, or give --simulate"
        raise _misfit(path, values, shape, advice, last)
    values = values.reshape(shape)
    observed = None if missing is None else present(values, missing, shape)
    seen = torch.ones(shape, dtype=torch.bool) if observed is None else observed
    if read is not None:
        seen = seen & read.cpu().expand(shape)
    if not seen.any():
        cause = f"--missing {missing} and the operator leave none"
        raise ConfigError(f"{path} has no observed entry: {cause}")
    kept = values[seen.numpy()]
    value_range = value_range or implied_range(kept, Path(path), MEASUREMENT_BOUND)
    y = value_range.to_unit(values)
    bad = ~y.isfinite() & seen
    if bad.any():
        nan = int((y.isnan() & bad).sum())
        found = f"{nan} NaN and {int(bad.sum()) - nan} infinite values among {kept.size} observed"
        advice = "--missing nan leaves NaN out, --missing FILE the zeros of a mask"
        raise ConfigError(f"{path} has {found} entries; {advice}")
    y = y.masked_fill(~seen, 0.0)
    if value_range != UNSCALED and y.abs().max() > MEASUREMENT_BOUND:
        raise _too_far(path, kept, value_range, ", or --missing VALUE where that marks gaps")
    return y, observed, value_range


def _misfit(
    path: str | Path, values: np.ndarray, shape: tuple[int, ...], advice: str, last: bool = False
) -> ConfigError:
    if last:
        turned = (values.shape[-1], *values.shape[:-1])
        advice = f"it looks channel-last: save np.moveaxis(a, -1, 0), of shape {turned}"
    return ConfigError(f"{path} has shape {values.shape}, but {shape} is needed; {advice}")


def _too_far(path: str | Path, values: np.ndarray, unit: ValueRange, more: str = "") -> ConfigError:
    found = f"values in {span(values)}, far outside {unit.low:g} to {unit.high:g}"
    return ConfigError(f"{path} has {found}; give their --range LO HI{more}")
