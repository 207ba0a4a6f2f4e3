"""Likelihoods p(y | A(x)): density, Gauss-Newton weight and simulation in one object.

Sums run over the observed entries of one row, in float64. What stands at an unobserved entry, NaN
too, changes nothing. With one `noise` and one A(x), `sample` draws the same y in any batch.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .gaussian import Gaussian
    from .heavy_tails import Laplace, StudentT
    from .parser import parse, text_of
    from .poisson import Poisson
    from .poisson_gaussian import PoissonGaussian
    from .unknown_gaussian import UnknownGaussian

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "gaussian": "Gaussian",
        "heavy_tails": "Laplace StudentT",
        "parser": "parse text_of",
        "poisson": "Poisson",
        "poisson_gaussian": "PoissonGaussian",
        "unknown_gaussian": "UnknownGaussian",
    },
)
