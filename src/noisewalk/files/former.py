"""Functions of an earlier release, under their old names and with their old results."""

from pathlib import Path

from torch import Tensor

from .masks import Gaps
from .measurement import Given, measure
from .ranges import ValueRange


def load_measurement(
    path: str | Path,
    shape: tuple[int, ...],
    value_range: ValueRange | None = None,
    missing: str | Path | None = None,
) -> tuple[Tensor, Tensor | None, ValueRange]:
    """y, observed and range as noisewalk 0.1 gave them: a mask file is nonzero where observed."""
    gaps = Gaps("nan") if missing == "nan" else Gaps(observed=missing)
    found = measure(path, Given(gaps=gaps, range=value_range), tuple(shape))
    observed = None if found.observed is None else found.observed[0]
    return found.y[0], observed, found.range
