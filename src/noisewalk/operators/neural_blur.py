"""Blur by the network of Tran et al. (2021), which learned how real blur deforms sharp images."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from .._checks import seed_of
from .._pickled import load_pickled
from ..errors import ConfigError, WeightsError
from ..noise import MASK, rows
from .arrays import floating

SHAPE, WIDTH = (3, 256, 256), 64
CODE_SHAPE, CODE_STD = (512, 2, 2), 1.2
NUM_ENCODER_BLOCKS, NUM_DECODER_BLOCKS = 10, 20
UNET_WIDTHS = (64, 64, 128, 256, 512, 512)
UNUSED, SHOWN = "kernel_extractor.", 5

_Weights = Mapping[str, Tensor]
_Place = tuple[torch.device, torch.dtype]
# The weights of an operator on the device and in the type of the last x.
_placed: "WeakKeyDictionary[NeuralBlur, tuple[_Place, _Weights]]" = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class NeuralBlur:
    r"""Blur by the published network, with one blur code k for every image and every call.

    $$A(x) = 2\, ( u + R(U(E(u), k)) ) - 1, \quad u = (x + 1) / 2, \quad k \sim 1.2\, N(0, I)$$
    E extracts features, U is a U-Net with k, (512, 2, 2), at its bottleneck, R reconstructs. Below
    the outermost level, U concatenates LeakyReLU(0.2) of what it receives, because the published
    code activates in place. One image costs 16 billion multiplications. A(x) may leave [-1, 1].
    Reference: Tran et al., Explore Image Deblurring via Encoded Blur Kernel Space, 2021.

    Arguments:
        weights_path: GOPRO_wVAE.pth, the user's own; code in the file is never run.
        seed: of the blur code, 0 to 2^56 - 1.

    Raises:
        ConfigError: if the seed is outside this range.
        WeightsError: if the file cannot be read or is not the network's.

    Example:
        >>> nw.operators.NeuralBlur("GOPRO_wVAE.pth", seed=3)  # doctest: +SKIP
        NeuralBlur(weights_path='GOPRO_wVAE.pth', seed=3, digest='...')
    """

    weights_path: str | Path = field(metadata={"key": "weights"})
    seed: int = 0
    digest: str = field(init=False)  # the first 8 hex digits of the SHA-256 of the weights
    code: Tensor = field(init=False, repr=False)  # k
    weights: dict[str, Tensor] = field(init=False, repr=False)

    @torch.inference_mode(False)
    def __post_init__(self) -> None:
        key = seed_of(self.seed, "NeuralBlur's seed")
        if not isinstance(self.weights_path, str | Path):
            got = repr(self.weights_path)
            raise ConfigError(f"NeuralBlur's weights_path must be the path of a file, got {got}")
        weights = read_weights(Path(self.weights_path))
        code = CODE_STD * rows(key, 1).normal(CODE_SHAPE, MASK)[0]
        path = str(self.weights_path)
        sha = hashlib.sha256()
        for name in sorted(weights):
            sha.update(name.encode() + weights[name].numpy().tobytes())
        digest = sha.hexdigest()[:8]
        vars(self).update(weights_path=path, seed=key, digest=digest, code=code, weights=weights)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, 3, 256, 256) -> (B, 3, 256, 256)."""
        floating("NeuralBlur", x)
        self.output_shape(tuple(x.shape[1:]))
        return 2 * adapt(self._weights_for(x), (x + 1) / 2, self.code.to(x.device, x.dtype)) - 1

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y, (3, 256, 256); ConfigError if x has another."""
        if tuple(shape) != SHAPE:
            raise ConfigError(
                f"NeuralBlur takes images of shape {SHAPE} only, got {tuple(shape)}: take a prior "
                "of 256 x 256, or CameraMotionBlur"
            )
        return SHAPE

    def _weights_for(self, x: Tensor) -> _Weights:
        place = (x.device, x.dtype)
        held = _placed.get(self)
        if held is None or held[0] != place:
            held = (place, {key: weight.to(*place) for key, weight in self.weights.items()})
            _placed[self] = held
        return held[1]


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """The complete table of GOPRO_wVAE.pth, shape by key: 159 keys, 115,265,475 numbers."""
    table: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, n_in: int, n_out: int, size: int = 3, bias: bool = True) -> None:
        table[f"{name}.weight"] = (n_out, n_in, size, size)
        if bias:
            table[f"{name}.bias"] = (n_out,)

    def blocks(name: str, first: int, count: int) -> None:
        for i in range(first, first + count):
            convolution(f"{name}.{i}.conv1", WIDTH, WIDTH)
            convolution(f"{name}.{i}.conv2", WIDTH, WIDTH)

    for i, n_in in ((0, SHAPE[0]), (2, WIDTH), (4, WIDTH)):
        convolution(f"feature_extractor.{i}", n_in, WIDTH)
    blocks("feature_extractor", 6, NUM_ENCODER_BLOCKS)
    convolution(f"{UNUSED}model.1", 2 * WIDTH, WIDTH, 7, bias=False)
    for i in range(5):
        n_in, n_out = (min(WIDTH << i + k, 1024) for k in (0, 1))
        convolution(f"{UNUSED}model.{4 + 3 * i}", n_in, n_out, bias=False)
    for i in range(19, 23):
        convolution(f"{UNUSED}model.{i}.conv_block.1", 1024, 1024, bias=False)
        convolution(f"{UNUSED}model.{i}.conv_block.5", 1024, 1024, bias=False)
    for level in range(len(UNET_WIDTHS) - 1):
        outer, inner = UNET_WIDTHS[level : level + 2]
        down, up = _unet_keys(level)
        table[down] = (inner, outer, 4, 4)
        table[up] = (2 * inner, outer, 4, 4)
    table["adapter.model.up.1.bias"] = (WIDTH,)
    blocks("recon_trunk", 0, NUM_DECODER_BLOCKS)
    for i, n_out in ((20, 4 * WIDTH), (23, 4 * WIDTH), (26, WIDTH), (28, SHAPE[0])):
        convolution(f"recon_trunk.{i}", WIDTH, n_out)
    return table


def read_weights(path: Path) -> dict[str, Tensor]:
    """What A needs of GOPRO_wVAE.pth, float32 on the CPU; WeightsError for any other file."""
    if not path.is_file():
        raise WeightsError(f"{path} is not a file: give the path of your GOPRO_wVAE.pth")
    state = load_pickled(path)
    items = state.items() if isinstance(state, dict) else [(None, None)]
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in items):
        raise WeightsError(
            f"{path} holds something other than named tensors, unlike GOPRO_wVAE.pth"
        )
    expected = expected_shapes()
    found = (_problem(key, shape, state.get(key)) for key, shape in expected.items())
    problems = [problem for problem in found if problem]
    problems += [f"unexpected {key}" for key in state if key not in expected]
    if problems:
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise WeightsError(
            f"{path} is not the network GOPRO_wVAE.pth: {'; '.join(problems[:SHOWN])}{more}"
        )
    return {
        key: state[key].detach().to(torch.float32, copy=True).contiguous()
        for key in expected
        if not key.startswith(UNUSED)
    }


def _problem(key: str, shape: tuple[int, ...], weight: Tensor | None) -> str:
    """What is wrong with a weight; empty if nothing is."""
    if weight is None:
        return f"missing {key}"
    if tuple(weight.shape) != shape:
        return f"{key} has shape {tuple(weight.shape)}, expected {shape}"
    if not weight.is_floating_point():
        return f"{key} is {weight.dtype}, expected floating point"
    if not key.startswith(UNUSED) and not torch.isfinite(weight.float()).all():
        return f"{key} holds numbers that are not finite"
    return ""


def adapt(weights: _Weights, u: Tensor, code: Tensor) -> Tensor:
    """Images u in [0, 1], (B, 3, H, W), blurred by (C, H / 128, W / 128); weights set widths."""
    h = u
    for i, stride in ((0, 1), (2, 2), (4, 2)):
        h = F.leaky_relu(_convolve(weights, f"feature_extractor.{i}", h, stride), 0.1)
    h = _residual(weights, "feature_extractor", 6, NUM_ENCODER_BLOCKS, h)
    h = _residual(weights, "recon_trunk", 0, NUM_DECODER_BLOCKS, _unet(weights, h, code))
    for i in (20, 23):
        h = F.leaky_relu(F.pixel_shuffle(_convolve(weights, f"recon_trunk.{i}", h), 2), 0.1)
    h = F.leaky_relu(_convolve(weights, "recon_trunk.26", h), 0.1)
    return u + _convolve(weights, "recon_trunk.28", h)


def _convolve(weights: _Weights, name: str, h: Tensor, stride: int = 1) -> Tensor:
    return F.conv2d(h, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, 1)


def _residual(weights: _Weights, name: str, first: int, count: int, h: Tensor) -> Tensor:
    for i in range(first, first + count):
        inside = F.relu(_convolve(weights, f"{name}.{i}.conv1", h))
        h = h + _convolve(weights, f"{name}.{i}.conv2", inside)
    return h


def _unet(weights: _Weights, h: Tensor, code: Tensor) -> Tensor:
    levels = len(UNET_WIDTHS) - 1
    skips: list[Tensor] = []
    for level in range(levels):
        if level > 0:
            h = F.leaky_relu(h, 0.2)
            skips.append(h)
        h = F.conv2d(h, weights[_unet_keys(level)[0]], None, 2, 1)
    h = torch.cat((h, code.expand(len(h), *code.shape)), 1)
    for level in reversed(range(levels)):
        bias = weights["adapter.model.up.1.bias"] if level == 0 else None
        h = F.conv_transpose2d(F.relu(h), weights[_unet_keys(level)[1]], bias, 2, 1)
        if level > 0:
            h = torch.cat((h, skips[level - 1]), 1)
    return torch.tanh(h)


def _unet_keys(level: int) -> tuple[str, str]:
    """The two weights of a level, halving and doubling; 0 is the outermost."""
    prefix = "adapter.model." + "submodule." * level
    return f"{prefix}down.{1 if level else 0}.weight", f"{prefix}up.1.weight"
