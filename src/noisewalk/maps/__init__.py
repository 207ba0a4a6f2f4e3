"""Deterministic maps Phi from noise z to data x = Phi(z)."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .analytic import Affine, Mixture, Warp
    from .consistency import Consistency
    from .flow import Flow
    from .generator import Generator
    from .latent import Latent
    from .ode import ProbabilityFlow
    from .representation_error import RepresentationError

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "analytic": "Affine Mixture Warp",
        "consistency": "Consistency",
        "flow": "Flow",
        "generator": "Generator",
        "latent": "Latent",
        "ode": "ProbabilityFlow",
        "representation_error": "RepresentationError",
    },
)
