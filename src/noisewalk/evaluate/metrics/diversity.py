r"""How different the samples of one image are, one number per image.

With $f_1, \dots, f_n$ the features of an image's n samples and $\hat f_i = f_i / |f_i|$:

- `clip_similarity`: mean cosine over all pairs, $\big(|\sum_i \hat f_i|^2 - n\big) / (n (n - 1))$;
  1 for equal samples.
- `vendi_score`: $\exp\big(-\sum_k \lambda_k \ln \lambda_k\big)$ with the eigenvalues $\lambda_k$ of
  $\hat f_i^T \hat f_j / n$: from 1 (equal) to n.
- `diversity_score`: mean distance between cluster centres over mean distance of the samples to
  their own cluster's centre,
  $$\frac{\tfrac{2}{k (k - 1)} \sum_{a < b} |c_a - c_b|}{\tfrac{1}{n} \sum_i |f_i - c_{a(i)}|} .$$
- `pixel_std`: the standard deviation over the samples (n - 1), averaged over pixels and channels.

The diversity score has no scale: samples that differ by nothing but noise can score as high as
different scenes. Never print it alone; `pairwise_lpips`, `pixel_std` and `vendi_score` belong
beside it. The paper defines it in half a sentence ("the ratio between the inter- and intra-cluster
distances using 6 nearest neighbors clusters of ResNet-50 features"), so the following is assumed:
Euclidean distances; each sample belongs to the nearest of k = 6 centres, which are the means of
their samples (Lloyd's k-means, from the samples chosen farthest first, the first one nearest to the
mean: no random numbers); a cluster that loses its samples is left out; ResNet-50's weights are
ImageNet V1. The default extractor here is one that needs no download.

References: Friedman and Dieng, The Vendi Score, 2023, equation 3; Gonzalez, Clustering to Minimize
the Maximum Intercluster Distance, 1985.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ConfigError
from .features import features
from .samples import checked_samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

ROUNDS = 300
"""Rounds of Lloyd's algorithm at most; it ends by itself, nearly always within ten."""


def diversity_score(
    samples: Tensor,
    extractor: str | Callable[[Tensor], Tensor] = "efficientnet-lite0",
    clusters: int = 6,
    batch_size: int = 16,
) -> Tensor:
    """Distance between clusters over distance within, in features; higher is more diverse,
    scale-free (read the module's warning).

    Arguments:
        samples: (image, sample, C, H, W) in [-1, 1], more samples than clusters.
        extractor: as for `features`; the paper's is "resnet50".
        clusters: k, at least 2.
        batch_size: samples in the network at once.

    Returns:
        (image,) float64; NaN where a feature is not finite or all are equal, infinite where every
        sample is its cluster's centre.

    Raises:
        ConfigError: the shapes do not fit, or there are too few samples.
        MissingExtraError: the extractor's library is not installed.
        WeightsError: the extractor's weights are not here.
    """
    import torch

    if clusters < 2:
        raise ConfigError(f"clusters must be at least 2, got {clusters}")
    if samples.ndim == 5 and samples.shape[1] <= clusters:
        raise ConfigError(
            f"{clusters} clusters need more than {clusters} samples per image, got "
            f"{samples.shape[1]}: draw more, or ask for fewer clusters"
        )
    return torch.stack(
        [_inter_over_intra(f, clusters) for f in _features(samples, extractor, batch_size)]
    )


def vendi_score(
    samples: Tensor,
    extractor: str | Callable[[Tensor], Tensor] = "efficientnet-lite0",
    batch_size: int = 16,
) -> Tensor:
    """Effective number of different samples, by the cosines of their features.

    Features that are all positive, as after a ReLU, have large cosines: compare the score between
    methods, not with n.

    Arguments:
        samples: (image, sample, C, H, W) in [-1, 1], at least 2 samples.
        extractor: as for `features`.
        batch_size: samples in the network at once.

    Returns:
        (image,) float64 from 1 to the number of samples; NaN where a feature is not finite.

    Raises:
        ConfigError: the shapes do not fit.
        MissingExtraError: the extractor's library is not installed.
        WeightsError: the extractor's weights are not here.
    """
    import torch

    return torch.stack([_effective_number(f) for f in _features(samples, extractor, batch_size)])


