"""How different the samples of one image are, one number per image."""

import torch
from torch import Tensor

from ..._checks import whole
from ...errors import ConfigError
from .extractors import AnyExtractor, features
from .samples import checked_samples, unit_range

ROUNDS = 300  # of Lloyd's algorithm, at most; it nearly always ends within ten


def diversity_score(
    samples: Tensor,
    extractor: AnyExtractor = "efficientnet-lite0",
    clusters: int = 6,
    batch_size: int = 16,
) -> Tensor:
    r"""Distance between clusters of features over distance within; higher is more diverse.

    The mean distance between cluster centres over the mean distance of the samples to their own,
    $$\frac{\tfrac{2}{k (k - 1)} \sum_{a < b} |c_a - c_b|}{\tfrac{1}{n} \sum_i |f_i - c_{a(i)}|},$$
    has no scale: nearly equal samples can score as high as different scenes. Never print it alone,
    but beside `pairwise_lpips`, `pixel_std` and `vendi_score`. The paper says "the ratio between
    the inter- and intra-cluster distances using 6 nearest neighbors clusters of ResNet-50
    features"; that distances are Euclidean, clusters are k-means' and weights are ImageNet V1 is
    assumed. A cluster without samples is left out. Cost: one call of the extractor per sample.

    Arguments:
        samples: (image, sample, C, H, W) in [-1, 1], more samples than clusters.
        extractor: as for `features`; the paper's is "resnet50", the default needs no download.
        clusters: k, at least 2.
        batch_size: samples in the network at once.

    Returns:
        (image,) float64; NaN if features are not finite or all equal, infinite if all are centres.

    Raises:
        ConfigError: the shapes do not fit, or there are too few samples.
        MissingExtraError, WeightsError: as for `features`.

    Example:
        >>> samples = torch.tensor([-0.5, -0.4, 0.4, 0.5]).reshape(1, 4, 1, 1, 1)
        >>> nw.metrics.diversity_score(samples, lambda x: x.flatten(1), clusters=2)
        tensor([18.0000], dtype=torch.float64)
    """
    k = whole("clusters", clusters, 2)
    if samples.ndim == 5 and samples.shape[1] <= k:
        found = f"{samples.shape[1]}: draw more, or ask for fewer clusters"
        raise ConfigError(f"{k} clusters need more than {k} samples per image, got {found}")
    return torch.stack([_inter_over_intra(f, k) for f in _embed(samples, extractor, batch_size)])


def vendi_score(
    samples: Tensor, extractor: AnyExtractor = "efficientnet-lite0", batch_size: int = 16
) -> Tensor:
    r"""Effective number of different samples, by the cosines of their features.

    $\exp\big(-\sum_k \lambda_k \ln \lambda_k\big)$ with the eigenvalues $\lambda_k$ of the cosines
    over n. Features that are all positive, as after a ReLU, have large cosines: compare the score
    between methods, not with n. Cost: one call of the extractor per sample.

    Reference: Friedman and Dieng, The Vendi Score, 2023, equation 3.

    Arguments:
        samples: (image, sample, C, H, W) in [-1, 1], at least 2 samples.
        extractor: as for `features`.
        batch_size: samples in the network at once.

    Returns:
        (image,) float64 from 1 to the number of samples; NaN where a feature is not finite.

    Raises:
        ConfigError: the shapes do not fit.
        MissingExtraError, WeightsError: as for `features`.

    Example:
        >>> samples = torch.eye(3).reshape(1, 3, 1, 1, 3)
        >>> nw.metrics.vendi_score(samples, lambda x: x.flatten(1)).round(decimals=3)
        tensor([3.], dtype=torch.float64)
    """
    return torch.stack([_effective_number(f) for f in _embed(samples, extractor, batch_size)])


