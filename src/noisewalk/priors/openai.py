r"""OpenAI's consistency-model checkpoints (.pt) as diffusers' `UNet2DModel`; `openai_layout.py`
says what such a file holds.

One list of layers, `layers`, is read and checked, so that the two cannot disagree. Of everything
that follows from names and shapes, `infer` takes the values that most keys agree on and keeps the
(L, n) whose list differs least from the file: one bad key is then named as what it is instead of
bending the architecture.

References: Song et al., Consistency Models, 2023, Appendix C.
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
from .openai_layout import GROUPS, Architecture, expected_shapes, layers, unet_config

_BLOCK = re.compile(r"(input|output)_blocks\.([0-9]{1,4})\.([0-9])\.(.+)")
_AS_WIDE_AS_THE_LEVEL = (
    "in_layers.2.bias",
    "out_layers.0.weight",
    "out_layers.0.bias",
    "out_layers.3.bias",
)


def read_state(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a .pt state dict, running none of the code that such a file may hold; its tensors are
    mapped from the file where its format allows.

    Arguments:
        path: the file.
        sha256: what it must hash to; None checks the archive's own checksums instead, where it has
            them.

    Returns:
        The tensors by name, on the CPU.

    Raises:
        WeightsError: a file that is missing, damaged, another than the hash says, or holds anything
            but named tensors.
    """
    if not path.is_file():
        raise WeightsError(f"{path} is missing: give the path of a .pt checkpoint")
    state = load_pickled(path, sha256)
    if not isinstance(state, dict) or not state:
        raise WeightsError(
            f"{path} holds {'an empty' if state == {} else 'a'} {type(state).__name__}, not a "
            "state dict: save the network's state_dict() itself"
        )
    for key, tensor in state.items():
        if (
            not isinstance(key, str)
            or not key.isprintable()
            or not isinstance(tensor, Tensor)
            or tensor.layout != torch.strided
            or tensor.device.type != "cpu"
        ):
            raise WeightsError(
                f"{path} is no state dict: entry {key!r} is a {type(tensor).__name__}, not a "
                "named dense tensor; save the state_dict() itself"
            )
    return dict(state)


