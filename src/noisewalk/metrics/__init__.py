"""Metrics on plain tensors: pixel errors, distribution distances, features.

`frechet` and `features` carry the names of their files, so they are bound here at once (importing a submodule would otherwise replace a lazy
function by the module); their files import nothing heavy. The rest is lazy.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .features import features
from .frechet import frechet, kid

_EXPORTS = {"psnr": "pixel", "ssim": "pixel"}
__all__ = ["features", "frechet", "kid", "psnr", "ssim"]

if TYPE_CHECKING:
    from .pixel import psnr, ssim


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
