r"""Named feature extractors whose networks are large downloads of their owners, and the type of an
extractor of one's own.

| name | network | features | side | pixels are |
|---|---|---|---|---|
| "clip-vit-b32" | CLIP ViT-B/32, weights "openai", by open-clip-torch | 512, the image embedding | 224, bicubic | normalised as CLIP's |
| "resnet50" | ResNet-50, ImageNet weights V1, by torchvision | 2048, after global average pooling | 224, bilinear | normalised as ImageNet's |
| "inception-v3" | Inception as published in 2015, by torch-fidelity | 2048, its layer "2048" | as it is (299 inside) | whole numbers 0..255 |

A grey image is repeated to RGB; images are clipped to [-1, 1] (scoring only) and resized whole,
never cropped. Only the Frechet distance in "inception-v3" is FID, and only the cosine in
"clip-vit-b32" is CLIP similarity: put the extractor's name beside every number.

References: Radford et al., Learning Transferable Visual Models From Natural Language Supervision,
2021; He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2016; Szegedy et al.,
Rethinking the Inception Architecture for Computer Vision, 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError, MissingExtraError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

SIDE = 224
"""Side that images are resized to, in pixels."""
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
INCEPTION_FILES = (
    "weights-inception-2015-12-05-6726825d.pth",
    "pt_inception-2015-12-05-6726825d.pth",
)
"""Inception's file, as torch-fidelity and as pytorch-fid call it."""
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


@dataclass(frozen=True)
class Extractor:
    """A feature extractor with a name for the tables.

    Arguments:
        name: what the tables call it.
        function: from (B, C, H, W) images in [-1, 1] to (B, d).
    """

    name: str
    function: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or not callable(self.function):
            raise ConfigError(
                f"an extractor needs a name and a function, got {self.name!r} and {self.function!r}"
            )

    def __call__(self, images: Tensor) -> Tensor:
        """Extract.

        Arguments:
            images: (B, C, H, W) in [-1, 1].

        Returns:
            (B, d).
        """
        return self.function(images)


def name_of(extractor: str | Callable[[Tensor], Tensor]) -> str:
    """What a table calls an extractor.

    Arguments:
        extractor: a name, an `Extractor`, or a function.

    Returns:
        Its name; a function's own where it has no other.
    """
    if isinstance(extractor, str):
        return extractor
    return (
        extractor.name
        if isinstance(extractor, Extractor)
        else getattr(extractor, "__name__", type(extractor).__name__)
    )


@cache
def load_extractor(name: str, device: str) -> Extractor:
    """Load an extractor of the table above; its library may download weights into its own cache,
    except for "inception-v3".

    Arguments:
        name: of the extractor.
        device: where it runs.

    Returns:
        The extractor.

    Raises:
        MissingExtraError: its library is not installed.
        WeightsError: its weights are not here and could not be downloaded.
    """
    import torch

    with torch.random.fork_rng(devices=[]):  # the libraries initialise at random before they load
        return Extractor(name, LOADERS[name](device))


def _clip(device: str) -> Callable[[Tensor], Tensor]:
    try:
        import open_clip
    except ImportError as error:
        raise MissingExtraError("open-clip-torch", "metrics") from error
    try:
        network = open_clip.create_model(
            "ViT-B-32-quickgelu", pretrained="openai", precision="fp32", device=device
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise _not_here("CLIP ViT-B/32 (openai)", "the Hub's cache", error) from error
    network = network.eval().requires_grad_(False)
    return lambda images: network.encode_image(_normalised(images, "bicubic", CLIP_MEAN, CLIP_STD))


def _resnet50(device: str) -> Callable[[Tensor], Tensor]:
    try:
        from torchvision.models import ResNet50_Weights, resnet50
    except ImportError as error:
        raise MissingExtraError("torchvision", "metrics") from error
    import torch

    try:
        network = resnet50(weights=ResNet50_Weights.IMAGENET1K_V1)
    except (OSError, RuntimeError, ValueError) as error:
        raise _not_here(
            "ResNet-50 (resnet50-0676ba61.pth)", f"{torch.hub.get_dir()}/checkpoints", error
        ) from error
    network.fc = torch.nn.Identity()
    network = network.to(device).eval().requires_grad_(False)
    return lambda images: network(_normalised(images, "bilinear", IMAGENET_MEAN, IMAGENET_STD))


def _inception(device: str) -> Callable[[Tensor], Tensor]:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise MissingExtraError("torch-fidelity", "metrics") from error
    network = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(_inception_weights())
    ).to(device)

    def extract(images: Tensor) -> Tensor:
        import torch

        rgb = images.float().clamp(-1.0, 1.0).expand(-1, 3, -1, -1)
        return network(((rgb + 1.0) * 127.5).round().to(torch.uint8))[0]

    return extract


LOADERS: dict[str, Callable[[str], Callable[[Tensor], Tensor]]] = {
    "clip-vit-b32": _clip,
    "resnet50": _resnet50,
    "inception-v3": _inception,
}
"""How each extractor of this file is loaded onto a device."""


def _inception_weights() -> Path:
    """The file, checked before torch-fidelity unpickles it."""
    import hashlib
    from pathlib import Path

    import torch

    from ..._packages import cache_folder

    folders = (cache_folder(), Path(torch.hub.get_dir()) / "checkpoints")
    path = next(
        (
            folder / name
            for folder in folders
            for name in INCEPTION_FILES
            if (folder / name).is_file()
        ),
        None,
    )
    if path is None:
        raise WeightsError(
            f"FID needs Google's Inception, which is not here: download {INCEPTION_FILES[0]} "
            f"(91 MB, a release file of torch-fidelity) to {folders[1]}; "
            "without it use frechet or kid with another extractor, and do not call that FID"
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != INCEPTION_SHA256:
        raise WeightsError(
            f"{path} has sha256 {found}, expected {INCEPTION_SHA256}: download it again"
        )
    return path


def _not_here(what: str, where: str, error: Exception) -> WeightsError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return WeightsError(
        f"the weights of {what} are not in {where} and could not be downloaded ({reason}): "
        "check the connection, or put them there"
    )


def _normalised(
    images: Tensor, mode: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> Tensor:
    import torch
    from torch.nn.functional import interpolate

    rgb: Any = (images.float().clamp(-1.0, 1.0).expand(-1, 3, -1, -1) + 1.0) / 2.0
    resized = interpolate(rgb, (SIDE, SIDE), mode=mode, antialias=True, align_corners=False)
    shift, scale = (
        torch.tensor(values, device=images.device)[:, None, None] for values in (mean, std)
    )
    return (resized - shift) / scale