def clip_similarity(
    samples: Tensor, extractor: AnyExtractor = "clip-vit-b32", batch_size: int = 16
) -> Tensor:
    """Mean cosine of CLIP's embeddings over all pairs of an image's samples; lower is more diverse.

    Cost: one call of the extractor per sample.

    Arguments:
        samples: (image, sample, C, H, W) in [-1, 1], at least 2 samples.
        extractor: as for `features`; another one than CLIP's gives another number, so name it.
        batch_size: samples in the network at once.

    Returns:
        (image,) float64 in [-1, 1]; 1 for equal samples.

    Raises:
        ConfigError: the shapes do not fit.
        MissingExtraError, WeightsError: as for `features`.

    Example:
        >>> samples = torch.eye(3).reshape(1, 3, 1, 1, 3)
        >>> nw.metrics.clip_similarity(samples, lambda x: x.flatten(1))
        tensor([0.], dtype=torch.float64)
    """
    f = _embed(samples, extractor, batch_size)
    f, n = f / f.norm(dim=-1, keepdim=True), f.shape[1]
    return (f.sum(1).square().sum(1) - n) / (n * (n - 1))


def pixel_std(samples: Tensor) -> Tensor:
    """Standard deviation over an image's samples, averaged over its pixels and channels.

    Arguments:
        samples: (image, sample, C, H, W) in [-1, 1], where they are clipped; at least 2 samples.

    Returns:
        (image,) float64 on the scale [0, 1].

    Raises:
        ConfigError: the shapes do not fit.

    Example:
        >>> nw.metrics.pixel_std(torch.tensor([-0.5, 0.0, 0.5]).reshape(1, 3, 1, 1, 1))
        tensor([0.2500], dtype=torch.float64)
    """
    return unit_range(checked_samples(samples)).std(1).flatten(1).mean(1)


def _embed(samples: Tensor, extractor: AnyExtractor, batch_size: int) -> Tensor:
    """(image, sample, d) float64."""
    rows = checked_samples(samples).flatten(0, 1)
    f = features(rows, extractor, batch_size)
    if f.ndim != 2:
        found = f"{tuple(f.shape)} for {len(rows)} images"
        raise ConfigError(f"an extractor must return one vector per image, (B, d), got {found}")
    return f.double().unflatten(0, samples.shape[:2])


def _effective_number(f: Tensor) -> Tensor:
    unit = f / f.norm(dim=-1, keepdim=True)
    if not bool(unit.isfinite().all()):
        return f.new_tensor(float("nan"))
    eigenvalues = torch.linalg.svdvals(unit / len(f) ** 0.5).square()
    return torch.special.entr(eigenvalues).sum().exp()


def _inter_over_intra(f: Tensor, clusters: int) -> Tensor:
    if not bool(f.isfinite().all()):
        return f.new_tensor(float("nan"))
    centres, labels = k_means(f, clusters)
    used = labels.unique()
    between = _distances(centres[used], centres[used])
    return between.sum() / (len(used) * (len(used) - 1)) / (f - centres[labels]).norm(dim=1).mean()


def k_means(f: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    """Centres (clusters, d) and labels (n,) of Lloyd's algorithm, started at the sample nearest to
    the mean and then the farthest first (Gonzalez, Clustering to Minimize the Maximum Intercluster
    Distance, 1985)."""
    chosen = [int((f - f.mean(0)).norm(dim=1).argmin())]
    while len(chosen) < clusters:
        chosen.append(int(_distances(f, f[chosen]).amin(1).argmax()))
    centres = f[chosen]
    labels = _distances(f, centres).argmin(1)
    for _ in range(ROUNDS):
        members = torch.nn.functional.one_hot(labels, clusters).to(f.dtype)
        counts = members.sum(0)[:, None]
        first = f[members.argmax(0)]  # the mean of equal samples is then exactly the sample
        means = first + members.T @ (f - first[labels]) / counts.clamp(min=1.0)
        centres = torch.where(counts > 0, means, centres)
        before, labels = labels, _distances(f, centres).argmin(1)
        if torch.equal(labels, before):
            break
    return centres, labels


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean, exactly 0 between equal points."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
