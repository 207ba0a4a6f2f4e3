"""A file that is there whole or not at all, whenever the process is killed and however many of them
write."""

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside a file, then put it in its place.

    Arguments:
        path: the file; what was there is replaced.
        write: writes all of it to the path that it is given, which has the same ending.
    """
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial{path.suffix}")
    write(partial)
    os.replace(partial, path)
