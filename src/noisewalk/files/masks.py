"""Masks from files: which entries of a measurement are observed."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from .arrays import read_array


def load_mask(path: str | Path, shape: tuple[int, ...]) -> Tensor:
    """Read which entries of a measurement are observed.

    Arguments:
        path: an .npy file (0 or 1, 1 = observed) or a .png file (nonzero = observed).
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
    suffix = Path(path).suffix.lower()
    if suffix not in (".npy", ".png"):
        raise ConfigError(f"the mask {path} is neither .npy (0 and 1) nor .png (0: missing)")
    values, shape = read_array(path).values, tuple(shape)
    values = values[0] if values.shape == (1, *shape) else values
    if values.shape not in (shape, (1, *shape[1:])):
        allowed = f"{shape[1:]}, {(1, *shape[1:])} and the measurement's {shape}"
        raise ConfigError(f"the mask {path} has shape {values.shape}; allowed are {allowed}")
    if suffix == ".npy" and not np.isin(values, (0, 1)).all():
        raise ConfigError(f"the mask {path} has values other than 0 and 1; save mask > 0.5")
    return torch.from_numpy(values != 0).expand(shape).clone()


def present(values: np.ndarray, missing: str | Path, shape: tuple[int, ...]) -> Tensor:
    """Which entries are there: those that are not NaN, not a number, or ones in a mask file."""
    try:
        gap = float(str(missing))
    except ValueError:
        return load_mask(missing, shape)
    return torch.from_numpy(~np.isnan(values) if np.isnan(gap) else values != gap)
