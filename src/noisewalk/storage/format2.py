"""Migration of a run's arrays from format 2, which had no checksums, to format 3.

The draws stay where they are. Their checksums are written beside them, and then the root document
of format 3 is put in the place of the old one: at any moment the run is of one format or the other.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from .atomic import write_file
from .checksum import crc32c
from .segments import Segmented, to_bytes
from .spec import FORMAT
from .zarr_group import GROUP, META, STATE, Root, read_fixed, read_root


def migrated(folder: Path) -> Root:
    """The root of a run, in format 3: a writer that holds the lock converts it from format 2."""
    root = read_root(folder)
    if root.format != 2:
        return root
    for array in root.arrays.values():
        array.verify(root.num_draws)
    root = with_sums(folder, root)
    write_file(folder / GROUP / META, [root.to_bytes()])
    return root


def with_sums(folder: Path, root: Root) -> Root:
    """The root of a run without checksums in format 3, with those of its draws written."""
    for array in root.arrays.values():
        write_file(array.sums, [sums_of(array, root.num_draws).tobytes()])
    arrays = {name: replace(array, checked=True) for name, array in root.arrays.items()}
    sums = {
        name: crc32c([to_bytes(read_fixed(folder / GROUP / name, doc, None))])
        for name, doc in root.fixed.items()
    }
    state = folder / f"state-{root.serial}.safetensors"
    if root.has_state and state.is_file():
        sums[STATE] = crc32c([state.read_bytes()])
    return root._replace(arrays=arrays, sums=sums, format=FORMAT)


def sums_of(array: Segmented, num_draws: int) -> np.ndarray:
    """The checksums of an array's draws as they are on the disk; draws that are cut have none, and
    end the list."""
    found = []
    for segment in range(-(-num_draws // array.length)):
        path, count = array.path(segment), min(array.length, num_draws - segment * array.length)
        there = path.stat().st_size // array.slab if path.is_file() else 0
        if there:
            chunk = np.memmap(path, np.uint8, "r", shape=(there, array.slab))
            found += [crc32c([row]) for row in chunk[:count]]
        if there < count:
            break
    return np.array(found, "<u4")
