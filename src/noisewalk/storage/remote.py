"""Runs at an address such as `s3://bucket/run`: a local working copy that is published.

The objects are the files of a run folder, under the same names, so that any program that reads zarr
opens them. To publish, a writer puts the specification and what has changed of the draws, their
checksums and the state; then it puts the root document `run.zarr/zarr.json` as the last one. That
object is the manifest: until it is replaced, the objects hold the run as it was, since draws are
only ever added behind those that it counts, and a state has a name of its own.

The writer is the one whose mark is in the object `.writer`. Who starts to write puts its own mark
there, unless the manifest has changed since it was fetched. An earlier writer stops before it
publishes again. So a killed one blocks nobody.
"""

import atexit
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import BusyError, ConfigError, MissingExtraError, NoisewalkError, StoreError
from .folder import LOCK, SPEC
from .shards import FOLDER
from .zarr_group import GROUP, META

WRITER, ROOT = ".writer", f"{GROUP}/{META}"
EVERY = 30.0
"""Seconds between publications, at least."""
SHARE = 10
"""Times that a publication took, for which at least the next one waits."""
STILL = 2_000_000_000
"""Nanoseconds after which a file's time of change says whether it has changed again."""
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.DOTALL)
_FETCHED = re.compile(
    rf"({FOLDER}/\d+/)?({re.escape(SPEC)}|calibration\.json|state-\d+\.safetensors|{GROUP}/.+)"
)


