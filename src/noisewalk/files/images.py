"""PNG, JPEG and WebP pictures: reading them without loss, and writing 8-bit ones for display."""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..errors import ConfigError
from .reading import Look, Reading


def read_picture(path: Path, part: str, look: Look) -> Reading:
    """The pixels of a PNG, JPEG or WebP file, upright; what Pillow would change is refused."""
    if part:
        has = ".fits and .npz files have parts, .tif files windows such as [0:64,0:64]"
        raise ConfigError(f"{path} has no part {part!r}: {has}; cut a picture in another program")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `look` is stricter
        with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as file:
            look(_shape(file))
            lossless = file.format != "PNG" or file.mode in ("I;16", "I")
            if not lossless and _bit_depth(path) == 16:
                wrong = "is a 16-bit PNG in colour, which Pillow cuts to 8"
                raise ConfigError(f"{path} {wrong}; save it as .tif or .npy")
            image = ImageOps.exif_transpose(file)
    return Reading(_pixels(path, image), path)


def _shape(file: Image.Image) -> tuple[int, ...]:
    """(C, H, W) from the header: an alpha channel goes, and EXIF 5 to 8 lie on their side."""
    width, height = file.size
    if file.getexif().get(0x0112, 1) >= 5:
        width, height = height, width
    return 1 if file.mode in ("1", "L", "LA", "I", "I;16") else 3, height, width


def _bit_depth(path: Path) -> int:
    """What the header of a PNG says."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _pixels(path: Path, image: Image.Image) -> np.ndarray:
    transparent = image.info.get("transparency")
    if image.mode in ("I;16", "I"):
        values = np.array(image).astype(np.uint16)
        refuse_transparency(path, transparent is not None and bool((values == transparent).any()))
        return values
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise ConfigError(f"{path} has the colour mode {image.mode}; convert it to grey or RGB")
    if transparent is not None or image.mode.endswith("A"):
        refuse_transparency(path, np.asarray(image.convert("RGBA"))[..., 3].min() < 255)
    if image.mode in ("1", "L", "LA"):
        return np.array(image.convert("L"))
    return np.moveaxis(np.array(image.convert("RGB")), -1, 0)


def refuse_transparency(path: Path, transparent: bool) -> None:
    """Raise ConfigError if a picture has transparent pixels."""
    if transparent:
        raise ConfigError(f"{path} has transparent pixels; flatten it, or save it without alpha")


def save_png(x: Tensor, path: str | Path) -> None:
    """Write an image for display: 8 bits, round((clip(x, -1, 1) + 1) * 127.5).

    Arguments:
        x: (C, H, W) on the scale of [-1, 1], C = 1 (grey) or 3 (RGB), finite.
        path: the file, overwritten if there.

    Raises:
        ConfigError: x has another shape or NaN, or the file cannot be written.

    Example:
        >>> import noisewalk as nw, os
        >>> nw.files.save_png(torch.zeros(1, 1, 2), os.devnull)
    """
    if x.ndim != 3 or x.shape[0] not in (1, 3) or x.numel() == 0:
        raise ConfigError(f"a PNG has shape (1, H, W) or (3, H, W), got {tuple(x.shape)}")
    if nan := int(x.isnan().sum()):
        raise ConfigError(f"the image for {path} has {nan} NaN values; a PNG needs numbers")
    pixels = ((x.detach().double().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
    last = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    try:
        Image.fromarray(last).save(path, format="PNG")
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{path} cannot be written: {reason}; use an existing folder") from error
