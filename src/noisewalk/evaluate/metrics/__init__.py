"""Metrics on plain tensors: pixel and perceptual errors, distribution distances, diversity,
features.

`covered`, `features`, `frechet` and `lpips` carry the names of their files, so they are bound here
at once (importing a submodule would otherwise replace a lazy function by the module); their files
import nothing heavy. The rest is lazy.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .covered import covered
from .features import features
from .frechet import fid, frechet, kid
from .lpips import lpips, pairwise_lpips

_EXPORTS = {
    "psnr": "pixel",
    "ssim": "pixel",
    "diversity_score": "diversity",
    "vendi_score": "diversity",
    "clip_similarity": "diversity",
    "pixel_std": "diversity",
    "mean_and_se": "samples",
    "Extractor": "extractors",
    "name_of": "extractors",
}
__all__ = ["covered", "features", "fid", "frechet", "kid", "lpips", "pairwise_lpips", *_EXPORTS]

if TYPE_CHECKING:
    from .diversity import clip_similarity, diversity_score, pixel_std, vendi_score
    from .extractors import Extractor, name_of
    from .pixel import psnr, ssim
    from .samples import mean_and_se


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
