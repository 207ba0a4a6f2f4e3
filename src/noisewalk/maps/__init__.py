"""Deterministic maps Phi from noise z to data x = Phi(z)."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .analytic import Affine, Mixture, Warp
    from .consistency import Consistency
    from .flow import Flow
    from .generator import Generator
    from .ode import ProbabilityFlow

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "analytic": "Affine Mixture Warp",
        "consistency": "Consistency",
        "flow": "Flow",
        "generator": "Generator",
        "ode": "ProbabilityFlow",
    },
)
