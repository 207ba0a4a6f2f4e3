"""Forward operators A: (B, *x) -> (B, *y): pure, row-wise, differentiable. Any callable on tensors
is one too.

Names are loaded on first use, so that importing the package does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compose import Compose
    from .deepinv import from_deepinv
    from .linear import AveragePool, Convolution, GaussianBlur, Identity, adjoint
    from .masks import BoxInpainting, CloudInpainting, MaskInpainting, RandomInpainting
    from .motion import CameraMotionBlur
    from .neural_blur import NeuralBlur
    from .nonlinear import HDR
    from .observed import observed_of, output_shape_of
    from .parser import held_by, parse
    from .phase import PhaseRetrieval

_MODULES = {
    "AveragePool": "linear",
    "BoxInpainting": "masks",
    "CloudInpainting": "masks",
    "CameraMotionBlur": "motion",
    "Compose": "compose",
    "Convolution": "linear",
    "GaussianBlur": "linear",
    "HDR": "nonlinear",
    "Identity": "linear",
    "MaskInpainting": "masks",
    "NeuralBlur": "neural_blur",
    "PhaseRetrieval": "phase",
    "RandomInpainting": "masks",
    "adjoint": "linear",
    "from_deepinv": "deepinv",
    "held_by": "parser",
    "observed_of": "observed",
    "output_shape_of": "observed",
    "parse": "parser",
}

__all__ = [
    "HDR",
    "AveragePool",
    "BoxInpainting",
    "CameraMotionBlur",
    "CloudInpainting",
    "Compose",
    "Convolution",
    "GaussianBlur",
    "Identity",
    "MaskInpainting",
    "NeuralBlur",
    "PhaseRetrieval",
    "RandomInpainting",
    "adjoint",
    "from_deepinv",
    "held_by",
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
