"""The noise level of a measurement: a number, or a map in a file of its own."""

import math
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .._checks import real
from ..errors import ConfigError
from .arrays import read_array
from .ranges import ValueRange

Level: TypeAlias = float | str | Path | Tensor | np.ndarray


def is_file(level: Level | None) -> bool:
    """Whether a noise level is the name of a file."""
    if not isinstance(level, str | Path):
        return False
    try:
        float(str(level))
    except ValueError:
        return True
    return False


def noise_level(
    level: Level, variance: bool, shape: tuple[int, ...], unit: ValueRange, seen: Tensor
) -> float | Tensor:
    """sigma_y on the scale of [-1, 1] from a number or a map in the unit of the file.

    Arguments:
        level: a number, an array, or a file of this shape, of (H, W) or of (1, H, W).
        variance: whether it is sigma_y squared.
        shape: (C, H, W) of the measurement.
        unit: of the measurement's file.
        seen: bool of that shape: the rest of a map may be anything.

    Returns:
        A float, or a float32 tensor that broadcasts to the shape, 1 where not seen.

    Raises:
        ConfigError: a level is not positive and finite, or the map is of another shape.
    """
    number: Any = level
    if isinstance(level, str | Path) and not is_file(level):
        number = float(str(level))
    if not isinstance(number, str | Path) and np.ndim(number) == 0:
        value = real("the noise level --sigma-y", number, above=0)
        return unit.scale_sigma(math.sqrt(value) if variance else value)
    name, values = _map(level, shape)
    bad = ~(np.isfinite(values) & (values > 0)) & seen.numpy()
    if bad.any():
        found = f"{int(bad.sum())} of {int(seen.sum())} observed entries are not positive numbers"
        raise ConfigError(f"{name}: {found}; mark them with --missing, or mend the file")
    kept = torch.from_numpy(np.where(seen.numpy(), values, 1.0).astype(np.float64))
    return unit.scale_sigma(kept.sqrt() if variance else kept).masked_fill(~seen, 1.0).float()


def _map(level: Level, shape: tuple[int, ...]) -> tuple[str, np.ndarray]:
    """What to call a map of levels, and its values, broadcast to the shape."""

    def fits(found: tuple[int, ...]) -> None:
        if found not in (shape, (1, *shape), (1, *shape[1:])):
            raise ConfigError(f"{name} has shape {found}, but the measurement has {shape}")

    if isinstance(level, str | Path):
        name = f"the noise map {level}"
        try:
            reading = read_array(level, fits)
            values, unknown = reading.values, reading.missing
            values = values if unknown is None else np.where(unknown, np.nan, values)
        except ConfigError as error:
            raise ConfigError(f"--sigma-y {level} is no number and no map: {error}") from error
    else:
        name, values = "sigma_y", np.asarray(level)
        values = values[None] if values.ndim == 2 else values
        fits(values.shape)
    return name, np.broadcast_to(values.reshape(values.shape[-3:]), shape)
