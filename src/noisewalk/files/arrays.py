"""Arrays out of files of any format that is read: values as they are, images channel first.

Nothing here rescales. Rows keep the file's order. What a decoder would lose or guess in silence is
refused: transparency, 16-bit colour PNGs, CMYK, several images in one file. Pickles are never
loaded.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import ConfigError, NoisewalkError
from .fits import read_fits
from .images import read_picture
from .tiff import read_tiff


@dataclass(frozen=True, eq=False)
class Reading:
    """What a file holds: values, not empty, in its unit and dtype but in native byte order."""

    values: np.ndarray = field(repr=False)
    path: Path


def read_array(path: str | Path) -> Reading:
    """Read one array from a .png, .jpg, .jpeg, .tif, .tiff, .npy, .npz or .fits file.

    An opaque alpha channel is dropped. EXIF turns JPEG and PNG upright.

    Arguments:
        path: the file; the only array of an .npz or the one named `y`, the only image of a .fits.

    Returns:
        The values as stored: images (C, H, W), planes (1, H, W), other arrays as they are.

    Raises:
        ConfigError: the file is absent, empty, damaged, of an unknown type or not one real array.
        MissingExtraError: tifffile (for .tif) or astropy (for .fits) is not installed.

    Example:
        >>> import noisewalk as nw, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/plane.npy", np.ones((2, 3), np.uint8))
        ...     nw.files.read_array(f"{folder}/plane.npy").values.shape
        (1, 2, 3)
    """
    path = Path(path)
    reader = _reader(path)
    try:
        values = reader(path)
    except NoisewalkError:
        raise
    except Exception as error:  # decoders meet damaged bytes with errors of any kind
        reason = " ".join(str(error).split()) or type(error).__name__
        damaged, codecs = "the file is damaged or of another type", "pip install imagecodecs"
        what = f"{path} cannot be read as {path.suffix.lower()}: {reason}"
        advice = codecs if "imagecodecs" in reason else damaged
        raise ConfigError(f"{what}; {advice}") from error
    if values.dtype.kind not in "biuf":
        raise ConfigError(f"{path} holds {values.dtype} values; allowed are real numbers or bool")
    if values.size == 0:
        raise ConfigError(f"{path} holds an array of shape {values.shape}, which has no values")
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return Reading(values[None] if values.ndim == 2 else values, path)


def _reader(path: Path) -> Callable[[Path], np.ndarray]:
    """The function that reads a file, by its ending; ConfigError if it is no file to be read."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist; give an image or array file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} cannot be opened: {reason}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise ConfigError(f"{path} is {kind}; give the path of one file")
    if path.suffix.lower() not in _READERS:
        allowed = " ".join(_READERS)
        raise ConfigError(f"{path} has the extension {path.suffix!r}; allowed are {allowed}")
    if status.st_size == 0:
        raise ConfigError(f"{path} is empty (0 bytes); write it again")
    return _READERS[path.suffix.lower()]


def _read_numpy(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        if not file.read(6).startswith((b"\x93NUMPY", b"PK")):
            wrong = "is not a NumPy file (pickles are never loaded)"
            raise ConfigError(f"{path} {wrong}; write it with np.save")
        file.seek(0)
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            if len(names) != 1 and "y" not in names:
                found = f"{len(names)} arrays ({', '.join(names)})"
                raise ConfigError(f"{path} holds {found}; keep one, or call it 'y'")
            return np.asarray(loaded[names[0] if len(names) == 1 else "y"])


_READERS = {
    **dict.fromkeys((".png", ".jpg", ".jpeg"), read_picture),
    **dict.fromkeys((".tif", ".tiff"), read_tiff),
    **dict.fromkeys((".npy", ".npz"), _read_numpy),
    ".fits": read_fits,
}
