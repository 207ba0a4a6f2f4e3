"""The methods that the paper compares with, over any denoiser: DPS, LGD, MPGD and the consistency
model's zero-shot editing.

Names are loaded on first use, so that importing the package does not import torch. The methods'
files start with an underscore: a file named like its function would hide the function once it is
imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._cmedit import cmedit
    from ._dps import dps
    from ._lgd import lgd
    from ._mpgd import mpgd
    from .ancestral import unguided
    from .counting import CountedDenoiser

_MODULES = {
    "CountedDenoiser": "counting",
    "cmedit": "_cmedit",
    "dps": "_dps",
    "lgd": "_lgd",
    "mpgd": "_mpgd",
    "unguided": "ancestral",
}

__all__ = ["CountedDenoiser", "cmedit", "dps", "lgd", "mpgd", "unguided"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
