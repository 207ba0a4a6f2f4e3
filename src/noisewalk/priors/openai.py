r"""OpenAI's consistency-model checkpoints (.pt) as diffusers' `UNet2DModel`.

`infer` reads the architecture from key names and shapes: each value is the one that most keys agree
on, and of all numbers of levels and blocks those are kept whose layers (`openai_layers.py`) differ
least from the file. One bad key is then named as what it is and bends nothing.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .._pickled import load_pickled
from ..errors import WeightsError
from .mismatched_keys import Shapes, listed, misfits, shapes_of
from .openai_layers import GROUPS, Architecture, expected_shapes, layers, unet_config

_BLOCK = re.compile(r"(input|output)_blocks\.([0-9]{1,4})\.([0-9])\.(.+)")
_AS_WIDE_AS_LEVEL = re.compile(r"(in_layers\.2|out_layers\.[03])\.bias|out_layers\.0\.weight")


def read_state(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors in a .pt file by name, on the CPU; no code in the file is run."""
    if not path.is_file():
        raise WeightsError(f"{path} is missing: give the path of a .pt checkpoint")
    state = load_pickled(path, sha256)
    if not isinstance(state, dict) or not state:
        raise WeightsError(
            f"{path} holds {'an empty' if state == {} else 'a'} {type(state).__name__}, not a "
            "state dict: save the network's state_dict() itself"
        )
    for key, tensor in state.items():
        named = isinstance(key, str) and key.isprintable()
        dense = isinstance(tensor, Tensor) and tensor.layout == torch.strided
        if not named or not dense or tensor.device.type != "cpu":
            entry = f"entry {key!r} is a {type(tensor).__name__}, not a named dense tensor"
            raise WeightsError(f"{path} is no state dict: {entry}; save the state_dict() itself")
    return dict(state)


