"""The text form of a dataclass, NAME:key=value,key=value.

A field's key is its name, or `key` of its metadata. A field `shape` is not written: it is the
image's.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from typing import Any

from ._repr import shown_fields
from .errors import ConfigError

WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def split(text: str) -> tuple[str, str]:
    """The name of a text and what follows the first ":"."""
    name, _, rest = (piece.strip() for piece in text.partition(":"))
    return name, rest


def values_in(text: str, cls: type, name: str) -> dict[str, Any]:
    """The values of a text key=value,key=value by field; ConfigError if they do not fit."""
    keys, found = _keys_of(cls), {}
    for item in text.split(",") if text else ():
        key, equals, value = (piece.strip() for piece in item.partition("="))
        if not equals or key not in keys:
            unknown = f"unknown key {key!r}{closest(key, keys)}"
            wrong = unknown if equals else f"expected key=value, got {item.strip()!r}"
            raise ConfigError(f"{wrong}; keys of {name}: {', '.join(keys)}")
        if keys[key].name in found:
            raise ConfigError(f"{key} is given twice")
        found[keys[key].name] = _value(key, value, keys[key].type)
    missing = [k for k, f in keys.items() if f.default is MISSING and f.name not in found]
    if missing:
        example = ",".join(f"{key}=..." for key in missing)
        raise ConfigError(f"{', '.join(missing)} must be given, as in {name}:{example}")
    return found


def settings_in(text: str, cls: type, name: str) -> dict[str, Any]:
    """Every value of a text by key, the defaults included; ConfigError if they do not fit."""
    found = values_in(text, cls, name)
    return {key: found.get(f.name, f.default) for key, f in _keys_of(cls).items()}


def text_from(value: Any, name: str) -> str:
    """The text with every value of an object; `values_in` reads it."""
    shown = {f.name for f in shown_fields(value)}
    keys = {key: f.name for key, f in _keys_of(type(value)).items() if f.name in shown}
    given = [f"{key}={getattr(value, name)}" for key, name in keys.items()]
    return f"{name}:{','.join(given)}" if given else name


def printable(text: str) -> str:
    """A text with the bytes of a file name that are not UTF-8 escaped."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def closest(word: str, words: Iterable[str]) -> str:
    """A remark in brackets that proposes the word that was meant, if one is near."""
    match = difflib.get_close_matches(word.lower(), list(words), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""


def _keys_of(cls: type) -> dict[str, Field[Any]]:
    return {f.metadata.get("key", f.name): f for f in fields(cls) if f.init and f.name != "shape"}


def _value(key: str, text: str, kind: Any) -> int | float | str:
    if kind is int and not WHOLE.fullmatch(text):
        raise ConfigError(f"{key} must be a whole number, got {text!r}")
    if kind is float and not NUMBER.fullmatch(text):
        raise ConfigError(f"{key} must be a finite number, got {text!r}")
    if not text:
        raise ConfigError(f"{key} must be a file, got {text!r}")
    return kind(text) if kind in (int, float) else text
