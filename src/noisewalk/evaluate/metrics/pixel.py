r"""Pixel metrics, one number per image.

Images x, truth in [-1, 1] are mapped to [0, 1] and clipped, for scoring only; the data range is
then 1.
$$\mathrm{PSNR} = -10 \log_{10} \overline{(x - x^*)^2}, \qquad
\mathrm{SSIM} = \overline{\frac{(2 \mu \mu_* + c_1)(2 \sigma_{x*} + c_2)}{(\mu^2 + \mu_*^2 + c_1)(\sigma^2 + \sigma_*^2 + c_2)}},$$
with local moments under an 11 x 11 Gaussian window of standard deviation 1.5 pixels,
$c_1 = 0.01^2$, $c_2 = 0.03^2$, the image reflected at its border, and the mean over all pixels and
channels. Both by torchmetrics, the images in float64.

Reference: Wang, Bovik, Sheikh and Simoncelli, Image Quality Assessment: From Error Visibility to
Structural Similarity, 2004.
"""

import torch
from torch import Tensor

from ...errors import ConfigError

WINDOW = 11
"""Side of the SSIM window in pixels."""
WINDOW_STD = 1.5
"""Its standard deviation in pixels; torchmetrics makes the side from it."""


FAR = 4.0
"""Largest |truth| that can be meant to be on the scale of [-1, 1]."""


def psnr(x: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels, over an image's channels together; infinite for equal
    images.

    Arguments:
        x: (B, C, H, W) in [-1, 1].
        truth: the same shape, or one image (C, H, W) or (1, C, H, W) for all.

    Returns:
        (B,) float64.

    Raises:
        ConfigError: the shapes do not fit.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    return peak_signal_noise_ratio(
        *scored(x, truth), data_range=1.0, reduction="none", dim=(1, 2, 3)
    )


def ssim(x: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity, 11 x 11 Gaussian window of standard deviation 1.5; 1 for equal images.

    Arguments:
        x: (B, C, H, W) in [-1, 1], sides of at least 11 pixels.
        truth: the same shape, or one image (C, H, W) or (1, C, H, W) for all.

    Returns:
        (B,) float64.

    Raises:
        ConfigError: the shapes do not fit, or a side is smaller than the window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    images, target = scored(x, truth)
    if min(images.shape[-2:]) < WINDOW:
        raise ConfigError(
            f"ssim needs sides of at least {WINDOW} pixels (its window), got "
            f"{images.shape[-2]} x {images.shape[-1]}: use psnr for such images"
        )
    value = structural_similarity_index_measure(
        images, target, sigma=WINDOW_STD, data_range=1.0, reduction="none"
    )
    return value[0] if isinstance(value, tuple) else value


def scored(x: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Images as they are scored: on [0, 1], clipped, float64.

    Arguments:
        x: (B, C, H, W) in [-1, 1].
        truth: the same shape, or one image (C, H, W) or (1, C, H, W) for all.

    Returns:
        Both, of x's shape.

    Raises:
        ConfigError: the shapes do not fit, or the images are no floating-point tensors on the scale
            of [-1, 1].
    """
    if not (isinstance(x, Tensor) and isinstance(truth, Tensor)):
        raise ConfigError(
            f"images must be torch tensors, got {type(x).__name__} and {type(truth).__name__}: "
            "torch.from_numpy makes one"
        )
    if x.ndim != 4 or not x.is_floating_point() or not truth.is_floating_point():
        raise ConfigError(
            f"images must be floating-point (B, C, H, W) in [-1, 1], got {x.dtype} "
            f"{tuple(x.shape)} and {truth.dtype} {tuple(truth.shape)}"
        )
    if truth.shape not in (x.shape, (1, *x.shape[1:]), x.shape[1:]):
        raise ConfigError(
            f"truth must have the shape {tuple(x.shape)} of x, or be one image "
            f"{tuple(x.shape[1:])}, got {tuple(truth.shape)}"
        )
    if truth.numel() and float(truth.abs().max()) > FAR:
        raise ConfigError(
            f"truth must be in [-1, 1], got {float(truth.min()):g} to {float(truth.max()):g}: "
            "bring both to that scale, 2 v / 255 - 1 for bytes"
        )
    a, b = (((t.detach().to(torch.float64) + 1.0) / 2.0).clamp(0.0, 1.0) for t in (x, truth))
    return a, b.expand_as(a)
