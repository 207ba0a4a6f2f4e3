"""Arrays out of files of any format that is read: values as they are, images channel first.

Nothing here rescales. Rows keep the file's order. What a decoder would lose or guess in silence is
refused: transparency, 16-bit colour PNGs, CMYK, several images in one file. Pickles are never
loaded.
"""

import math
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np

from ..errors import ConfigError, NoisewalkError
from .fits import read_fits
from .images import read_picture
from .labelled import read_netcdf, read_zarr
from .reading import MOST_VALUES, Look, Reading, parted
from .tiff import read_tiff

Reader: TypeAlias = Callable[[Path, str, Look], Reading]


def read_array(path: str | Path, look: Look | None = None) -> Reading:
    """Read one array from a picture, a TIFF, FITS or NumPy file.

    The endings are .png .jpg .jpeg .webp .tif .tiff .npy .npz .fits .fit .fts, .fits.gz, .fits.fz,
    .nc and .zarr. An opaque alpha channel is dropped. EXIF turns pictures upright. Of a FITS file
    `file.fits[NAME]`, `[NAME,VERSION]` or `[2]` is one extension, of an .npz, .nc or .zarr file
    `file.npz[name]` one array, of a TIFF `file.tif[100:292,200:520]` some rows and columns.

    Arguments:
        path: the file, with the part of it that is wanted: without one, the only array of an .npz
            or the one named `y`, the only image of a .fits.
        look: is called with the shape before the values are decoded, and raises a ConfigError for
            one that is not wanted.

    Returns:
        The values: images (C, H, W), planes (1, H, W), other arrays as they are; with what the
        file itself marks as missing, its unit and its georeference.

    Raises:
        ConfigError: the file is absent, empty, damaged, of an unknown type, too large or not one
            real array.
        MissingExtraError: tifffile (for .tif) or astropy (for .fits) is not installed.

    Example:
        >>> import noisewalk as nw, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/plane.npy", np.ones((2, 3), np.uint8))
        ...     nw.files.read_array(f"{folder}/plane.npy").values.shape
        (1, 2, 3)
    """
    path, part = parted(path)
    reader, suffix = reader_of(path)

    def checked(shape: tuple[int, ...]) -> None:
        count: int = math.prod(shape)
        if count > MOST_VALUES:
            held = f"{path} holds {count:,} values of shape {shape}"
            raise ConfigError(f"{held}; at most {MOST_VALUES:,} are read: cut out a part first")
        if look is not None and count:
            look((1, *shape) if len(shape) == 2 else shape)

    try:
        found = reader(path, part, checked)
    except NoisewalkError:
        raise
    except Exception as error:  # decoders meet damaged bytes with errors of any kind
        reason = " ".join(str(error).split()) or type(error).__name__
        damaged, codecs = "the file is damaged or of another type", "pip install imagecodecs"
        what = f"{path} cannot be read as {suffix}: {reason}"
        advice = codecs if "imagecodecs" in reason else damaged
        raise ConfigError(f"{what}; {advice}") from error
    values = found.values
    if values.dtype.kind not in "biuf":
        raise ConfigError(f"{path} holds {values.dtype} values; allowed are real numbers or bool")
    if values.size == 0:
        raise ConfigError(f"{path} holds an array of shape {values.shape}, which has no values")
    values, gaps = values.astype(values.dtype.newbyteorder("="), copy=False), found.missing
    if values.ndim == 2:
        values, gaps = values[None], None if gaps is None else gaps[None]
    return replace(found, values=values, missing=gaps)


class _EnoughError(NoisewalkError):
    """Stops a reader before it decodes."""


def shape_in(path: str | Path, bands: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """The shape of what `read_array` reads, of these bands alone, from the header."""
    found: list[tuple[int, ...]] = []

    def look(shape: tuple[int, ...]) -> None:
        found.append(shape)
        raise _EnoughError

    try:
        shape: tuple[int, ...] = read_array(path, look).values.shape
    except _EnoughError:
        shape = found[0]
    return shape if bands is None or len(shape) != 3 else (len(bands), *shape[1:])


def reader_of(path: Path) -> tuple[Reader, str]:
    """What reads a file, by its ending; ConfigError if it is no file to be read."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist; give an image or array file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} cannot be opened: {reason}") from error
    is_store = stat.S_ISDIR(status.st_mode) and path.name.lower().endswith(".zarr")
    if not stat.S_ISREG(status.st_mode) and not is_store:
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise ConfigError(f"{path} is {kind}; give the path of one file")
    name = path.name.lower()
    suffix = next((end for end in sorted(READERS, key=len)[::-1] if name.endswith(end)), None)
    if suffix is None:
        allowed = " ".join(READERS)
        raise ConfigError(f"{path} has the extension {path.suffix!r}; allowed are {allowed}")
    if status.st_size == 0:
        raise ConfigError(f"{path} is empty (0 bytes); write it again")
    return READERS[suffix], suffix


def _read_numpy(path: Path, part: str, look: Look) -> Reading:
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        if start.startswith(b"PK"):
            return Reading(_from_zip(path, file, part, look), path)
        if start != b"\x93NUMPY":
            wrong = "is not a NumPy file (pickles are never loaded)"
            raise ConfigError(f"{path} {wrong}; write it with np.save")
        if part:
            raise ConfigError(f"{path} is one array and has no part {part!r}: leave it out")
        look(_numpy_shape(file))
        file.seek(0)
        return Reading(np.load(file, allow_pickle=False), path)


def _from_zip(path: Path, file: IO[bytes], part: str, look: Look) -> np.ndarray:
    """An array of an .npz file; ConfigError where it is not clear which."""
    with np.load(file, allow_pickle=False) as loaded:
        names = loaded.files
        name = part or (names[0] if len(names) == 1 else "y")
        if name not in names:
            found = f"{len(names)} arrays ({', '.join(names)})"
            wanted = f"none is {part!r}" if part else "keep one, or call it 'y'"
            raise ConfigError(f"{path} holds {found}; {wanted}: {path.name}[NAME] chooses one")
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            look(_numpy_shape(member))
        return np.asarray(loaded[name])


def _numpy_shape(file: IO[bytes]) -> tuple[int, ...]:
    """The shape in the header of a .npy file."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    shape, _, _ = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    return shape


READERS: dict[str, Reader] = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp"), read_picture),
    **dict.fromkeys((".tif", ".tiff"), read_tiff),
    **dict.fromkeys((".npy", ".npz"), _read_numpy),
    **dict.fromkeys((".fits", ".fit", ".fts"), read_fits),
    ".nc": read_netcdf,
    ".zarr": read_zarr,
    **dict.fromkeys((".fits.gz", ".fit.gz", ".fits.fz", ".fit.fz"), read_fits),
}
