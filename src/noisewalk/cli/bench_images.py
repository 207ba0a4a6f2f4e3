"""The images of `noisewalk bench`, and the class of each.

ImageNet's classes are numbered in the order of their names, n01440764 first, as the checkpoints
number them. A folder for each class is therefore enough where all 1000 are there.
"""

import csv
import re
from itertools import zip_longest
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ConfigError
from ..files import load_image
from ..priors.prior import Prior
from ..priors.train.data import load_images, to_unit
from .demo.images import FILES, held_out_images

MOST_IMAGES = 1000
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
CLASSES = 1000  # of ImageNet
WORDNET = re.compile(r"n\d{8}")
BY_FOLDER = "folders"


def files_of(images: Path | None, labels: str | None) -> tuple[list[Path], tuple[int, ...] | None]:
    """The pictures of a folder, at most `MOST_IMAGES`, and the class of each where `labels` gives
    it: by the names of their folders, or by a CSV of file and class."""
    if images is not None and not images.exists():
        raise ConfigError(f"--images {images} is not there: give a folder, an .npz or an IDX file")
    if images is None or not images.is_dir():
        if labels is not None:
            raise ConfigError("--labels is for a folder of images: give one by --images")
        return [], None
    found = sorted(p for p in images.rglob("*") if p.suffix.lower() in PICTURES)
    if not found:
        raise ConfigError(f"no images under {images}: .png, .jpg, .webp and .tif are read")
    if labels is None:
        return found[:MOST_IMAGES], None
    pairs = _by_folder(images, found) if labels == BY_FOLDER else _by_table(images, Path(labels))
    return [path for path, _ in pairs[:MOST_IMAGES]], tuple(k for _, k in pairs[:MOST_IMAGES])


def _by_folder(root: Path, found: list[Path]) -> list[tuple[Path, int]]:
    """The first image of every class, then the second of every class, and so on."""
    named: dict[str, list[Path]] = {}
    for path in found:
        named.setdefault(path.parent.name if path.parent != root else "", []).append(path)
    numbers = {name: int(name) for name in named if name.isascii() and name.isdigit()}
    if len(named) == CLASSES and all(WORDNET.fullmatch(name) for name in named):
        numbers = {name: number for number, name in enumerate(sorted(named))}
    if strange := sorted(set(named) - set(numbers)):
        allowed = f"give each class a folder of its number, or all {CLASSES} of ImageNet's names"
        where = repr(strange[0]) if strange[0] else f"{root} itself"
        raise ConfigError(f"--labels {BY_FOLDER}: {where} is no class; {allowed}, or a CSV")
    rows = zip_longest(*(named[name] for name in sorted(named, key=numbers.__getitem__)))
    return [(p, numbers[p.parent.name]) for row in rows for p in row if p is not None]


def _by_table(root: Path, table: Path) -> list[tuple[Path, int]]:
    """The images that a table names, in its order."""
    try:
        with table.open(newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"--labels {table} cannot be read: {error}") from error
    if rows and not rows[0][-1].strip().isdigit():  # a head
        rows = rows[1:]
    wrong = next((row for row in rows if len(row) != 2 or not row[1].strip().isdigit()), None)
    if not rows or wrong is not None:
        got = "no row" if not rows else f"a row {','.join(wrong or [])!r}"
        raise ConfigError(f"--labels {table} has {got}: each row is a file and its class, 0 to 999")
    pairs = [(root / name.strip(), int(number)) for name, number in rows]
    if lacking := next((path for path, _ in pairs if not path.is_file()), None):
        raise ConfigError(
            f"--labels {table} names {lacking}, which is not there: {root} has it not"
        )
    return pairs


def pool_of(source: Path | None, files: list[Path], prior: Prior) -> Tensor:
    """The images, (pool, *x) in [-1, 1]; the largest centre part of a picture is scaled down, and
    none is squashed."""
    shape = tuple(prior.shape)
    if source is None:
        return _bundled(prior)
    if files:
        return torch.stack([load_image(path, shape, fit="resize")[0] for path in files])
    return to_unit(load_images(source, shape[-1], shape[0])[:MOST_IMAGES])


def _bundled(prior: Prior) -> Tensor:
    if prior.name in FILES:
        x = to_unit(torch.from_numpy(held_out_images(prior=prior.name)).movedim(-1, 1))
        if tuple(x.shape[1:]) == tuple(prior.shape):  # a user's folder may have that name too
            return x
    images = "a folder of validation images or an .npz file"
    raise ConfigError(f"{prior.name} has no bundled images: give --images, {images}")