def infer(state: Mapping[str, Tensor], size: int, head_channels: int, where: str) -> Architecture:
    """Read the architecture from key names and shapes, and check every key against it.

    Arguments:
        state: the checkpoint's tensors.
        size: image side in pixels, which the file does not say.
        head_channels: channels per attention head, which the file does not say.
        where: the file's name, for messages.

    Returns:
        The architecture.

    Raises:
        WeightsError: missing, unexpected or mis-shaped keys (named), or another layout.
        ConfigError: a size or head width that the network cannot have.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    totals = {total for side in ("input", "output") if (total := _count_blocks(shapes, side)) >= 2}
    sizes = sorted(
        {(total // (n + 1), n) for total in totals for n in range(1, total) if total % (n + 1) == 0}
    )
    guesses = [guess for levels, n in sizes if (guess := _guess(shapes, levels, n)) is not None]
    if not guesses:
        raise WeightsError(
            f"{where} is no U-Net in OpenAI's layout (time_embed, input_blocks, middle_block, "
            "output_blocks, out): give the .pt file as published"
        )
    best = min(guesses, key=lambda guess: len(_mismatches(state, guess)))
    _check(state, best, where)
    return replace(best, size=size, head_channels=head_channels)


def to_unet(state: Mapping[str, Tensor], architecture: Architecture) -> nn.Module:
    """The network with the checkpoint's weights; float32 weights are shared with `state`, not
    copied.

    Arguments:
        state: the checkpoint's tensors.
        architecture: as `infer` read it.

    Returns:
        A `UNet2DModel` in evaluation mode, float32, without gradients.

    Raises:
        WeightsError: the tensors do not fit the architecture.
    """
    from diffusers import UNet2DModel

    _check(state, architecture, "the state dict")
    weights: dict[str, Tensor] = {}
    for layer in layers(architecture):
        for name in ("weight", "bias") if layer.has_bias else ("weight",):
            tensor = state[f"{layer.source}.{name}"].detach().float().contiguous()
            if name == "weight" and len(layer.shape) == 3:
                tensor = tensor.flatten(1)
            weights |= {
                f"{target}.{name}": part
                for target, part in zip(
                    layer.targets, tensor.chunk(len(layer.targets)), strict=True
                )
            }
    with torch.device("meta"):
        network: Any = UNet2DModel(**unet_config(architecture))
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False)


def _count_blocks(shapes: Mapping[str, tuple[int, ...]], side: str) -> int:
    # A renamed key can invent a block, so one counts from three keys on; as a block has ten keys or
    # more, no index comes near a fifth of them.
    keys = Counter(
        int(match[2]) for key in shapes if (match := _BLOCK.fullmatch(key)) and match[1] == side
    )
    return max(
        (k + 1 for k, count in keys.items() if count >= 3 and k < len(shapes) // 5), default=0
    )


def _guess(shapes: Mapping[str, tuple[int, ...]], levels: int, n: int) -> Architecture | None:
    """The architecture that most keys agree on if the file had this many levels and blocks per
    level; None where nothing says its width."""
    widths: list[Counter[int]] = [Counter() for _ in range(levels)]
    attention_keys: Counter[int] = Counter()
    scales: Counter[bool] = Counter()
    for key, shape in shapes.items():
        match = _BLOCK.fullmatch(key)
        if (
            match is None
            or (k := int(match[2])) >= levels * (n + 1)
            or (match[1] == "input" and k == 0)
        ):
            continue
        level = (k - 1) // (n + 1) if match[1] == "input" else levels - 1 - k // (n + 1)
        if match[4] in _AS_WIDE_AS_THE_LEVEL and len(shape) == 1:
            widths[level][shape[0]] += 1
        elif match[4] == "emb_layers.1.bias":
            scales[
                shape
                == tuple(2 * d for d in shapes.get(key.replace("emb_layers.1", "out_layers.3"), ()))
            ] += 1
        elif match[3] == "1" and match[4].startswith(("norm.", "qkv.", "proj_out.")):
            attention_keys[level] += 1
    quarters = [
        d // 4 for key in ("time_embed.0.bias", "time_embed.2.bias") for d in shapes.get(key, ())
    ]
    m = _vote(
        [
            *quarters,
            *(
                d
                for key in ("out.0.weight", "out.0.bias", "input_blocks.0.0.bias")
                for d in shapes.get(key, ())
            ),
        ]
    )
    if m == 0:
        return None
    images = _other_side(shapes.get("input_blocks.0.0.weight", ()), m)
    outputs = _vote(
        [*shapes.get("out.2.bias", ()), _other_side(shapes.get("out.2.weight", ()), m), images]
    )
    return Architecture(
        model_channels=m,
        channel_mult=(1, *(max(1, _vote(votes.elements()) // m) for votes in widths[1:])),
        num_blocks=n,
        attention=tuple(
            level for level in range(levels) if attention_keys[level] > 3 * (2 * n + 1)
        ),  # half of six keys in each of its blocks
        scale_shift=scales[True] > scales[False],
        num_classes=_other_side(shapes.get("label_emb.weight", ()), 4 * m) or None,
        in_channels=images or outputs,
        out_channels=outputs,
        size=2 ** (levels - 1),
        head_channels=1,
    )


def _other_side(shape: tuple[int, ...], known: int) -> int:
    """Of a weight's two sides the one that is not the known one, whichever way round it is stored;
    0 if there is no weight."""
    return next((d for d in shape[:2] if d != known), known if shape else 0)


def _vote(values: Iterable[int]) -> int:
    """The most common positive value, the first of equals; 0 if there is none."""
    votes = Counter(value for value in values if value > 0)
    return votes.most_common(1)[0][0] if votes else 0


def _mismatches(state: Mapping[str, Tensor], architecture: Architecture) -> list[str]:
    expected = expected_shapes(architecture)
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    problems = [f"missing {key}" for key in expected if key not in found] + [
        f"unexpected {key}" for key in found if key not in expected
    ]
    for key in (key for key in expected if key in found):
        if found[key] != expected[key] and not (
            len(expected[key]) == 3 and found[key] == (*expected[key], 1)
        ):
            problems.append(f"{key} has shape {found[key]}, expected {expected[key]}")
        elif not state[key].is_floating_point():
            problems.append(f"{key} is {state[key].dtype}, expected floating point")
    return problems


def _check(state: Mapping[str, Tensor], architecture: Architecture, where: str) -> None:
    a = architecture
    if problems := _mismatches(state, a):
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        nearest = (
            f"model_channels={a.model_channels}, channel_mult={a.channel_mult}, "
            f"num_blocks={a.num_blocks}, attention={a.attention}"
        )
        raise WeightsError(
            f"{where} does not fit the nearest architecture in OpenAI's layout ({nearest}): "
            f"{'; '.join(problems[:5])}{more}"
        )
    if a.model_channels % GROUPS:
        raise WeightsError(
            f"{where} has model_channels {a.model_channels}, which the {GROUPS} groups of its "
            "norms do not divide: use another checkpoint"
        )
