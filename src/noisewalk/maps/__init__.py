"""Deterministic maps Phi from noise z to data x = Phi(z)."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .analytic import Affine, Warp
    from .consistency import Consistency
    from .flow import Flow
    from .generator import Generator
    from .mixture import Mixture
    from .ode import ProbabilityFlow

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "analytic": "Affine Warp",
        "consistency": "Consistency",
        "flow": "Flow",
        "generator": "Generator",
        "mixture": "Mixture",
        "ode": "ProbabilityFlow",
    },
)
