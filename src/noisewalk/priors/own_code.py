"""Priors that are the user's own code: module.py:function, or package.module:function.

This runs that code with the rights of whoever asks for it. It is asked for by the command line's
`--prior` alone, in this form alone; weight files and `load_prior` never import anything.
"""

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ..errors import ConfigError
from ..types import NoiseMap
from .mismatched_keys import shortened
from .prior import Prior

FORM = re.compile(r"(?P<where>.+\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)")

OWN: set[str] = set()  # names of modules that were read from files


def is_code(source: str) -> bool:
    """Whether a prior's source has the form of code."""
    return FORM.fullmatch(source) is not None


def prior_of(source: str) -> Prior:
    """What the function returns, as a prior whose name ends in the first 8 digits of the SHA-256 of
    its source file; ConfigError where it is not there, fails or returns something else."""
    form = FORM.fullmatch(source)
    if form is None:
        raise ConfigError(f"code is module.py:function or package.module:function, got {source!r}")
    where = form["where"]
    with _on_path(Path(where).parent if where.endswith(".py") else Path.cwd()):
        module = _imported(source, where)
        made = _called(source, module, form["name"])
    sha256 = hashlib.sha256(Path(str(module.__file__)).read_bytes()).hexdigest()
    name, about = f"{source}#{sha256[:8]}", {"source": source, "source_sha256": sha256}
    if isinstance(made, Prior):
        return replace(made, name=name, card={**made.card, **about})
    if not isinstance(made, NoiseMap) or not callable(made):
        got = type(made).__name__
        must = f"{source} must return a map with shape and nfe, such as nw.maps.Generator(...)"
        raise ConfigError(f"{must}, or a Prior, got {got}")
    return Prior(name, {"shape": list(_data_shape(source, made)), **about}, None, phi=made)


def _imported(source: str, where: str) -> ModuleType:
    file = Path(where)
    if where.endswith(".py") and not file.is_file():
        raise ConfigError(f"{source}: {where} does not exist")
    with _explained(source):
        if not where.endswith(".py"):
            return importlib.import_module(where)
        known = getattr(sys.modules.get(file.stem), "__file__", None) or ""
        same = Path(known).resolve() == file.resolve()
        if file.stem in sys.modules and file.stem not in OWN and not same:
            raise ConfigError(f"{source}: {file.stem} is a module already, so rename {file.name}")
        OWN.add(file.stem)
        spec: Any = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module  # where pickle and dataclasses look for it
        spec.loader.exec_module(module)
        return module


def _called(source: str, module: ModuleType, name: str) -> Any:
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"{source}: {module.__name__} has no function {name}")
    if module.__file__ is None:
        raise ConfigError(f"{source}: {module.__name__} has no source file")
    with _explained(source):
        needed = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        if needed:
            asks = ", ".join(needed)
            raise ConfigError(f"{source} must be a function without arguments, and asks for {asks}")
        return function()


def _data_shape(source: str, phi: Any) -> tuple[int, ...]:
    """The shape of one x, as the map says or as it makes it."""
    told = getattr(phi, "data_shape", None)
    if told is not None:
        return tuple(told)
    with _explained(source), torch.no_grad():
        return tuple(phi(torch.zeros(1, *phi.shape)).shape[1:])


@contextmanager
def _explained(source: str) -> Iterator[None]:
    """A ConfigError in one line for any error of the user's code, with the place where it arose."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        last, at = error.__traceback__, ""
        while last is not None:
            at = f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}"
            last = last.tb_next
        reason = f"{type(error).__name__}: {shortened(error)}"
        raise ConfigError(f"{source} failed at {at}: {reason}") from error


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    """Modules of a folder can be imported, as by python."""
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))
