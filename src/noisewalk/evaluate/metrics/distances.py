"""Distances between two sets of features: the Frechet distance and the kernel distance."""

import torch
from torch import Tensor

from ..._checks import whole
from ...errors import ConfigError
from ...noise import PROBE, rows
from .extractors import features

INCEPTION_WIDTH = 2048  # features of its last pooling layer


def frechet(features_a: Tensor, features_b: Tensor) -> float:
    r"""Frechet distance of the Gaussians with the two sets' moments, in float64.

    $|\mu_a - \mu_b|^2 + \operatorname{tr} (\Sigma_a + \Sigma_b) - 2 \operatorname{tr}
    (\Sigma_a^{1/2} \Sigma_b \Sigma_a^{1/2})^{1/2}$, biased upwards by O(1 / n): it is positive
    between two sets from one distribution. Print n and that floor beside it. Only with Google's
    Inception is it called FID.

    Reference: Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter, GANs Trained by a Two
    Time-Scale Update Rule Converge to a Local Nash Equilibrium, 2017.

    Arguments:
        features_a: (n, d), n at least 2; n may be smaller than d.
        features_b: (n', d).

    Returns:
        The distance, 0 or more.

    Raises:
        ConfigError: the shapes do not fit, or a feature is not finite.

    Example:
        >>> a = torch.tensor([[0.0], [1.0], [2.0]])
        >>> round(nw.metrics.frechet(a, a + 3), 6)
        9.0
    """
    a, b = _checked(features_a, features_b)
    # The singular values need no root of a rank-deficient covariance with its rounding errors.
    centred = [(x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (a, b)]
    roots = [torch.linalg.qr(x, mode="r").R for x in centred]
    traces = sum(float(r.square().sum()) for r in roots)
    cross = float(torch.linalg.svdvals(roots[0] @ roots[1].T).sum())
    return max(0.0, float((a.mean(0) - b.mean(0)).square().sum()) + traces - 2.0 * cross)


def fid(a: Tensor, b: Tensor, batch_size: int = 16) -> float:
    """Frechet distance in the features of Google's Inception, computed by torch-fidelity.

    No other distance is called FID. With fewer images than 2048 the covariance has not full rank:
    print the numbers of images, `kid`, and the distance of two sets of real images of the same
    sizes beside it.

    Arguments:
        a: images (N, C, H, W) in [-1, 1], or (n, 2048) from `features(images, "inception-v3")`.
        b: likewise.
        batch_size: images at once.

    Returns:
        The distance, 0 or more.

    Raises:
        ConfigError: neither images nor such features.
        MissingExtraError: torch-fidelity is not installed.
        WeightsError: Inception's weights are not here; the message says what to download.

    Example:
        >>> inception = torch.eye(3, 2048)  # stands for features(images, "inception-v3")
        >>> round(nw.metrics.fid(inception, inception), 6)
        0.0
    """
    for x in (a, b):
        if x.ndim != 4 and (x.ndim != 2 or x.shape[1] != INCEPTION_WIDTH):
            wanted = f"images (N, C, H, W) or Inception features (n, {INCEPTION_WIDTH})"
            found = f"{tuple(x.shape)}: use frechet for other features"
            raise ConfigError(f"fid needs {wanted}, got {found}")
    return frechet(*(features(x, "inception-v3", batch_size) if x.ndim == 4 else x for x in (a, b)))


def kid(
    features_a: Tensor,
    features_b: Tensor,
    num_subsets: int = 10,
    subset_size: int | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    r"""Kernel distance: the mean over blocks of the unbiased squared maximum mean discrepancy.

    A block's estimate, which may be negative, is $\frac{1}{m (m - 1)} \sum_{i \ne j} k(a_i, a_j) +
    \frac{1}{n (n - 1)} \sum_{i \ne j} k(b_i, b_j) - \frac{2}{m n} \sum_{i, j} k(a_i, b_j)$ with
    $k(x, y) = (x^T y / d + 1)^3$. No two blocks share a row, so the spread of their estimates gives
    an honest standard error, where all rows are independent.

    References: Binkowski, Sutherland, Arbel and Gretton, Demystifying MMD GANs, 2018; Zaremba,
    Gretton and Blaschko, B-tests: Low Variance Kernel Two-Sample Tests, 2013.

    Arguments:
        features_a: (n, d).
        features_b: (n', d).
        num_subsets: blocks, at least 2, into which the shuffled rows are dealt.
        subset_size: rows of each set in a block, at least 2; None: all that the set has.
        seed: of the shuffling.

    Returns:
        Value and standard error.

    Raises:
        ConfigError: the shapes do not fit, or there are too few rows for the blocks.

    Example:
        >>> a = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
        >>> value, error = nw.metrics.kid(a[:50], a[50:] + 3)
        >>> value > 5 * error
        True
    """
    a, b = _checked(features_a, features_b)
    blocks = whole("num_subsets", num_subsets, 2)
    size = None if subset_size is None else whole("subset_size", subset_size, 2)
    sizes = [size or len(x) // blocks for x in (a, b)]
    if min(sizes) < 2 or sizes[0] * blocks > len(a) or sizes[1] * blocks > len(b):
        wanted = f"{blocks} blocks (num_subsets) of at least {size or 2} rows"
        found = f"{len(a)} and {len(b)} rows: choose fewer or smaller blocks"
        raise ConfigError(f"kid needs {wanted}, got {found}")
    uniform = rows(seed, 2).uniform((max(len(a), len(b)),), PROBE)
    dealt = [
        x[u[: len(x)].argsort(stable=True).to(x.device)].split(rows_each)[:blocks]
        for x, u, rows_each in zip((a, b), uniform, sizes, strict=True)
    ]
    pairs = zip(*dealt, strict=True)
    values = torch.stack([_within(a) + _within(b) - 2.0 * _kernel(a, b).mean() for a, b in pairs])
    return float(values.mean()), float(values.std() / blocks**0.5)


def _within(x: Tensor) -> Tensor:
    k = _kernel(x, x)
    return (k.sum() - k.diagonal().sum()) / (len(x) * (len(x) - 1))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def _checked(features_a: Tensor, features_b: Tensor) -> tuple[Tensor, Tensor]:
    """Two sets of finite features of one width, in float64."""
    one, other = tuple(features_a.shape), tuple(features_b.shape)
    if len(one) != 2 or len(other) != 2 or one[1] != other[1] or min(one[0], other[0]) < 2:
        wanted = "(n, d) and (n', d) with at least 2 rows each"
        raise ConfigError(f"features must be {wanted}, got {one} and {other}")
    a, b = features_a.detach().double(), features_b.detach().double()
    if not bool(a.isfinite().all() and b.isfinite().all()):
        raise ConfigError("features must be finite, got NaN or infinity: look for diverged images")
    return a, b
