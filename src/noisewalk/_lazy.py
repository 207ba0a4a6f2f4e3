"""Lazy packages (PEP 562): a public name is imported when it is first used."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(
    package: str, modules: Mapping[str, str], rooms: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package: `modules` gives the public names that
    each module below it defines, `rooms` the place of each module that is public itself."""
    where = {name: module for module, names in modules.items() for name in names.split()}
    places = rooms or {}
    names = sorted([*where, *places, *(["__version__"] if package == "noisewalk" else [])])

    def load(name: str) -> Any:
        if name in places:
            return import_module(f".{places[name]}", package)
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f".{where[name]}", package), name)
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: names, names