class Place:
    """Where a run is worked on: its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def claim(self) -> None:
        """Become the one writer."""

    def publish(self, due: bool = False) -> None:
        """Let others see what is committed; `due`: only if the last time is long ago."""


def address_of(place: str | Path) -> str | None:
    """The address of a place that is no folder; None for a folder. A `Path` has lost a slash."""
    found = _ADDRESS.fullmatch(str(place))
    if found is None:
        return None
    if found[1] in ("file", "local"):
        raise ConfigError(f"{place} is a local folder: give it without {found[1]}://")
    return f"{found[1]}://{found[2].rstrip('/')}"


def shown(place: str | Path) -> str:
    """A place as people write it."""
    return address_of(place) or str(place)


def only_local(what: str, place: str | Path | None) -> None:
    """Raise a ConfigError where a place is no local folder."""
    if place is not None and (address := address_of(place)) is not None:
        raise ConfigError(f"{what} must be a local folder, got {address}")


def working(place: str | Path | Place, writes: bool = True) -> AbstractContextManager[Place]:
    """The folder to work in: the place itself, or a copy of an address that is published at the
    end. `writes`: its draws too, once the writer has claimed it."""
    if isinstance(place, Place):
        return nullcontext(place)
    address = address_of(place)
    return nullcontext(Place(Path(place))) if address is None else _published(address, writes)


@contextmanager
def copied(place: str | Path) -> Iterator[Path]:
    """The folder itself, or a copy of an address to read, which is there until Python ends."""
    address = address_of(place)
    if address is None:
        yield Path(place)
        return
    remote = Remote(address)
    with remote.named():
        remote.fetch()
        yield remote.folder


@contextmanager
def _published(address: str, writes: bool) -> Iterator[Place]:
    """A fetched working copy, published also where the work ends early."""
    remote = Remote(address, writes)
    with remote.named():
        remote.fetch()
        try:
            yield remote
        except BusyError:
            raise
        except BaseException:
            remote.publish()
            raise
        remote.publish()


class Remote(Place):
    """A working copy of a run at an address."""

    def __init__(self, address: str, writes: bool = False) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="noisewalk-")))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.address = address
        self._fs, self._base = _file_system(address)
        self._seen: dict[str, tuple[int, int]] = {}  # size and time of what is published
        self._there: set[str] = set()
        self._root: bytes | None = None  # as it was fetched
        self._waits = writes  # for the claim, before anything is published
        self._mark: bytes | None = None  # of this writer
        self._next = 0.0

    @contextmanager
    def named(self) -> Iterator[None]:
        """Let errors name the address instead of the working copy."""
        try:
            yield
        except NoisewalkError as error:
            error.args = (str(error).replace(str(self.folder), self.address),)
            raise

    def claim(self) -> None:
        """Become the one writer; BusyError where another one has published since the fetch."""
        mark = secrets.token_bytes(16)
        with self._reached():
            before = self._read(WRITER)
            self._fs.pipe_file(self._at(WRITER), mark)
            if self._read(ROOT) != self._root:
                self._fs.pipe_file(self._at(WRITER), before or b"")
                raise self._busy()
        self._mark, self._waits = mark, False

    def fetch(self) -> None:
        """Copy what is published, though a writer may replace it meanwhile."""
        with self._reached():
            self._root = self._read(ROOT)
            while True:
                try:
                    self._copy()
                    return
                except FileNotFoundError:
                    before, self._root = self._root, self._read(ROOT)
                    if self._root == before:
                        raise

    def publish(self, due: bool = False) -> None:
        """Put what has changed, then the root document, then drop what it no longer names."""
        if self._waits or (due and time.monotonic() < self._next):
            return
        began, now = time.monotonic(), time.time_ns()
        with self._reached():
            marks = self._changed()
            self._check_writer()
            self._put([name for name in (SPEC,) if name in marks])
            self._put([name for name in marks if name not in (SPEC, ROOT)])
            if ROOT in marks:
                self._check_writer()
                self._fs.pipe_file(self._at(ROOT), (self.folder / ROOT).read_bytes())
            self._there |= marks.keys()
            for name in sorted(self._there):
                if name.startswith("state-") and not (self.folder / name).exists():
                    self._fs.rm_file(self._at(name))
                    self._there.discard(name)
        self._seen |= {name: mark for name, mark in marks.items() if mark[1] < now - STILL}
        ended = time.monotonic()
        self._next = ended + max(EVERY, SHARE * (ended - began))

    def _copy(self) -> None:
        self._fs.invalidate_cache()
        names = {self._name(key) for key in self._fs.find(self._base)} - {WRITER}
        if names and SPEC not in names:
            held = ", ".join(sorted(names)[:3])
            raise StoreError(f"{self.address} is not a run (it holds {held}): give a new address")
        wanted = sorted(name for name in names if _FETCHED.fullmatch(name) and name != ROOT)
        if self._root is None:  # nothing is published: what a first writer has put counts for none
            wanted = [name for name in wanted if name == SPEC]
        for name in wanted:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        if wanted:
            copies = [str(self.folder / name) for name in wanted]
            self._fs.get([self._at(name) for name in wanted], copies)
        for path in self.folder.glob("state-*"):
            if path.name not in names:
                path.unlink()
        if self._root is not None:
            (self.folder / ROOT).parent.mkdir(exist_ok=True)
            (self.folder / ROOT).write_bytes(self._root)
            wanted.append(ROOT)
        self._there = names
        self._seen = {}
        for name in wanted:
            os.utime(self.folder / name, (1, 1))  # so that each later change is seen
            self._seen[name] = _mark_of(self.folder / name)

    def _changed(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and name != LOCK and path.suffix != ".tmp":
                mark = _mark_of(path)
                if self._seen.get(name) != mark:
                    found[name] = mark
        return found

    def _check_writer(self) -> None:
        if self._mark is not None and self._read(WRITER) != self._mark:
            raise self._busy()

    def _busy(self) -> BusyError:
        advice = "wait until it ends, or give another address"
        return BusyError(f"another process is writing to {self.address}: {advice}")

    def _put(self, names: list[str]) -> None:
        if names:
            copies = [str(self.folder / name) for name in names]
            self._fs.put(copies, [self._at(name) for name in names])

    def _read(self, name: str) -> bytes | None:
        try:
            return bytes(self._fs.cat_file(self._at(name)))
        except FileNotFoundError:
            return None

    def _at(self, name: str) -> str:
        return f"{self._base}/{name}"

    def _name(self, key: str) -> str:
        """The name of an object in the run; StoreError for one that would leave the folder."""
        name = key.lstrip("/").removeprefix(self._base.lstrip("/")).lstrip("/")
        if not name or ".." in PurePosixPath(name).parts:
            raise StoreError(f"{self.address} holds an object called {key!r}: remove it")
        return name

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn whatever a client of the store raises into a StoreError."""
        try:
            yield
        except NoisewalkError:
            raise
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            advice = "check the address and the credentials; what is published is safe"
            raise StoreError(f"cannot reach {self.address} ({told}): {advice}") from error


def _file_system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    import fsspec

    try:
        fs, base = fsspec.core.url_to_fs(address)
    except ImportError as error:
        if address.startswith(("s3:", "s3a:")):
            raise MissingExtraError("s3fs", "s3") from error
        raise ConfigError(f"{address} needs a package that is not installed: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{address} is no address of a run: {error}") from error
    if not base.strip("/"):
        raise ConfigError(f"{address} names no run: give one, such as {address}/run")
    return fs, base.rstrip("/")


def _mark_of(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
