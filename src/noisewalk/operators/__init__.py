"""Forward operators A: (B, *x) -> (B, *y): pure, row-wise, differentiable. Any callable on tensors
is one too.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .compose import Compose
    from .deepinv import from_deepinv
    from .linear import AveragePool, Convolution, GaussianBlur, Identity, adjoint
    from .masks import BoxInpainting, CloudInpainting, MaskInpainting, RandomInpainting
    from .motion import CameraMotionBlur
    from .neural_blur import NeuralBlur
    from .nonlinear import HDR
    from .observed import observed_of, output_shape_of
    from .parser import held_by, parse, text_of
    from .phase import PhaseRetrieval

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
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
        "text_of": "parser",
    },
)
