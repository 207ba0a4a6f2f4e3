"""Deterministic maps Phi from noise z to data x = Phi(z)."""

import importlib
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "Affine": "analytic",
    "Warp": "analytic",
    "Consistency": "consistency",
    "Flow": "flow",
    "Generator": "generator",
    "Mixture": "mixture",
    "ProbabilityFlow": "ode",
}
__all__ = list(_EXPORTS)

if TYPE_CHECKING:
    from .analytic import Affine, Warp
    from .consistency import Consistency
    from .flow import Flow
    from .generator import Generator
    from .mixture import Mixture
    from .ode import ProbabilityFlow


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
