"""Lazy packages (PEP 562): a public name is imported when it is first used."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from ._deprecated import warn_renamed


def lazy(
    package: str,
    modules: Mapping[str, str],
    rooms: Mapping[str, str] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package: `modules` gives the public names that
    each module below it defines, `rooms` the place of each module that is public itself, and
    `renamed` the new name of each old one, which warns and stands in neither list."""
    where = {name: module for module, names in modules.items() for name in names.split()}
    places, former = rooms or {}, renamed or {}
    own = ["__version__"] if package == "noisewalk" else []
    names = sorted({*where, *places, *own} - set(former))

    def load(name: str) -> Any:
        if name in former:
            warn_renamed(f"{package}.{name}", f"{package}.{former[name]}")
            return find(name if name in where else former[name])
        return find(name)

    def find(name: str) -> Any:
        if name in places:
            return import_module(f".{places[name]}", package)
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f".{where[name]}", package), name)
        if name not in former:
            setattr(sys.modules[package], name, value)
        return value

    return load, lambda: names, names
