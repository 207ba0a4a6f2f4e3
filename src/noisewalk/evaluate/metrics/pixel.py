"""Pixel metrics, one number per image, by torchmetrics in float64.

Images and the truth, both in [-1, 1], are mapped to [0, 1] and clipped for scoring: the data range
is 1.
"""

from typing import Any

from torch import Tensor

from ...errors import ConfigError
from .samples import require_tensors, unit_range

WINDOW, WINDOW_STD = 11, 1.5
"""Side and standard deviation of the SSIM window in pixels; torchmetrics makes one of the other."""
FAR = 4.0  # largest |truth| that can be meant to be on the scale of [-1, 1]


def psnr(x: Tensor, truth: Tensor) -> Tensor:
    r"""Peak signal-to-noise ratio in decibels; infinite for equal images.

    $-10 \log_{10} \overline{(x - x^*)^2}$ on the scale [0, 1], over all channels together.

    Arguments:
        x: (B, C, H, W) in [-1, 1].
        truth: the same shape, or one image (C, H, W) or (1, C, H, W) for all.

    Returns:
        (B,) float64.

    Raises:
        ConfigError: the shapes do not fit, or the truth is not on the scale [-1, 1].

    Example:
        >>> nw.metrics.psnr(torch.full((1, 3, 8, 8), 0.2), torch.zeros(3, 8, 8)).round(decimals=3)
        tensor([20.], dtype=torch.float64)
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    pair = scored(x, truth)
    return peak_signal_noise_ratio(*pair, data_range=1.0, reduction="none", dim=(1, 2, 3))


def ssim(x: Tensor, truth: Tensor) -> Tensor:
    r"""Structural similarity under an 11 x 11 Gaussian window; 1 for equal images.

    $$\overline{\frac{(2 \mu \mu_* + c_1)(2 \sigma_{x*} + c_2)}
    {(\mu^2 + \mu_*^2 + c_1)(\sigma^2 + \sigma_*^2 + c_2)}}, \qquad c_1 = 0.01^2, c_2 = 0.03^2,$$
    the mean over pixels and channels, with local moments under a window of standard deviation 1.5
    pixels and the image reflected at its border.

    Reference: Wang, Bovik, Sheikh and Simoncelli, Image Quality Assessment: From Error Visibility
    to Structural Similarity, 2004.

    Arguments:
        x: (B, C, H, W) in [-1, 1], sides of at least 11 pixels.
        truth: the same shape, or one image (C, H, W) or (1, C, H, W) for all.

    Returns:
        (B,) float64.

    Raises:
        ConfigError: as for `psnr`, or a side is smaller than the window.

    Example:
        >>> x = torch.linspace(-1, 1, 256).reshape(1, 1, 16, 16)
        >>> nw.metrics.ssim(x, x)
        tensor([1.], dtype=torch.float64)
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    images, target = scored(x, truth)
    height, width = images.shape[-2:]
    if min(height, width) < WINDOW:
        found = f"{height} x {width}: use psnr for such images"
        raise ConfigError(f"ssim needs sides of at least {WINDOW} pixels (its window), got {found}")
    how: dict[str, Any] = {"sigma": WINDOW_STD, "data_range": 1.0, "reduction": "none"}
    value = structural_similarity_index_measure(images, target, **how)
    return value[0] if isinstance(value, tuple) else value


def scored(x: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Images and truth as they are scored: on [0, 1], clipped, float64, both of the shape of x."""
    require_tensors("images", x, truth)
    if x.ndim != 4 or not x.is_floating_point() or not truth.is_floating_point():
        found = " and ".join(f"{v.dtype} {tuple(v.shape)}" for v in (x, truth))
        raise ConfigError(f"images must be floating-point (B, C, H, W) in [-1, 1], got {found}")
    if truth.shape not in (x.shape, (1, *x.shape[1:]), x.shape[1:]):
        wanted = f"have the shape {tuple(x.shape)} of x, or be one image {tuple(x.shape[1:])}"
        raise ConfigError(f"truth must {wanted}, got {tuple(truth.shape)}")
    if truth.numel() and float(truth.abs().max()) > FAR:
        found = f"got {float(truth.min()):g} to {float(truth.max()):g}"
        advice = "bring both to that scale, 2 v / 255 - 1 for bytes"
        raise ConfigError(f"truth must be in [-1, 1], {found}: {advice}")
    images = unit_range(x)
    return images, unit_range(truth).expand_as(images)