def clip_similarity(
    samples: Tensor,
    extractor: str | Callable[[Tensor], Tensor] = "clip-vit-b32",
    batch_size: int = 16,
) -> Tensor:
    """Mean cosine of CLIP's embeddings over all pairs of an image's samples; lower is more diverse.

    Arguments:
        samples: (image, sample, C, H, W) in [-1, 1], at least 2 samples.
        extractor: as for `features`; with another one than CLIP's the number is that extractor's
            cosine similarity, so name it.
        batch_size: samples in the network at once.

    Returns:
        (image,) float64 in [-1, 1].

    Raises:
        ConfigError: the shapes do not fit.
        MissingExtraError: the extractor's library is not installed.
        WeightsError: the extractor's weights are not here.
    """
    f = _unit(_features(samples, extractor, batch_size))
    n = f.shape[1]
    return (f.sum(1).square().sum(1) - n) / (n * (n - 1))


def pixel_std(samples: Tensor) -> Tensor:
    """Standard deviation over an image's samples, averaged over its pixels and channels.

    Arguments:
        samples: (image, sample, C, H, W) in [-1, 1], at least 2 samples; mapped to [0, 1] and
            clipped, for scoring only.

    Returns:
        (image,) float64 on the scale [0, 1].

    Raises:
        ConfigError: the shapes do not fit.
    """
    values = ((checked_samples(samples).double() + 1.0) / 2.0).clamp(0.0, 1.0)
    return values.std(1).flatten(1).mean(1)


def _features(
    samples: Tensor, extractor: str | Callable[[Tensor], Tensor], batch_size: int
) -> Tensor:
    """(image, sample, d) float64."""
    checked = checked_samples(samples)
    f = features(checked.flatten(0, 1), extractor, batch_size)
    if f.ndim != 2:
        raise ConfigError(
            f"an extractor must return one vector per image, (B, d), got {tuple(f.shape)} for "
            f"{len(checked.flatten(0, 1))} images"
        )
    return f.double().unflatten(0, samples.shape[:2])


def _unit(f: Tensor) -> Tensor:
    return f / f.norm(dim=-1, keepdim=True)


def _effective_number(f: Tensor) -> Tensor:
    import torch

    unit = _unit(f)
    if not bool(unit.isfinite().all()):
        return f.new_tensor(float("nan"))
    eigenvalues = torch.linalg.svdvals(unit / len(f) ** 0.5).square()
    return torch.special.entr(eigenvalues).sum().exp()


def _inter_over_intra(f: Tensor, clusters: int) -> Tensor:
    if not bool(f.isfinite().all()):
        return f.new_tensor(float("nan"))
    centres, labels = _lloyd(f, clusters)
    used = labels.unique()
    between = _distances(centres[used], centres[used])
    return between.sum() / (len(used) * (len(used) - 1)) / (f - centres[labels]).norm(dim=1).mean()


def _lloyd(f: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    import torch

    chosen = [int((f - f.mean(0)).norm(dim=1).argmin())]
    while len(chosen) < clusters:
        chosen.append(int(_distances(f, f[chosen]).amin(1).argmax()))
    centres = f[chosen]
    labels = _distances(f, centres).argmin(1)
    for _ in range(ROUNDS):
        members = torch.nn.functional.one_hot(labels, clusters).to(f.dtype)
        counts = members.sum(0)[:, None]
        first = f[
            members.argmax(0)
        ]  # from the first member on, so that the mean of equal samples is exactly the sample
        means = first + members.T @ (f - first[labels]) / counts.clamp(min=1.0)
        centres = torch.where(counts > 0, means, centres)
        before, labels = labels, _distances(f, centres).argmin(1)
        if torch.equal(labels, before):
            break
    return centres, labels


def _distances(a: Tensor, b: Tensor) -> Tensor:
    import torch

    return torch.cdist(
        a, b, compute_mode="donot_use_mm_for_euclid_dist"
    )  # exactly 0 between equal points
