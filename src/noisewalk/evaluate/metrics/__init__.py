"""Metrics on plain tensors: pixel and perceptual errors, distances of distributions, diversity."""

from typing import TYPE_CHECKING

from ..._lazy import lazy

if TYPE_CHECKING:
    from .distances import fid, frechet, kid
    from .diversity import clip_similarity, diversity_score, pixel_std, vendi_score
    from .extractors import Extractor, features, name_of
    from .perceptual import lpips, pairwise_lpips
    from .pixel import psnr, ssim
    from .samples import covered, energy_score, mean_and_se

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "distances": "fid frechet kid",
        "diversity": "clip_similarity diversity_score pixel_std vendi_score",
        "extractors": "Extractor features name_of",
        "perceptual": "lpips pairwise_lpips",
        "pixel": "psnr ssim",
        "samples": "covered energy_score mean_and_se",
    },
)
