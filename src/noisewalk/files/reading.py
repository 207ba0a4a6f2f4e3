"""What a file holds, and what is asked of its shape before anything is decoded."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from .._checks import whole
from ..errors import ConfigError
from .georeference import Georeference

Look: TypeAlias = Callable[[tuple[int, ...]], None]
"""Raises a ConfigError for a shape that is not wanted."""
MOST_VALUES = 2**27  # of one array: 1 GiB in double precision


@dataclass(frozen=True, eq=False)
class Reading:
    """What a file holds: values, not empty, in its unit and in native byte order."""

    values: np.ndarray = field(repr=False)
    path: Path
    missing: np.ndarray | None = field(default=None, repr=False)  # bool, what the file marks
    unit: str = ""
    georeference: Georeference | None = field(default=None, repr=False)

    def select(self, bands: tuple[int, ...] | None) -> "Reading":
        """The bands of these numbers, from 1; None: all."""
        if bands is None:
            return self
        most, at = len(self.values), [band - 1 for band in bands]
        if self.values.ndim != 3 or max(at) >= most:
            have = f"{self.path} has {most if self.values.ndim == 3 else 'no'} bands"
            raise ConfigError(f"{have}, got --bands {','.join(map(str, bands))}: count from 1")
        missing, place = self.missing, self.georeference
        missing = None if missing is None else missing[at]
        if place is not None:
            names = tuple(place.bands[i] for i in at) if place.bands else ()
            scales = tuple(place.scales[i] for i in at) if place.scales else ()
            place = replace(place, bands=names, scales=scales)
        return replace(self, values=self.values[at], missing=missing, georeference=place)


def numbers_in(option: str, given: str | tuple[int, ...] | None, least: int) -> tuple[int, ...]:
    """The whole numbers of a list such as 4,3,2, in text or not; none without one."""
    words = given.split(",") if isinstance(given, str) else () if given is None else given
    try:
        found = tuple(whole(option, int(word), least, 1000) for word in words)
    except (TypeError, ValueError):
        wrong = f"{option} takes whole numbers from {least} on, such as 4,3,2"
        raise ConfigError(f"{wrong}; got {given!r}") from None
    if given is not None and not found:
        raise ConfigError(f"{option} takes whole numbers such as 4,3,2; got {given!r}")
    return found


def parted(path: str | Path) -> tuple[Path, str]:
    """The file and the part of it in "obs.fits[ERR]"; no part in the name of a file that exists."""
    found = re.fullmatch(r"(.+?)\s*\[([^\[\]]+)\]", str(path), re.DOTALL)
    if found is None or _exists(Path(path)):
        return Path(path), ""
    return Path(found[1]), found[2].strip()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
