"""Files of a report, each written whole: a failure leaves the old ones."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ..errors import StoreError
from ..storage.atomic import write_whole


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the contents by file name; StoreError if the folder cannot be written to."""
    try:
        for name, content in contents.items():
            write_whole(folder / name, partial(Path.write_bytes, data=content))
    except OSError as error:
        raise StoreError(f"cannot write the report into {folder}: {error.strerror}") from error
