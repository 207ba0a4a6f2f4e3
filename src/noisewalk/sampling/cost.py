"""What a run has cost so far and what it will take: network calls, wall time, memory and disk."""

import math
import time
from typing import Any

NUMBERS_A_DRAW = 8 * 4 + 2  # bytes of a stored draw beside x and z: four numbers and two flags


class Meter:
    """Counts network calls and wall time on from what earlier sessions had spent."""

    def __init__(self, target: Any) -> None:
        self._target, self._counted, self._started = target, target.nfe, time.monotonic()

    def spent(self, nfe: int, seconds: float) -> tuple[int, float]:
        """The cost now, from that at the session's start."""
        since = time.monotonic() - self._started
        return nfe + self._target.nfe - self._counted, seconds + since


def bytes_of(target: Any, rows: int, num_draws: int) -> tuple[int, int]:
    """Memory of two states of all rows, and disk of their draws, in bytes."""
    size = target.y.element_size()
    dim, pixels = math.prod(target.shape), math.prod(target.data_shape)
    return 2 * rows * size * (2 * dim + pixels), rows * num_draws * (
        size * (dim + pixels) + NUMBERS_A_DRAW
    )
