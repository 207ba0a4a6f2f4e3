r"""Several samples per image: what the diversity metrics take, and how per-image numbers become one
with its error.

Images are independent, an image's samples are not: with $\bar v_i$ the mean over image i's samples,
the mean of the $\bar v_i$ has the standard error $\big(\tfrac{1}{n (n - 1)} \sum_i (\bar v_i - \bar
v)^2\big)^{1/2}$.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


def mean_and_se(per_image: Tensor) -> tuple[float, float]:
    """Mean and standard error over images.

    Arguments:
        per_image: (image,), or (image, ...) with an image's own samples in the further axes.

    Returns:
        Mean and standard error; the error is NaN for one image, both are if a value is.

    Raises:
        ConfigError: there is no value.
    """
    if per_image.ndim < 1 or not per_image.numel():
        raise ConfigError(
            f"mean_and_se needs at least one value per image, got shape {tuple(per_image.shape)}"
        )
    values = (
        per_image.detach().double().flatten(1).mean(1)
        if per_image.ndim > 1
        else per_image.detach().double()
    )
    error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else float("nan")
    return float(values.mean()), error


def checked_samples(samples: Tensor, at_least: int = 2) -> Tensor:
    """Check samples at the border.

    Arguments:
        samples: (image, sample, C, H, W).
        at_least: samples per image that are needed.

    Returns:
        The same tensor, detached.

    Raises:
        ConfigError: another shape or type, or too few samples.
    """
    if not hasattr(samples, "is_floating_point"):
        raise ConfigError(
            f"samples must be a torch tensor, got {type(samples).__name__}: torch.from_numpy "
            "makes one"
        )
    if samples.ndim != 5 or not samples.is_floating_point() or 0 in samples.shape:
        raise ConfigError(
            "samples must be floating-point (image, sample, C, H, W) in [-1, 1], got "
            f"{samples.dtype} {tuple(samples.shape)}"
        )
    if samples.shape[1] < at_least:
        raise ConfigError(
            f"this needs at least {at_least} samples per image, got {samples.shape[1]}"
        )
    return samples.detach()
