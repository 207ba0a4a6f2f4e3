"""CRC-32C checksums of what a run stores: those of draws lie beside them, four bytes a draw, and
those of all else in the root document that commits it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StoreError
from .damage import damaged

BYTES = 4  # of one checksum, little-endian


def crc32c(parts: Iterable[Any]) -> int:
    """The CRC-32C of the joined bytes of buffers."""
    import google_crc32c

    total = 0
    for part in parts:
        total = google_crc32c.extend(total, np.frombuffer(part, np.uint8))
    return int(total)


def read_sums(path: Path, count: int) -> np.ndarray:
    """The checksums of the first draws of an array; StoreError where some are missing."""
    raw = path.read_bytes() if path.is_file() else b""
    if len(raw) < BYTES * count:
        raise damaged(path, f"{len(raw)} bytes instead of {BYTES * count}")
    return np.frombuffer(raw[: BYTES * count], "<u4")


def check_file(path: Path, parts: Iterable[Any], expected: int | None) -> None:
    """StoreError unless a file's bytes have the checksum (None: it has none)."""
    if expected is not None and crc32c(parts) != expected:
        raise damaged(path, "its checksum does not match")


def flipped(path: Path, name: str, draw: int) -> StoreError:
    """The error for a draw that is not as it was written."""
    return StoreError(
        f"{path} is damaged: the checksum of draw {draw} of {name} does not match; "
        "`noisewalk doctor RUN --repair` cuts the run back to the draws before, or restore it "
        "from a copy"
    )
