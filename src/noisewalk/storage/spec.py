"""spec.json: the facts that define a run, what their types must be, and how two runs differ."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import __version__
from ..errors import ConfigError, StoreError
from .checksum import crc32c
from .damage import EXCERPT, excerpt
from .format1 import converted

FORMAT, FORMATS = 3, (1, 2, 3)
SUM, KIND = "checksum", "crc32c:"  # the last key, and how its value begins
OWN_KEYS = ("noisewalk", "format", SUM)
MOST_LEVELS = 64  # dicts and lists inside each other
_HEADER = b'{\n  "noisewalk": "'


class Spec(NamedTuple):
    """A stored specification, with the version that wrote it; its facts are those of format 2."""

    version: str
    format: int
    facts: dict[str, Any]


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value < 1 << 63


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _bounds(value: Any) -> bool:
    pair = isinstance(value, list) and len(value) == 2 and all(map(_finite, value))
    return pair and value[0] != value[1]


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_finite, value.values()))


_SOURCES = "problem.prior problem.operator problem.likelihood problem.source"
_COUNTS = "num_threads plan.num_draws plan.num_chains plan.thin"
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("a dict", lambda v: isinstance(v, dict), "map operator likelihood y plan plan.kernel problem"),
    ("a dict of finite numbers", _numbers, "probe"),
    ("a text", lambda v: isinstance(v, str), "command dtype device problem.title"),
    ("a text or a dict", lambda v: isinstance(v, str | dict), _SOURCES),
    ("true or false", lambda v: isinstance(v, bool), "problem.simulated"),
    ("a whole number of at least 1", _whole(1), _COUNTS),
    ("a whole number of at least 0", _whole(0), "plan.num_warmup plan.seed"),
    (
        "null or a whole number of at least 1",
        lambda v: v is None or _whole(1)(v),
        "microbatch shard_chains",
    ),
    ("two different finite numbers", _bounds, "problem.range"),
)
"""What the facts that noisewalk reads must be, where they are there; all others are kept as is."""


def check(facts: dict[str, Any]) -> None:
    """Raise ValueError unless the facts are what `_RULES` asks for."""
    _check_tree(facts)
    for kind, fits, paths in _RULES:
        for path in paths.split():
            *parents, key = path.split(".")
            inside = facts
            for parent in parents:
                inside = inside.get(parent, {})
            if key in inside and not fits(inside[key]):
                raise ValueError(f"{path} must be {kind}, got {shown(inside[key])}")


def _check_tree(value: Any, level: int = 0) -> None:
    """Raise ValueError for too deep nesting, text that is not Unicode or a name that is no text."""
    if level > MOST_LEVELS:
        raise ValueError(f"its values are nested more than {MOST_LEVELS} levels deep")
    if isinstance(value, str) and not value.isascii():
        value.encode()
    if isinstance(value, dict):
        if not isinstance(value.get("name", ""), str):
            raise ValueError(f"a name must be a text, got {shown(value['name'])}")
        _check_tree("".join(value), level)
    for item in value.values() if isinstance(value, dict) else value if type(value) is list else ():
        _check_tree(item, level + 1)


def shown(value: Any) -> str:
    """The beginning of a value as JSON."""
    try:
        return excerpt(json.dumps(value))
    except RecursionError:
        return "a deeply nested value"


def parse(raw: bytes, path: Path) -> Spec:
    """The specification in the content of spec.json; StoreError if noisewalk did not write it."""
    try:
        stored = json.loads(raw)
        if not isinstance(stored, dict):
            raise ValueError(f"it holds {shown(stored)} instead of a dict")
        version, found = stored.get("noisewalk"), stored.get("format")
        if not isinstance(version, str) or type(found) is not int:
            raise ValueError("it does not name a noisewalk version and a format")
        if found in FORMATS:
            _check_sum(raw, stored)
            stored = {key: value for key, value in stored.items() if key not in OWN_KEYS}
            facts = converted(stored) if found == 1 else stored
            check(facts)
            return Spec(version, found, facts)
    except (ValueError, RecursionError) as error:
        reason = f"missing, damaged or not a noisewalk run's ({error})"
        raise StoreError(f"{path} is {reason}: restore it, or give another folder") from error
    raise newer(path, found, f" of noisewalk {shown(version)}")


def sealed(document: bytes) -> bytes:
    """A dict as JSON with the checksum of its bytes as the last key."""
    body = document.rstrip().removesuffix(b"}").rstrip()
    comma = b"" if body.endswith(b"{") else b","
    return body + comma + f'\n  "{SUM}": "{KIND}{crc32c([body]):08x}"\n}}\n'.encode()


def _check_sum(raw: bytes, stored: dict[str, Any]) -> None:
    """ValueError unless the bytes are as they were written. Those that earlier versions wrote
    have no checksum; a damaged key is told by its value, a damaged value by its key."""
    last = next(reversed(stored.items()), ("", ""))
    if SUM not in stored and not str(last[1]).startswith(KIND):
        return
    body = raw.rpartition(b'\n  "')[0].removesuffix(b",")
    if sealed(body + b"}") != raw:
        raise ValueError("its checksum does not match")


def newer(path: Path, found: int, by: str = "") -> StoreError:
    """The error for a file of another format."""
    known = f"{FORMATS[0]} to {FORMATS[-1]}"
    reads = f"this version reads the formats {known}"
    return StoreError(f"{path} has format {found}{by}; {reads}: use a later one")


def content(facts: dict[str, Any], version: str | None) -> bytes:
    """The content of spec.json; `version` is the one that started the run, None for this one."""
    header = {"noisewalk": version or __version__, "format": FORMAT}
    return sealed(json.dumps({**header, **facts}, indent=2).encode())


def was_cut(raw: bytes) -> bool:
    """Whether a power cut left the beginning of a specification and no more."""
    try:
        json.loads(raw)
    except ValueError:
        return raw.startswith(_HEADER) or _HEADER.startswith(raw)
    except RecursionError:
        pass
    return False


def normal(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts as they come back from JSON; ConfigError if they cannot be stored."""
    if taken := sorted(set(OWN_KEYS) & facts.keys()):
        raise ConfigError(f"the keys {', '.join(taken)} of a specification are the store's own")
    try:
        read: dict[str, Any] = json.loads(json.dumps(facts))
        check(read)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"a run's specification cannot be stored as JSON: {error}") from error
    return read


def differences(
    stored: Any, asked: Any, free: Sequence[str] = (), where: str = ""
) -> Iterator[str]:
    """Where two specifications differ, a phrase each; dotted keys in `free` are not compared."""
    if isinstance(stored, dict) and isinstance(asked, dict):
        for key in sorted(stored.keys() | asked.keys()):
            if (path := f"{where}.{key}" if where else key) not in free:
                there, here = stored.get(key, "(not set)"), asked.get(key, "(not set)")
                yield from differences(there, here, free, path)
        return
    there, here = json.dumps(stored), json.dumps(asked)
    if stored != asked and there != here:  # 1 is 1.0, and NaN is NaN
        pairs = enumerate(zip(there, here, strict=False))
        same = next((k for k, (a, b) in pairs if a != b), min(len(there), len(here)))
        start = max(0, same - 20) if max(len(there), len(here)) > EXCERPT else 0
        yield f"{where} is {excerpt(there, start)} there, {excerpt(here, start)} here"
