r"""Distances between two sets of features: Frechet distance and kernel distance.

With means and covariances $(\mu_a, \Sigma_a), (\mu_b, \Sigma_b)$ of the two sets,
$$\mathrm{FD} = |\mu_a - \mu_b|^2 + \operatorname{tr} (\Sigma_a + \Sigma_b) - 2 \operatorname{tr} (\Sigma_a^{1/2} \Sigma_b \Sigma_a^{1/2})^{1/2}.$$
With $\Sigma = R^T R$ (R: triangular factor of the centred features) the last trace is the sum of
the singular values of $R_a R_b^T$: the square roots of the eigenvalues of the symmetric product,
without the square roots of rounding errors that a rank-deficient covariance would add. FD is biased
upwards by O(1 / n), so positive between two sets from one distribution: print n and that floor
beside it. Only with Google's Inception is it called FID.

The kernel distance is the squared maximum mean discrepancy with $k(x, y) = (x^T y / d + 1)^3$,
unbiased (it may be negative):
$$\widehat{\mathrm{MMD}}^2 = \frac{1}{m (m - 1)} \sum_{i \ne j} k(a_i, a_j) + \frac{1}{n (n - 1)} \sum_{i \ne j} k(b_i, b_j)
- \frac{2}{m n} \sum_{i, j} k(a_i, b_j).$$

References: Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter, GANs Trained by a Two Time-Scale
Update Rule Converge to a Local Nash Equilibrium, 2017; Binkowski, Sutherland, Arbel and Gretton,
Demystifying MMD GANs, 2018; Zaremba, Gretton and Blaschko, B-tests: Low Variance Kernel Two-Sample
Tests, 2013.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

INCEPTION_WIDTH = 2048
"""Features of Inception's last pooling layer."""


def frechet(features_a: Tensor, features_b: Tensor) -> float:
    """Frechet distance of the Gaussians with the two sets' moments (covariances with n - 1), in
    float64.

    Arguments:
        features_a: (n, d), n at least 2; n may be smaller than d.
        features_b: (n', d).

    Returns:
        The distance, 0 or more.

    Raises:
        ConfigError: the shapes do not fit.
    """
    import torch

    a, b = _checked(features_a, features_b)
    roots = []
    for x in (a, b):
        centred = (x - x.mean(0)) / (len(x) - 1) ** 0.5
        roots.append(torch.linalg.qr(centred, mode="r").R)
    traces = sum(float(r.square().sum()) for r in roots)
    cross = float(torch.linalg.svdvals(roots[0] @ roots[1].T).sum())
    return max(0.0, float((a.mean(0) - b.mean(0)).square().sum()) + traces - 2.0 * cross)


def fid(a: Tensor, b: Tensor, batch_size: int = 16) -> float:
    """Frechet distance in Google's Inception, by torch-fidelity: the only distance that is called
    FID.

    The weights are the user's own download; the error says which file and where. With fewer images
    than 2048 the covariance has not full rank: print the numbers of images, `kid`, and the distance
    of two sets of real images of the same sizes beside it.

    Arguments:
        a: images (N, C, H, W) in [-1, 1], or their features (n, 2048) from
            `features(images, "inception-v3")`.
        b: likewise.
        batch_size: images at once.

    Returns:
        The distance, 0 or more.

    Raises:
        ConfigError: neither images nor such features.
        MissingExtraError: torch-fidelity is not installed.
        WeightsError: Inception's weights are not here.
    """
    from .features import features

    sets = []
    for x in (a, b):
        if x.ndim != 4 and (x.ndim != 2 or x.shape[1] != INCEPTION_WIDTH):
            raise ConfigError(
                f"fid needs images (N, C, H, W) or Inception features (n, {INCEPTION_WIDTH}), "
                f"got {tuple(x.shape)}: other features have frechet"
            )
        sets.append(features(x, "inception-v3", batch_size) if x.ndim == 4 else x)
    return frechet(*sets)


def kid(
    features_a: Tensor,
    features_b: Tensor,
    num_subsets: int = 10,
    subset_size: int | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Kernel distance by disjoint blocks: the mean of the unbiased estimate over blocks that share
    no row, and its standard error.

    The rows are shuffled and dealt into blocks, so the blocks' estimates are independent and
    identically distributed and their spread over sqrt(num_subsets) is an honest standard error
    (subsets drawn with replacement, as usual, overlap and understate it). The rows of each set must
    be independent, and the two sets of each other.

    Arguments:
        features_a: (n, d).
        features_b: (n', d).
        num_subsets: blocks, at least 2.
        subset_size: rows of each set in a block, at least 2; None: as many as each set has for all
            blocks.
        seed: of the shuffling.

    Returns:
        Value and standard error.

    Raises:
        ConfigError: the shapes do not fit, or there are too few rows for the blocks.
    """
    import torch

    from ...noise import PROBE, rows

    a, b = _checked(features_a, features_b)
    sizes = [len(x) // max(1, num_subsets) if subset_size is None else subset_size for x in (a, b)]
    if (
        num_subsets < 2
        or min(sizes) < 2
        or any(size * num_subsets > len(x) for size, x in zip(sizes, (a, b), strict=True))
    ):
        raise ConfigError(
            "kid needs num_subsets and subset_size of at least 2 and num_subsets * "
            f"subset_size rows, got num_subsets={num_subsets}, "
            f"subset_size={subset_size} with {len(a)} and {len(b)} rows: choose fewer or "
            "smaller subsets"
        )
    order = [
        rows(seed, 2)
        .uniform((max(len(a), len(b)),), PROBE)[i, : len(x)]
        .argsort(stable=True)
        .to(x.device)
        for i, x in enumerate((a, b))
    ]
    values = torch.stack(
        [
            _mmd2(
                *(
                    x[o[block * size : (block + 1) * size]]
                    for x, o, size in zip((a, b), order, sizes, strict=True)
                )
            )
            for block in range(num_subsets)
        ]
    )
    return float(values.mean()), float(values.std() / num_subsets**0.5)


def _mmd2(a: Tensor, b: Tensor) -> Tensor:
    """Unbiased squared maximum mean discrepancy."""
    return _within(a) + _within(b) - 2.0 * _kernel(a, b).mean()


def _within(x: Tensor) -> Tensor:
    k = _kernel(x, x)
    return (k.sum() - k.diagonal().sum()) / (len(x) * (len(x) - 1))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def _checked(features_a: Tensor, features_b: Tensor) -> tuple[Tensor, Tensor]:
    shapes = tuple(features_a.shape), tuple(features_b.shape)
    if (
        features_a.ndim != 2
        or features_b.ndim != 2
        or shapes[0][1] != shapes[1][1]
        or min(shapes[0][0], shapes[1][0]) < 2
    ):
        raise ConfigError(
            f"features must be (n, d) and (n', d) with at least 2 rows each, got {shapes[0]} "
            f"and {shapes[1]}"
        )
    a, b = features_a.detach().double(), features_b.detach().double()
    if not bool(a.isfinite().all() and b.isfinite().all()):
        raise ConfigError("features must be finite, got NaN or infinity: look for diverged images")
    return a, b
