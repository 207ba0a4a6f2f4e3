"""PyTorch's pickled files read without running any code in them."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

from .errors import WeightsError


def load_pickled(path: Path, sha256: str | None = None) -> Any:
    """What `torch.save` wrote, on the CPU, through the restricted unpickler.

    Arguments:
        path: a file.
        sha256: its hash, checked first; None: the checksums inside a zip archive are checked
            instead.

    Returns:
        Tensors and plain containers of them; the caller checks which.

    Raises:
        WeightsError: a file that is damaged, another than the hash says, or holds anything but
            tensors.
    """
    import torch

    try:
        is_zip = zipfile.is_zipfile(path)
        if sha256 is not None:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != sha256.lower():
                raise WeightsError(
                    f"{path} has sha256 {found[:12]}..., not {sha256[:12]}...: the file is "
                    "damaged or was replaced; get it again"
                )
        elif is_zip:
            with zipfile.ZipFile(path) as archive:
                if (damaged := archive.testzip()) is not None:
                    raise WeightsError(
                        f"{path} is damaged: the checksum of {damaged!r} in it is wrong; get "
                        "the file again"
                    )
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except WeightsError:
        raise
    except Exception as error:  # unpicklers raise whatever the damaged bytes lead them to
        raise WeightsError(
            f"{path} cannot be read: it is damaged, or holds more than tensors (none of its "
            "code was run); get the file again"
        ) from error
