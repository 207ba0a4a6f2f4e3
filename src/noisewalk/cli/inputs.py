"""The files of `noisewalk sample`: one, or a batch of many, and the seed that each one gives."""

import csv
import glob
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .._checks import LARGEST_SEED
from ..errors import ConfigError
from ..files.arrays import READERS, reader_of
from ..files.levels import is_file
from ..files.reading import parted

if TYPE_CHECKING:
    from .sample import SampleOptions

COLUMNS = ("file", "sigma_y", "mask")
FOLDERS = (".zarr",)
"""Endings of folders that are one file to their readers."""


class Entry(NamedTuple):
    """One file of a batch; None where the command's own option holds."""

    path: Path
    sigma_y: str | None = None
    mask: str | None = None  # a file that is nonzero where missing, nan or a number


def entries_of(inputs: Sequence[Path]) -> list[Entry] | None:
    """The files of a batch, in order; None where there is one file, which is no batch."""
    found = [list(_expanded(path)) for path in inputs]
    entries = [entry for several in found for entry in several]
    if len(inputs) == 1 and entries == [Entry(inputs[0])]:
        return None
    twice = [str(path) for path, count in Counter(e.path for e in entries).items() if count > 1]
    if twice:
        raise ConfigError(f"{', '.join(twice[:3])} is given more than once: give every file once")
    return entries


def _expanded(path: Path) -> Iterator[Entry]:
    """The entries of one INPUT: a file, a folder, a pattern or a table."""
    is_folder = path.is_dir() and path.suffix.lower() not in FOLDERS
    if path.suffix.lower() == ".csv":
        yield from _table(path)
    elif is_folder:
        yield from _some(path, sorted(p for p in path.iterdir() if p.name[0] != "."))
    elif _is_pattern(path):
        yield from _some(path, sorted(map(Path, glob.glob(str(path), recursive=True))))
    else:
        yield Entry(path)


def _is_pattern(path: Path) -> bool:
    """Whether a path is a pattern and no file; [SCI] behind a name is a part of it."""
    if parted(path)[0].exists():
        return False
    text = str(path)
    return any(c in text for c in "*?") or ("[" in text and bool(glob.glob(text)))


def _some(given: Path, paths: list[Path]) -> Iterator[Entry]:
    """Those of the paths that can be read."""
    known = [p for p in paths if p.name.lower().endswith(tuple(READERS))]
    if not known:
        raise ConfigError(f"{given} holds no file to read; the endings are {' '.join(READERS)}")
    yield from map(Entry, known)


def _table(path: Path) -> Iterator[Entry]:
    """The rows of a CSV file; its paths are relative to its folder."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            names = [str(name).strip() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            rows = list(reader)
    except (OSError, UnicodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as a table: {error}") from error
    if "file" not in names or set(names) - set(COLUMNS):
        has = f"{path} has the columns {', '.join(names) or 'none'}"
        raise ConfigError(f"{has}; file is needed, and {', '.join(COLUMNS[1:])} are allowed")
    if not rows:
        raise ConfigError(f"{path} has no rows below its columns: give a file in each")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values() or not row["file"].strip():
            raise ConfigError(
                f"{path}, line {number}: expected {', '.join(names)}, a cell for each"
            )
        yield Entry(
            path.parent / row["file"].strip(), *(_beside(path, row, k) for k in COLUMNS[1:])
        )


def _beside(path: Path, row: dict[str, str], column: str) -> str | None:
    """A cell, as a path beside the table where it is one."""
    word = row.get(column, "").strip()
    return str(path.parent / word) if word and is_file(word) else word or None


def names_of(paths: Sequence[Path]) -> list[str]:
    """A folder's name for each file: its own without the ending, or as much more as tells it from
    the others."""
    ways = [
        [_stem(p) for p in paths],
        [p.name for p in paths],
        [f"{_stem(p)}-{hashlib.sha256(str(p).encode(errors='surrogateescape')).hexdigest()[:8]}"
         for p in paths],
    ]  # fmt: skip
    counts = [Counter(way) for way in ways]
    return [
        next(way[k] for way, count in zip(ways, counts, strict=True) if count[way[k]] == 1)
        for k in range(len(paths))
    ]


def _stem(path: Path) -> str:
    """The name without its ending, and with the part in place of its brackets."""
    file, part = parted(path)
    ending = next((end for end in READERS if file.name.lower().endswith(end)), "")
    stem = file.name[: len(file.name) - len(ending)] or file.name
    return f"{stem}-{part.replace('/', '-')}" if part else stem


def with_seed(options: "SampleOptions") -> "SampleOptions":
    """The options with the seed that the content of their file gives, unless one is given."""
    if options.seed is not None:
        return options
    return replace(options, seed=seed_from(options.input))


def seed_from(path: Path) -> int:
    """0 to 2^56 - 1 from the content of a file, and the part of it that is read."""
    file, part = parted(path)
    reader_of(file)  # says what is wrong with a path that cannot be read
    digest = hashlib.sha256(part.encode(errors="surrogateescape"))
    inside = sorted(p for p in file.rglob("*") if p.is_file()) if file.is_dir() else [file]
    try:
        for one in inside:
            with one.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from error
    return int.from_bytes(digest.digest()[:8], "big") & LARGEST_SEED
