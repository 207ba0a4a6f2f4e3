"""Likelihoods p(y | A(x)): negative log density, Gauss-Newton weight and simulation in one object,
so that they cannot disagree.

Sums run over the observed entries of one row, in float64, every constant included; what stands at
an unobserved entry, NaN too, changes neither a value nor a gradient. With one `noise` and one A(x),
`sample` draws the same y whatever else is in the batch.

Names are loaded on first use, so that importing the package does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .gaussian import Gaussian
    from .laplace import Laplace
    from .parser import parse, text_of
    from .poisson import Poisson
    from .student_t import StudentT
    from .unknown_gaussian import UnknownGaussian

_MODULES = {
    "Gaussian": "gaussian",
    "Laplace": "laplace",
    "Poisson": "poisson",
    "StudentT": "student_t",
    "UnknownGaussian": "unknown_gaussian",
    "parse": "parser",
    "text_of": "parser",
}

__all__ = ["Gaussian", "Laplace", "Poisson", "StudentT", "UnknownGaussian", "parse", "text_of"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
