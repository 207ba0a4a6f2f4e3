"""A new network: a U-Net in the layout of the published consistency models, with random weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..._checks import whole
from ...errors import ConfigError

GROUPS = 32  # of the group norms, and channels of an attention head


def new_network(
    size: int,
    channels: int,
    widths: Sequence[int],
    attention: Sequence[int] = (),
    unshuffle: int = 1,
    seed: int = 0,
) -> nn.Module:
    """A `UNet2DModel` of random weights; the global generator is left as it was."""
    from diffusers import UNet2DModel

    _check(size, widths, attention, unshuffle)
    attended = [level in attention for level in range(len(widths))]
    down = ("AttnDownBlock2D" if at else "DownBlock2D" for at in attended)
    up = ("AttnUpBlock2D" if at else "UpBlock2D" for at in reversed(attended))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: Any = UNet2DModel(
            sample_size=size // unshuffle,
            in_channels=channels * unshuffle**2,
            out_channels=channels * unshuffle**2,
            block_out_channels=tuple(widths),
            layers_per_block=1,
            down_block_types=tuple(down),
            up_block_types=tuple(up),
            attention_head_dim=GROUPS,
            attn_norm_num_groups=GROUPS,
            norm_num_groups=GROUPS,
            resnet_time_scale_shift="scale_shift",
        )
    return network


def _check(size: int, widths: Sequence[int], attention: Sequence[int], unshuffle: int) -> None:
    if not widths:
        raise ConfigError("widths must name the channels of at least one level, such as 64,96,128")
    if any(whole("each of the widths", width, GROUPS) % GROUPS for width in widths):
        got = ",".join(map(str, widths))
        raise ConfigError(f"widths must be multiples of {GROUPS}, such as 64,96,128, got {got}")
    if absent := [i for i in attention if i not in range(len(widths))]:
        got, known = ",".join(map(str, absent)), f"levels from 0 to {len(widths) - 1}"
        raise ConfigError(f"attention must name {known}, one for each of the widths, got {got}")
    factor = whole("unshuffle", unshuffle) * 2 ** (len(widths) - 1)
    if whole("size", size) % factor:
        halved = f"halved {len(widths) - 1} times between {len(widths)} widths"
        must = f"size must be a multiple of {factor} (unshuffle {unshuffle}, {halved})"
        way_out = "choose another size, fewer widths or a smaller unshuffle"
        raise ConfigError(f"{must}, got {size}: {way_out}")
