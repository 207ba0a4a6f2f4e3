"""Metrics on plain tensors: pixel and perceptual errors, distances of distributions, diversity."""

from typing import TYPE_CHECKING

from ..._lazy import lazy

if TYPE_CHECKING:
    from .distances import fid, frechet, kid
    from .diversity import clip_similarity, diversity_score, pixel_std, vendi_score
    from .extractors import Extractor, features, name_of
    from .perceptual import lpips, pairwise_lpips
    from .pixel import psnr, ssim
    from .samples import covered, mean_and_se

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "psnr": "pixel",
        "ssim": "pixel",
        "lpips": "perceptual",
        "pairwise_lpips": "perceptual",
        "frechet": "distances",
        "fid": "distances",
        "kid": "distances",
        "diversity_score": "diversity",
        "vendi_score": "diversity",
        "clip_similarity": "diversity",
        "pixel_std": "diversity",
        "covered": "samples",
        "mean_and_se": "samples",
        "Extractor": "extractors",
        "features": "extractors",
        "name_of": "extractors",
    },
)
