"""A run's folder: how it begins, who may write it, and how it is tidied after a kill.

The order of creation is: folder, lock, `spec.json`, `run.zarr` (made under a temporary name and
renamed). A folder without a whole specification and without a group, or without a group alone, is
completed. A run that kept nothing, because it failed at its start, gives way to another. Whatever
else is not a run is somebody else's and is left alone.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import BusyError, StoreError
from .atomic import write_file
from .damage import reported
from .format2 import migrated
from .segments import Segmented
from .spec import Spec, content, differences, parse, was_cut
from .zarr_group import GROUP, META, Root, read_root, same_layout

SPEC, LOCK = "spec.json", ".lock"
OLDEST = 2
"""Of the formats in which a run goes on."""
OWN = (SPEC, f"{SPEC}.tmp", LOCK, f"{GROUP}.tmp")


def read_spec(folder: Path) -> Spec | None:
    """The stored specification; None if there is none, or only the beginning of one and no draw."""
    path = folder / SPEC
    with reported(f"cannot read {path}", "give a folder that can be read"):
        if not folder.exists():
            return None
        if not folder.is_dir():
            raise StoreError(f"{folder} is a file: give a folder")
        raw, begun = path.read_bytes() if path.exists() else b"", (folder / GROUP).exists()
        foreign = sorted(p.name for p in folder.iterdir() if p.name not in OWN)
    if begun or not was_cut(raw):
        return parse(raw, path)
    if foreign and not raw:
        held = ", ".join(foreign[:3]) + ", ..." * (len(foreign) > 3)
        raise StoreError(f"{folder} is not a run folder (it holds {held}): give a new or empty one")
    return None


def admit(folder: Path, asked: dict[str, Any], free: Sequence[str], resume: bool) -> Spec | None:
    """The stored specification (None: a new run) if the run asked for may be written here."""
    stored = read_spec(folder)
    if stored is None:
        return None
    if stored.format < OLDEST:
        raise StoreError(
            f"{folder} has format {stored.format}: it can be read and reported, not continued; "
            "start a new run in another folder"
        )
    if _kept_nothing(folder):
        return None
    if not resume:
        raise StoreError(f"{folder} holds a run: go on by --resume, or give another folder")
    if found := "; ".join(differences(stored.facts, asked, free)):
        raise StoreError(f"{folder} holds another run: {found}; give its values or another folder")
    return stored


def _kept_nothing(folder: Path) -> bool:
    """Whether a run has neither a draw nor a state to go on from."""
    if not (folder / GROUP / META).is_file():
        return False
    root = read_root(folder)
    return root.num_draws == 0 and not root.has_state


def take_lock(folder: Path) -> int:
    """Descriptor of the held lock file; StoreError if another process holds it."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException as error:
        os.close(lock)
        if not isinstance(error, BlockingIOError):
            raise
        advice = "wait until it ends, or give another folder"
        raise BusyError(f"another process is writing to {folder}: {advice}") from None
    return lock


def start(
    folder: Path, stored: Spec | None, asked: dict[str, Any], layout: dict[str, Segmented]
) -> None:
    """Write what is missing of a run: its specification first, then the empty group."""
    group = folder / GROUP
    if stored is None:
        shutil.rmtree(group, ignore_errors=True)
    root = migrated(folder) if group.exists() else None
    if root is not None and not same_layout(root.arrays, layout):
        found, want = _shapes(root.arrays), _shapes(layout)
        raise StoreError(f"{folder} holds {found}, but {want} are asked for: give another folder")
    spec = content(asked, stored.version if stored else None)
    if stored is None or (folder / SPEC).read_bytes() != spec:
        if root is not None and root.complete and stored is not None and stored.facts != asked:
            write_file(group / META, [root._replace(complete=False).to_bytes()])
        write_file(folder / SPEC, [spec])
    if root is None:
        temporary = folder / f"{GROUP}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        for name, array in layout.items():
            (temporary / name).mkdir(parents=True)
            write_file(temporary / name / META, [json.dumps(array.document(0)).encode()])
        write_file(temporary / META, [Root(0, 0, False, layout, {}).to_bytes()])
        os.replace(temporary, group)


def _shapes(arrays: dict[str, Segmented]) -> str:
    shapes = {name: (a.images, a.chains, *a.shape) for name, a in arrays.items()}
    return ", ".join(f"{name} {a.dtype} {shapes[name]}" for name, a in arrays.items())


def state_path(folder: Path, serial: int) -> Path:
    """File of the sampler's state."""
    return folder / f"state-{serial}.safetensors"


def clean(folder: Path, state: Path) -> None:
    """Remove what a kill may have left: temporary files, and states but the committed one."""
    for pattern in ("state-*.safetensors*", f"{SPEC}.tmp", f"{GROUP}/*.tmp", f"{GROUP}/*/*.tmp"):
        for path in list(folder.glob(pattern)):
            if path != state:
                path.unlink(missing_ok=True)
    shutil.rmtree(folder / f"{GROUP}.tmp", ignore_errors=True)
