"""What a run has cost so far and what it will take: network calls, wall time, memory and disk."""

import math
import resource
import sys
import time
from typing import Any

import torch

from .. import noise as keyed

TIMED = 64  # rows an image that are timed at most: more are no faster, row by row
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


def seconds_a_call(target: Any, rows: int) -> float:
    """Wall time of a network call with its gradient, from one evaluation of so many rows an image,
    or as many as the micro-batch takes, and of 64 at most."""
    most = min(TIMED, max(1, (target.microbatch or rows) // target.num_images))
    some = keyed.rows(0, target.num_images, min(rows, most), target.y.device)
    z = some.normal(tuple(target.shape), keyed.PROBE, target.y.dtype)
    meter = Meter(target)
    float(target(z).nll.sum())  # waits for the device
    calls, seconds = meter.spent(0, 0.0)
    return seconds / max(1, calls)


def most_memory(device: torch.device) -> int:
    """The most bytes that this process has held so far, on the device where it is a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)
