"""The folder of the app: the examples, and a room for each run, which goes after a day."""

import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image

from ..cli.demo.images import held_out_images

PREFIX = "noisewalk-app-"
DAY = 24 * 3600.0
EXAMPLES = {
    "Ankle boot": ("fashion32", 28),
    "Sandal": ("fashion32", 23),
    "Checked shirt": ("fashion32", 7),
    "River bend": ("satellite64", 6),
    "Fields": ("satellite64", 13),
}
"""Held-out images: the prior that fits and the number."""


@contextmanager
def rooms() -> Iterator[Path]:
    """A new folder for an app, gone afterwards; those that an app has left go after a day."""
    remove_old(Path(tempfile.gettempdir()), PREFIX)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        root = Path(name).resolve()
        (root / "runs").mkdir()
        (root / "examples").mkdir()
        ended = threading.Event()
        threading.Thread(target=_tidy, args=(root / "runs", ended), daemon=True).start()
        try:
            yield root
        finally:
            ended.set()


def _tidy(folder: Path, ended: threading.Event) -> None:
    while not ended.wait(3600.0):
        os.utime(folder.parent)  # another app removes what looks old
        remove_old(folder)


def remove_old(folder: Path, prefix: str = "", seconds: float = DAY) -> list[Path]:
    """Remove the folders of such names that are older, and say which."""
    gone = []
    for path in folder.glob(f"{prefix}*"):
        with suppress(OSError):
            old = time.time() - path.stat().st_mtime > seconds
            if old and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
                gone.append(path)
    return gone


def new_room(root: Path) -> Path:
    """An empty folder for one run, whose name nobody guesses."""
    room = root / "runs" / secrets.token_urlsafe(16)
    (room / "work").mkdir(parents=True)
    return room / "work"


def example(root: Path, name: str) -> Path:
    """The file of an example, written when it is first asked for."""
    prior, number = EXAMPLES[name]
    path = root / "examples" / f"{name.lower().replace(' ', '-')}.png"
    if not path.is_file():
        pixels = held_out_images(prior=prior)[number]
        part = path.with_suffix(".part.png")
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(part)
        part.replace(path)
    return path
