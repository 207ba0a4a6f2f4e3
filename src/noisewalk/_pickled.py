"""PyTorch's pickled files, read without running any code in them."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

from ._packages import sha256_of
from .errors import WeightsError


def load_pickled(path: Path, sha256: str | None = None) -> Any:
    """What `torch.save` wrote, on the CPU: tensors and plain containers, which the caller checks.
    Without a hash, the checksums inside a zip archive are checked instead."""
    import torch

    try:
        is_zip = zipfile.is_zipfile(path)
        if fault := _hash_fault(path, sha256) if sha256 else _zip_fault(path) if is_zip else None:
            raise WeightsError(f"{path} {fault}; get the file again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an unusual pickle: what cannot be read is an error
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except WeightsError:
        raise
    except Exception as error:  # unpicklers raise whatever the damaged bytes lead them to
        reason = "it is damaged, or holds more than tensors (none of its code was run)"
        raise WeightsError(f"{path} cannot be read: {reason}; get the file again") from error


def _hash_fault(path: Path, sha256: str) -> str | None:
    if (found := sha256_of(path)) == sha256.lower():
        return None
    return f"has sha256 {found}, not {sha256}: it is damaged or was replaced"


def _zip_fault(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    return damaged and f"is damaged: the checksum of {damaged!r} in it is wrong"
