"""Forward operators A: (B, *x) -> (B, *y): pure, row-wise, differentiable, or any such callable."""

from typing import TYPE_CHECKING

from .._lazy import lazy

if TYPE_CHECKING:
    from .compose import Compose
    from .deepinv import from_deepinv
    from .linear import AveragePool, Convolution, GaussianBlur, Identity, adjoint
    from .masks import BoxInpainting, CloudInpainting, MaskInpainting, RandomInpainting
    from .motion import CameraMotionBlur
    from .neural_blur import NeuralBlur
    from .nonlinear import HDR, PhaseRetrieval
    from .observed import observed_of, output_shape_of
    from .parser import held_by, parse, text_of

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "compose": "Compose",
        "deepinv": "from_deepinv",
        "linear": "AveragePool Convolution GaussianBlur Identity adjoint",
        "masks": "BoxInpainting CloudInpainting MaskInpainting RandomInpainting",
        "motion": "CameraMotionBlur",
        "neural_blur": "NeuralBlur",
        "nonlinear": "HDR PhaseRetrieval",
        "observed": "observed_of output_shape_of",
        "parser": "held_by parse text_of",
    },
)
