"""Statistics of several samples per image: coverage of the truth, means and standard errors."""

from typing import Any

import torch
from torch import Tensor

from ...errors import ConfigError


def covered(x: Tensor, truth: Tensor) -> Tensor:
    """Whether each pixel's true value lies between the smallest and the largest sample.

    The comparison is made in the grey levels 0 to 255. Exact samples cover with probability
    (n - 1) / (n + 1).

    Arguments:
        x: (n, *x) samples in [-1, 1].
        truth: (*x).

    Returns:
        (*x) float64: 1 inside, 0 outside; among equal samples the probability of inside when the
        truth is placed at random.

    Example:
        >>> nw.metrics.covered(torch.tensor([[-0.5, 0.0], [0.5, 0.1]]), torch.tensor([0.2, 0.2]))
        tensor([1., 0.], dtype=torch.float64)
    """
    levels, true = (((v.double().clamp(-1, 1) + 1) * 127.5).round() for v in (x, truth))
    below, equal = (levels < true).sum(0), (levels == true).sum(0)
    # The truth's place among all n + 1 is one of below to below + equal; 1 to n - 1 are inside.
    inside = (below + equal).clamp(max=len(x) - 1) - below.clamp(min=1) + 1
    return inside.clamp(min=0).double() / (equal + 1)


def energy_score(draws: Tensor, truth: Tensor) -> Tensor:
    r"""The energy score of draws against the truth, lower is better: a proper score, so that on
    average no draws beat those of the posterior.

    $$\frac1n \sum_i |x_i - x| - \frac1{2 n (n - 1)} \sum_{i, j} |x_i - x_j|$$
    Reference: Gneiting and Raftery, Strictly Proper Scoring Rules, 2007.

    Arguments:
        draws: (image, n, *x), two or more of each image.
        truth: (image, *x).

    Returns:
        (image,) float64, in Euclidean norms of x.

    Raises:
        ConfigError: shapes that do not fit.

    Example:
        >>> nw.metrics.energy_score(torch.tensor([[[0.0], [2.0]]]), torch.tensor([[1.0]]))
        tensor([0.], dtype=torch.float64)
    """
    require_tensors("draws and truth", draws, truth)
    fits = draws.ndim > 2 and draws.shape[1] > 1 and draws[:, 0].shape == truth.shape
    if not fits:
        found = f"{tuple(draws.shape)} and {tuple(truth.shape)}"
        raise ConfigError(
            f"draws must be (image, n, *x), n > 1, and truth (image, *x), got {found}"
        )
    x, true = draws.detach().double().flatten(2), truth.detach().double().flatten(1)
    count = x.shape[1]
    apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").sum((1, 2))
    return (x - true[:, None]).norm(dim=2).mean(1) - apart / (2 * count * (count - 1))


def mean_and_se(per_image: Tensor) -> tuple[float, float]:
    r"""Mean over images and its standard error.

    The error is $\big(\tfrac{1}{n (n - 1)} \sum_i (\bar v_i - \bar v)^2\big)^{1/2}$ with $\bar v_i$
    the mean over the samples of image i: images are independent, their samples need not be.

    Arguments:
        per_image: (image,), or (image, ...) with the samples of an image in the further axes.

    Returns:
        Mean and standard error. The error of one image is NaN; a NaN value makes both NaN.

    Raises:
        ConfigError: there is no value.

    Example:
        >>> nw.metrics.mean_and_se(torch.tensor([1.0, 2.0, 3.0, 2.0]))
        (2.0, 0.408248290463863)
    """
    if per_image.ndim < 1 or not per_image.numel():
        found = tuple(per_image.shape)
        raise ConfigError(f"mean_and_se needs at least one value per image, got shape {found}")
    values = per_image.detach().double()
    values = values.flatten(1).mean(1) if values.ndim > 1 else values
    error = float(values.std() / len(values) ** 0.5) if len(values) > 1 else float("nan")
    return float(values.mean()), error


def checked_samples(samples: Tensor, at_least: int = 2) -> Tensor:
    """Samples (image, sample, C, H, W), detached, or a ConfigError that says what is wrong."""
    require_tensors("samples", samples)
    if samples.ndim != 5 or not samples.is_floating_point() or 0 in samples.shape:
        wanted = "floating-point (image, sample, C, H, W) in [-1, 1]"
        raise ConfigError(f"samples must be {wanted}, got {samples.dtype} {tuple(samples.shape)}")
    if samples.shape[1] < at_least:
        count = samples.shape[1]
        raise ConfigError(f"this needs at least {at_least} samples per image, got {count}")
    return samples.detach()


def require_tensors(name: str, *values: Any) -> None:
    """Raise a ConfigError unless every value is a torch tensor."""
    if not all(isinstance(value, Tensor) for value in values):
        kinds = " and ".join(type(value).__name__ for value in values)
        raise ConfigError(f"{name} must be torch tensors, got {kinds}: use torch.from_numpy")


def unit_range(images: Tensor) -> Tensor:
    """Images in [-1, 1] mapped to [0, 1] and clipped, in float64."""
    return ((images.detach().to(torch.float64) + 1.0) / 2.0).clamp(0.0, 1.0)
