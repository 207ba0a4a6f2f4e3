"""Training images from an IDX file, an npz file or a folder, as one uint8 tensor (N, C, H, W)."""

import gzip
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..._checks import whole
from ...errors import ConfigError
from ...files.arrays import read_array
from ..mismatched_keys import listed

_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}


def load_images(path: str | Path, size: int, channels: int) -> Tensor:
    """Images (N, channels, size, size) of an IDX file (`*-ubyte`, `*-ubyte.gz`), an array `images`
    in an `.npz` or a folder, 8 bits a channel; smaller ones are padded evenly with black."""
    whole("size", size)
    if channels not in (1, 3):
        raise ConfigError(f"channels must be 1 or 3, got {channels!r}")
    path = Path(path)
    if not path.exists():
        needed = "give an IDX file, an .npz file or a folder of images"
        raise ConfigError(f"no such file or folder: {path}; {needed}")
    read = _read_folder if path.is_dir() else _read_npz if path.suffix == ".npz" else _read_idx
    images = read(path)
    if images.size == 0:
        raise ConfigError(f"{path} holds no images: its array has the shape {images.shape}")
    if images.ndim == 3:
        images = images[..., None]
    _, height, width, found = images.shape
    if found != channels:
        asked = f"{channels} are asked for (--channels, or those of the prior)"
        raise ConfigError(f"{path} holds images of {found} channels, {asked}")
    if height > size or width > size:
        larger = f"{height}x{width}, larger than --size {size}"
        raise ConfigError(f"{path} holds images of {larger}; resize them first")
    top, left = (size - height) // 2, (size - width) // 2
    pad = ((0, 0), (top, size - height - top), (left, size - width - left), (0, 0))
    return torch.from_numpy(np.ascontiguousarray(np.pad(images, pad).transpose(0, 3, 1, 2)))


def image_names(path: str | Path, count: int) -> list[str]:
    """What the images of `load_images` are called in messages: a folder's files, else numbers."""
    path = Path(path)
    if path.is_dir():
        return [str(file) for file in _files(path)]
    return [f"{path.name}[{i}]" for i in range(count)]


def to_unit(images: Tensor) -> Tensor:
    """uint8 pixels as float32: 0 becomes -1, 255 becomes 1."""
    return images.to(torch.float32) / 127.5 - 1.0


def _read_idx(path: Path) -> np.ndarray:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if len(raw) < 16 or raw[:4] != b"\x00\x00\x08\x03":
        kinds = "no IDX file of unsigned bytes with three axes, and no .npz file or folder"
        raise ConfigError(f"{path} is {kinds} either")
    count, height, width = np.frombuffer(raw, ">u4", 3, 4).tolist()
    if len(raw) != 16 + count * height * width:
        needed = f"{count} images of {height}x{width}"
        raise ConfigError(f"{path} is truncated: {len(raw)} bytes for {needed}")
    return np.frombuffer(raw, np.uint8, offset=16).reshape(count, height, width)


def _read_npz(path: Path) -> np.ndarray:
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no .npz file, or only a part of one")
        with np.load(path, allow_pickle=False) as arrays:
            images = arrays["images"]
    except Exception as error:  # zip and numpy meet damaged bytes with errors of any kind
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"cannot read an array `images` from {path}: {reason}") from error
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        got = f"{images.dtype} {images.shape}"
        raise ConfigError(f"{path}: images must be uint8 (N, H, W) or (N, H, W, C), got {got}")
    return images


def _read_folder(path: Path) -> np.ndarray:
    files = _files(path)
    if not files:
        raise ConfigError(f"no {', '.join(sorted(_SUFFIXES))} files under {path}")
    images: dict[Path, np.ndarray] = {}
    problems: list[str] = []
    for file in files:
        try:
            image = read_array(file).values
        except ConfigError as error:
            problems.append(str(error))
            continue
        if image.dtype == np.uint8:
            images[file] = image
        else:
            what = f"{file} holds pixels of type {image.dtype}"
            problems.append(f"{what}: save it with 8 bits a channel")
    problems += _odd_ones(images)
    if problems:
        count = f"{len(problems)} of the {len(files)} files under {path} cannot be used: "
        raise ConfigError((count if len(problems) > 1 else "") + listed(problems))
    return np.moveaxis(np.stack(list(images.values())), 1, -1)


def _odd_ones(images: dict[Path, np.ndarray]) -> list[str]:
    """The images of another shape than most."""
    shapes = {file: image.shape for file, image in images.items()}
    if len(set(shapes.values())) < 2:
        return []
    usual = Counter(shapes.values()).most_common(1)[0][0]
    like = next(file for file, shape in shapes.items() if shape == usual)
    return [
        f"{file} is of shape {shape}, {like} of {usual} (channels, height, width): make them alike"
        for file, shape in shapes.items()
        if shape != usual
    ]


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES)