def infer(state: Mapping[str, Tensor], size: int, head_channels: int, where: str) -> Architecture:
    """The architecture that every key and shape fits; `where` names the file in messages."""
    shapes = shapes_of(state)
    totals = {total for side in ("input", "output") if (total := _count_blocks(shapes, side)) >= 2}
    sizes = sorted(
        {(total // (n + 1), n) for total in totals for n in range(1, total) if total % (n + 1) == 0}
    )
    guesses = [guess for levels, n in sizes if (guess := _guess(shapes, levels, n)) is not None]
    if not guesses:
        layout = "(time_embed, input_blocks, middle_block, output_blocks, out)"
        what = f"{where} is no U-Net in OpenAI's layout {layout}"
        raise WeightsError(f"{what}: give the .pt file as published")
    best = min(guesses, key=lambda guess: len(_mismatches(state, guess)))
    _check(state, best, where)
    return replace(best, size=size, head_channels=head_channels)


def to_unet(state: Mapping[str, Tensor], architecture: Architecture) -> nn.Module:
    """A `UNet2DModel` for evaluation, which shares float32 weights with the checkpoint."""
    from diffusers import UNet2DModel

    _check(state, architecture, "the state dict")
    weights: dict[str, Tensor] = {}
    for layer in layers(architecture):
        for name in layer.tensors:
            tensor = state[f"{layer.source}.{name}"].detach().float().contiguous()
            if name == "weight" and len(layer.shape) == 3:
                tensor = tensor.flatten(1)
            parts = zip(layer.targets, tensor.chunk(len(layer.targets)), strict=True)
            weights |= {f"{target}.{name}": part for target, part in parts}
    with torch.device("meta"):
        network: Any = UNet2DModel(**unet_config(architecture))
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def _count_blocks(shapes: Shapes, side: str) -> int:
    # A renamed key can invent a block, so one counts from three keys on; as a block has ten keys or
    # more, no index comes near a fifth of them.
    matches = (match for key in shapes if (match := _BLOCK.fullmatch(key)) and match[1] == side)
    keys = Counter(int(match[2]) for match in matches)
    return max((k + 1 for k, n in keys.items() if n >= 3 and k < len(shapes) // 5), default=0)


def _guess(shapes: Shapes, levels: int, n: int) -> Architecture | None:
    """The architecture that most keys agree on, given the levels and the blocks per level."""
    widths: list[Counter[int]] = [Counter() for _ in range(levels)]
    attention: Counter[int] = Counter()
    scales: Counter[bool] = Counter()
    for key, shape in shapes.items():
        match = _BLOCK.fullmatch(key)
        k = int(match[2]) if match else 0
        if match is None or k >= levels * (n + 1) or (match[1] == "input" and k == 0):
            continue
        level = (k - 1) // (n + 1) if match[1] == "input" else levels - 1 - k // (n + 1)
        if _AS_WIDE_AS_LEVEL.fullmatch(match[4]) and len(shape) == 1:
            widths[level][shape[0]] += 1
        elif match[4] == "emb_layers.1.bias":
            plain = shapes.get(key.replace("emb_layers.1", "out_layers.3"), ())
            scales[shape == tuple(2 * d for d in plain)] += 1
        elif match[3] == "1" and match[4].startswith(("norm.", "qkv.", "proj_out.")):
            attention[level] += 1

    def sides(*keys: str) -> list[int]:
        return [d for key in keys for d in shapes.get(key, ())]

    quarters = [d // 4 for d in sides("time_embed.0.bias", "time_embed.2.bias")]
    m = _vote([*quarters, *sides("out.0.weight", "out.0.bias", "input_blocks.0.0.bias")])
    if m == 0:
        return None
    images = _other_side(shapes.get("input_blocks.0.0.weight", ()), m)
    outputs = _vote([*sides("out.2.bias"), _other_side(shapes.get("out.2.weight", ()), m), images])
    half = 3 * (2 * n + 1)  # of six keys in each block of a level
    return Architecture(
        model_channels=m,
        channel_mult=(1, *(max(1, _vote(votes.elements()) // m) for votes in widths[1:])),
        num_blocks=n,
        attention=tuple(level for level in range(levels) if attention[level] > half),
        scale_shift=scales[True] > scales[False],
        num_classes=_other_side(shapes.get("label_emb.weight", ()), 4 * m) or None,
        in_channels=images or outputs,
        out_channels=outputs,
        size=2 ** (levels - 1),
        head_channels=1,
    )


def _other_side(shape: tuple[int, ...], known: int) -> int:
    """The side of a weight that is not the known one; 0 if there is no weight."""
    return next((d for d in shape[:2] if d != known), known if shape else 0)


def _vote(values: Iterable[int]) -> int:
    """The most common positive value, the first of equals; 0 if there is none."""
    votes = Counter(value for value in values if value > 0)
    return votes.most_common(1)[0][0] if votes else 0


def _mismatches(state: Mapping[str, Tensor], architecture: Architecture) -> list[str]:
    """What keeps the file from being this architecture."""
    expected = expected_shapes(architecture)
    found = shapes_of(state)
    for key, shape in expected.items():  # a 1x1 convolution may have one or two trailing ones
        if len(shape) == 3 and found.get(key) == (*shape, 1):
            found[key] = shape
    fitting = [key for key in expected if found.get(key) == expected[key]]
    integers = [key for key in fitting if not state[key].is_floating_point()]
    wrong = [f"{key} is {state[key].dtype}, expected floating point" for key in integers]
    return misfits(expected, found) + wrong


def _check(state: Mapping[str, Tensor], architecture: Architecture, where: str) -> None:
    a = architecture
    if problems := _mismatches(state, a):
        raise WeightsError(
            f"{where} does not fit the nearest architecture in OpenAI's layout (model_channels="
            f"{a.model_channels}, channel_mult={a.channel_mult}, num_blocks={a.num_blocks}, "
            f"attention={a.attention}): {listed(problems)}"
        )
    if a.model_channels % GROUPS:
        undivided = f"which the {GROUPS} groups of its norms do not divide"
        has = f"{where} has model_channels {a.model_channels}"
        raise WeightsError(f"{has}, {undivided}: use another checkpoint")
