"""Writing of whole files: each is there in full or not at all, whenever the process is killed."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in its place; several processes may."""
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial{path.suffix}")
    write(partial)
    os.replace(partial, path)


def write_file(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file so that its name has the old or the new content at any moment."""
    temporary = path.with_name(f"{path.name}.tmp")
    with open(temporary, "wb") as file:
        file.writelines(parts)
    os.replace(temporary, path)
