"""Lazy packages (PEP 562): a public name is imported when it is first used."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(
    package: str, exports: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package, from its public names and the modules
    below it that define them; a place that starts with a dot is a module of its own."""
    names = sorted({*exports, *(["__version__"] if package == "noisewalk" else [])})

    def load(name: str) -> Any:
        if name not in exports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        where = exports[name]
        if where.startswith("."):
            return import_module(where, package)
        value = getattr(import_module(f".{where}", package), name)
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: names, names
