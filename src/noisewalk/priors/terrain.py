r"""terrain128: a consistency model of 128 x 128 terrain heights, read from the ONNX file in the
package adaptive-terrain-diffusion (MIT).

The graph's initializers carry OpenAI's key names under `network.`, except where the exporter folded
them:

- GroupNorm became InstanceNormalization, Mul and Add with constants (c, 1, 1): its weight and bias,
  named here after the convolution that follows.
- The label embedding is a small network on $c = (\text{difficulty} - 1) / 99$ whose output is added
  to the time embedding, so for one difficulty it is a constant:
  $b \leftarrow b + W_2\, \mathrm{SiLU}(W_0 c + b_0) + b_2$ with b the bias of `time_embed.2`.
- The graph clamps its output to [-1, 1]; Phi is never clamped, so the network agrees with the graph
  before that last node.

Pixels x stand for heights above the lowest point of each terrain, in metres, by the
`TerrainGenerator._from_model_space` of the package,
$h = s \sinh\big(\tfrac{x + 1}{2} \operatorname{arcsinh}(R / s)\big)$, s = 0.1 and R = 22.17. The
package clips x to [-1, 1] first and moves the lowest point to 0; here nothing is clipped.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from .._checks import real
from ..errors import MissingExtraError, WeightsError

DIFFICULTY = (1.0, 100.0)
HEIGHT_SCALE, HEIGHT_RANGE = 0.1, 22.16864013671875
PREFIX = "network."
NORMS = {
    "in_layers.2.weight": "in_layers.0",
    "out_layers.3.weight": "out_layers.0",
    "qkv.weight": "norm",
    "out.2.weight": "out.0",
}
"""The GroupNorm right before each convolution."""
LABEL_KEYS = ("label_emb.0.weight", "label_emb.0.bias", "label_emb.2.weight", "label_emb.2.bias")


def read_terrain(path: Path, difficulty: float) -> dict[str, Tensor]:
    """The float32 weights for one difficulty, with OpenAI's key names and no label embedding."""
    low, high = DIFFICULTY
    difficulty = real("difficulty", difficulty, least=low, most=high)
    graph = _read_graph(path)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    ours = [name for name in constants if name.startswith(PREFIX)]
    state = {name.removeprefix(PREFIX): _tensor(constants[name]) for name in ours}
    try:
        state |= _group_norms(graph, constants, state)
    except ValueError as error:
        raise WeightsError(f"{path} is not the terrain network: {error}") from error
    if missing := [key for key in (*LABEL_KEYS, "time_embed.2.bias") if key not in state]:
        raise WeightsError(f"{path} is not the terrain network: it lacks {', '.join(missing)}")
    w0, b0, w2, b2 = (state.pop(key) for key in LABEL_KEYS)
    c = torch.tensor([(difficulty - low) / (high - low)], dtype=torch.float32)
    state["time_embed.2.bias"] += linear(silu(linear(c, w0, b0)), w2, b2)
    return state


def to_metres(x: Tensor) -> Tensor:
    """Heights in metres, 0 to 22.17 for pixels in [-1, 1]."""
    return HEIGHT_SCALE * torch.sinh((x + 1.0) / 2.0 * math.asinh(HEIGHT_RANGE / HEIGHT_SCALE))


def from_metres(h: Tensor) -> Tensor:
    """Pixels of heights in metres, the inverse of `to_metres`."""
    return 2.0 * torch.asinh(h / HEIGHT_SCALE) / math.asinh(HEIGHT_RANGE / HEIGHT_SCALE) - 1.0


def _read_graph(path: Path) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError as error:
        raise MissingExtraError("onnx", "onnx") from error
    try:
        return onnx.load_model_from_string(path.read_bytes()).graph
    except (OSError, DecodeError) as error:
        raise WeightsError(f"cannot read {path} as an ONNX file: {error}") from error


def _group_norms(
    graph: Any, constants: dict[str, Any], state: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Weight and bias of every GroupNorm; a ValueError says what does not fit."""
    users = {name: node for node in graph.node for name in node.input}
    norms: dict[str, Tensor] = {}
    waiting: list[Tensor] = []
    for node in graph.node:
        if node.op_type == "InstanceNormalization":
            reshape = users.get(node.output[0])
            scale = users.get(reshape.output[0]) if reshape is not None else None
            shift = users.get(scale.output[0]) if scale is not None else None
            after = [name for n in (scale, shift) if n is not None for name in n.input]
            found = [name for name in after if name in constants]
            if waiting or len(found) != 2:
                raise ValueError(f"{node.name} is not a GroupNorm before a convolution")
            waiting = [_tensor(constants[name]).flatten() for name in found]
        elif node.op_type == "Conv" and waiting:
            key = node.input[1].removeprefix(PREFIX)
            suffix = next((s for s in NORMS if f".{key}".endswith(f".{s}")), None)
            channels = state[key].shape[1] if key in state and state[key].ndim == 4 else None
            if suffix is None or any(len(value) != channels for value in waiting):
                raise ValueError(f"the GroupNorm before {key} does not fit it")
            norm = key.removesuffix(suffix) + NORMS[suffix]
            norms |= {f"{norm}.weight": waiting[0], f"{norm}.bias": waiting[1]}
            waiting = []
    if waiting:
        raise ValueError("no convolution after the last GroupNorm")
    return norms


def _tensor(value: Any) -> Tensor:
    from onnx import numpy_helper

    return torch.from_numpy(numpy_helper.to_array(value).copy()).float()
