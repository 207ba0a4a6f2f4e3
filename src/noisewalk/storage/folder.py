"""What a run folder holds and who may write it: specification, lock, the zarr group's root, repair
after a kill.

The order of creation is: folder, lock, `spec.json`, `run.zarr` (made under a temporary name and
renamed). So a folder is, at any moment, one of: not a run yet (no or an incomplete specification
and no group: it is started), a run without its group (the group is made), a run. Whatever else it
is, it is somebody else's and is left alone.
"""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import __version__
from ..errors import ConfigError, StoreError
from .segments import DRAW, Segmented, sync_folder, write_file

FORMAT = 1
SPEC, GROUP, LOCK, META = "spec.json", "run.zarr", ".lock", "zarr.json"
OWN_KEYS = ("noisewalk", "format")
EXCERPT = 80
"""Characters of a value that an error shows."""
SEGMENT_BYTES, SEGMENT_DRAWS = 1 << 26, (8, 1024)
_HEADER = '{\n  "noisewalk": "'


def layout_of(
    group: Path,
    images: int,
    chains: int,
    z_shape: Sequence[int],
    x_shape: Sequence[int],
    dtype: str,
    extras: Sequence[str],
    length: int | None,
) -> dict[str, Segmented]:
    """The arrays of draws of a new run; ConfigError for sizes or names that cannot be."""
    arrays = {
        "x": (tuple(x_shape), dtype),
        "z": (tuple(z_shape), dtype),
        "nll": ((), "float64"),
        "acceptance_rate": ((), "float64"),
    }
    arrays |= {"accepted": ((), "bool"), "diverging": ((), "bool")} | {
        name: ((), "float64") for name in extras if name not in arrays
    }
    if (
        min(images, chains, *x_shape, *z_shape) < 1
        or (length is not None and length < 1)
        or not all(name.isidentifier() for name in extras)
    ):
        raise ConfigError(
            f"a store needs sizes of at least 1 and plain names, got images {images}, chains "
            f"{chains}, x {tuple(x_shape)}, "
            f"z {tuple(z_shape)}, draws_per_segment {length}, extras {tuple(extras)}"
        )
    out = {}
    for name, (shape, kind) in arrays.items():
        array = Segmented(group / name, images, chains, shape, kind, 1)
        out[name] = replace(
            array,
            length=length
            or min(max(SEGMENT_BYTES // array.slab, SEGMENT_DRAWS[0]), SEGMENT_DRAWS[1]),
        )
    return out


def normal(spec: dict[str, Any]) -> dict[str, Any]:
    """A specification as it comes back from JSON; ConfigError if it cannot be stored."""
    if taken := sorted(set(OWN_KEYS) & spec.keys()):
        raise ConfigError(
            f"a run's specification cannot have the keys {', '.join(taken)}: they are the "
            "store's own"
        )
    try:
        return json.loads(json.dumps(spec))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a run's specification must be JSON: {error}") from error


def admit(
    folder: Path, asked: dict[str, Any], free: Sequence[str], resume: bool
) -> dict[str, Any] | None:
    """The stored specification (None: a new run), if the run that is asked for may be written here."""
    stored = read_spec(folder)
    if stored is None:
        return None
    if not resume:
        raise StoreError(
            f"{folder} holds a run already: go on with it by --resume, or give another folder"
        )
    mine = {key: value for key, value in stored.items() if key not in (*OWN_KEYS, *free)}
    other = {key: value for key, value in asked.items() if key not in free}
    if differences := list(_differences(mine, other)):
        raise StoreError(
            f"{folder} holds another run: {'; '.join(differences)}; give another folder, or "
            "these values to go on"
        )
    return stored


def _differences(stored: Any, asked: Any, where: str = "") -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(asked, dict):
        for key in sorted(stored.keys() | asked.keys()):
            yield from _differences(
                stored.get(key, "(not set)"),
                asked.get(key, "(not set)"),
                f"{where}.{key}" if where else key,
            )
    elif stored != asked and json.dumps(stored) != json.dumps(asked):
        there, here = json.dumps(stored), json.dumps(asked)
        same = next(
            (k for k, (a, b) in enumerate(zip(there, here, strict=False)) if a != b),
            min(len(there), len(here)),
        )
        start = max(0, same - 20) if max(len(there), len(here)) > EXCERPT else 0
        yield f"{where} is {_excerpt(there, start)} there, {_excerpt(here, start)} here"


def _excerpt(text: str, start: int) -> str:
    """Of a long text, what begins a little before the first difference."""
    end = start + EXCERPT
    return f"{'...' * (start > 0)}{text[start:end]}{'...' * (len(text) > end)}"


def read_spec(folder: Path) -> dict[str, Any] | None:
    """The stored specification; None if there is none, or a kill left it incomplete before the
    first draw."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        raise StoreError(f"{folder} is a file: give a folder")
    path = folder / SPEC
    raw, begun = path.read_bytes() if path.exists() else b"", (folder / GROUP).exists()
    if not raw and not begun:
        if foreign := sorted(
            p.name
            for p in folder.iterdir()
            if p.name not in (SPEC, f"{SPEC}.tmp", LOCK, f"{GROUP}.tmp")
        ):
            raise StoreError(
                f"{folder} is not a run folder (it holds "
                f"{', '.join(foreign[:3])}{', ...' * (len(foreign) > 3)}): give a new or empty "
                "one"
            )
        return None
    try:
        stored = json.loads(raw)
        found = stored["format"], stored["noisewalk"]
    except (ValueError, KeyError, TypeError) as error:
        head = _HEADER.encode()
        if not begun and (raw.startswith(head) or head.startswith(raw)):
            return None
        raise StoreError(
            f"{path} is missing, damaged or not a noisewalk run's: restore it, or give another "
            "folder"
        ) from error
    if found[0] != FORMAT:
        raise StoreError(
            f"{folder} has format {found[0]}, made by noisewalk {found[1]}; this version reads "
            f"format {FORMAT}"
        )
    return stored


def take_lock(folder: Path) -> int:
    """Descriptor of the held lock file; StoreError if another process holds it."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreError(
            f"another process is writing to {folder}: wait until it ends, or give another folder"
        ) from None
    except BaseException:
        os.close(lock)
        raise
    return lock


def start(
    folder: Path,
    stored: dict[str, Any] | None,
    asked: dict[str, Any],
    layout: dict[str, Segmented],
    durable: bool,
) -> None:
    """Write what is missing of a run: its specification first, then the empty group."""
    group = folder / GROUP
    if group.exists():
        attributes, arrays, fixed = read_root(folder)
        if {
            name: replace(array, length=layout[name].length) if name in layout else array
            for name, array in arrays.items()
        } != layout:
            raise StoreError(
                f"{folder} holds {_shapes(arrays)}, but {_shapes(layout)} are asked for: give "
                "another folder"
            )
    header = {"noisewalk": stored["noisewalk"] if stored else __version__, "format": FORMAT}
    if stored != {**header, **asked}:
        if group.exists() and attributes["complete"]:
            write_file(
                group / META,
                root_document({**attributes, "complete": False}, arrays, fixed),
                durable,
            )
        write_file(
            folder / SPEC, [json.dumps({**header, **asked}, indent=2).encode(), b"\n"], durable
        )
    if not group.exists():
        temporary = folder / f"{GROUP}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        for name, array in layout.items():
            (temporary / name).mkdir(parents=True)
            write_file(temporary / name / META, dumps(array.document(0)), durable)
        write_file(
            temporary / META,
            root_document(
                {"num_draws": 0, "serial": 0, "complete": False, "format": FORMAT}, layout, {}
            ),
            durable,
        )
        os.replace(temporary, group)
        if durable:
            sync_folder(folder)


def read_root(folder: Path) -> tuple[dict[str, Any], dict[str, Segmented], dict[str, Any]]:
    """The committed attributes, the arrays of draws and the documents of the fixed arrays."""
    path = folder / GROUP / META
    try:
        root = json.loads(path.read_bytes())
        attributes, docs = root["attributes"], root["consolidated_metadata"]["metadata"]
        if attributes["format"] != FORMAT:
            raise StoreError(
                f"{folder} has format {attributes['format']}; this version reads format {FORMAT}"
            )
        arrays, fixed = {}, {}
        for name, doc in docs.items():
            if "draw" not in doc["dimension_names"]:
                fixed[name] = doc
                continue
            arrays[name] = Segmented.from_document(folder / GROUP / name, doc)
            if doc["shape"][DRAW] != attributes["num_draws"]:
                raise ValueError(
                    f"{name} has {doc['shape'][DRAW]} of {attributes['num_draws']} draws"
                )
        return (
            {key: attributes[key] for key in ("num_draws", "serial", "complete", "format")},
            arrays,
            fixed,
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise StoreError(
            f"{path} is missing or damaged ({error}): restore it from a copy or start another run"
        ) from error


def root_document(
    attributes: dict[str, Any], arrays: dict[str, Segmented], fixed: dict[str, Any]
) -> list[bytes]:
    """The root zarr.json: attributes, and every array's metadata with one and the same number of
    draws."""
    docs = {
        **{name: array.document(attributes["num_draws"]) for name, array in arrays.items()},
        **fixed,
    }
    inline = {"kind": "inline", "must_understand": False, "metadata": docs}
    return dumps(
        {
            "zarr_format": 3,
            "node_type": "group",
            "attributes": attributes,
            "consolidated_metadata": inline,
        }
    )


def _shapes(arrays: dict[str, Segmented]) -> str:
    return ", ".join(
        f"{name} {a.dtype} {(a.images, a.chains, *a.shape)}" for name, a in arrays.items()
    )


def check_fixed(
    name: str, doc: dict[str, Any], arrays: dict[str, Segmented], fixed: dict[str, Any]
) -> None:
    """Raise ConfigError unless a new fixed array's name and axes fit the others."""
    dims, shape = doc["dimension_names"], doc["shape"]
    if not name.isidentifier() or name in arrays:
        raise ConfigError(
            f"a fixed array cannot be called {name!r}: give a plain name other than "
            f"{', '.join(arrays)}"
        )
    if len(set(dims)) != len(shape) or len(dims) != len(shape) or "draw" in dims or 0 in shape:
        raise ConfigError(
            f"{name} of shape {tuple(shape)} has dims {tuple(dims)}: give one name per axis, "
            "none of them 'draw', no axis empty"
        )
    others = {**fixed, **{key: array.document(0) for key, array in arrays.items()}}
    others.pop(name, None)
    taken = {
        dim: size
        for other in others.values()
        for dim, size in zip(other["dimension_names"], other["shape"], strict=True)
    }
    if wrong := [
        f"{dim} = {size} (is {taken[dim]})"
        for dim, size in zip(dims, shape, strict=True)
        if taken.get(dim, size) != size
    ]:
        raise ConfigError(
            f"{name} does not fit the other arrays' axes: {', '.join(wrong)}; expand it or "
            "name the axis otherwise"
        )


def fixed_path(folder: Path, doc: dict[str, Any]) -> Path:
    """File of the only chunk of a fixed array."""
    return folder / ".".join(["c", *("0" for _ in doc["shape"])])


def read_fixed(folder: Path, doc: dict[str, Any]) -> Tensor:
    """A fixed array, mapped from the disk; changes to it stay in memory."""
    path, dtype = fixed_path(folder, doc), np.dtype(doc["data_type"])
    try:
        values = np.memmap(path, dtype.newbyteorder("<"), "c", shape=tuple(doc["shape"]))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} is missing or damaged ({error}): restore it from a copy or start another run"
        ) from error
    return torch.from_numpy(np.asarray(values).astype(dtype, copy=False))


def state_path(folder: Path, serial: int) -> Path:
    """File of the sampler's state."""
    return folder / f"state-{serial}.safetensors"


def clean(folder: Path, serial: int) -> None:
    """Remove what a kill may have left: temporary files and sampler states that are not the
    committed one."""
    current = state_path(folder, serial)
    for path in [
        *folder.glob("state-*.safetensors*"),
        folder / f"{SPEC}.tmp",
        *(folder / GROUP).glob("*.tmp"),
        *(folder / GROUP).glob("*/*.tmp"),
    ]:
        if path != current:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder / f"{GROUP}.tmp", ignore_errors=True)


def dumps(doc: dict[str, Any]) -> list[bytes]:
    """The bytes of a metadata file."""
    return [json.dumps(doc).encode()]


@contextmanager
def reported(what: str, hint: str | Callable[[], str]) -> Iterator[None]:
    """Turn what the operating system refuses into one line."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "no space left on the disk" if full else error.strerror or str(error)
        raise StoreError(
            f"{what}: {reason}; {hint if isinstance(hint, str) else hint()}"
        ) from error
