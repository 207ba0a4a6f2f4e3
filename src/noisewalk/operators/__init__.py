"""Forward operators A: (B, *x) -> (B, *y): pure, row-wise, differentiable. Any callable on tensors is one too.

Names are loaded on first use, so that importing the package does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compose import Compose
    from .linear import AveragePool, Convolution, GaussianBlur, adjoint
    from .masks import BoxInpainting, MaskInpainting, RandomInpainting
    from .nonlinear import HDR
    from .observed import observed_of, output_shape_of
    from .parser import parse

_MODULES = {
    "AveragePool": "linear",
    "BoxInpainting": "masks",
    "Compose": "compose",
    "Convolution": "linear",
    "GaussianBlur": "linear",
    "HDR": "nonlinear",
    "MaskInpainting": "masks",
    "RandomInpainting": "masks",
    "adjoint": "linear",
    "observed_of": "observed",
    "output_shape_of": "observed",
    "parse": "parser",
}

__all__ = [
    "HDR",
    "AveragePool",
    "BoxInpainting",
    "Compose",
    "Convolution",
    "GaussianBlur",
    "MaskInpainting",
    "RandomInpainting",
    "adjoint",
    "observed_of",
    "output_shape_of",
    "parse",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
