r"""The layers of OpenAI's consistency models: the name of each in a checkpoint, its place in
`UNet2DModel`, and its shape.

With L levels of n residual blocks, width $w_i = m\,c_i$ at level i (m model channels, $c_0 = 1$)
and N = L (n + 1), the file holds

- input blocks: 0 is the first convolution; k = 1 .. N - 1 is residual block (k - 1) mod (n + 1) of
  level (k - 1) div (n + 1), whose block n halves the image (the lowest level has none);
- a middle of residual block, attention, residual block;
- output blocks: k = 0 .. N - 1 is residual block k mod (n + 1) of level L - 1 - k div (n + 1) and
  takes the output of input block N - 1 - k as well; after block n another residual block doubles
  the image (level 0 has none);
- attention after the residual blocks of some levels that do not resize; its qkv rows are ordered
  (three, head, dim).

References: Song et al., Consistency Models, 2023, Appendix C; Dhariwal and Nichol, Diffusion Models
Beat GANs on Image Synthesis, 2021, Section 3.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from ..errors import ConfigError

GROUPS = 32


@dataclass(frozen=True)
class Architecture:
    """What a checkpoint's network is: m `model_channels`, c_i `channel_mult`, n `num_blocks`, the
    levels with attention; all but the image side and `head_channels` follow from the file."""

    model_channels: int
    channel_mult: tuple[int, ...]
    num_blocks: int
    attention: tuple[int, ...]
    scale_shift: bool
    num_classes: int | None
    in_channels: int
    out_channels: int
    size: int
    head_channels: int

    def __post_init__(self) -> None:
        levels = len(self.channel_mult)
        if self.channel_mult[:1] != (1,) or not set(self.attention) <= set(range(levels)):
            got = f"{self.channel_mult} and {self.attention}"
            must = "channel_mult must start with 1 and attention hold level indices"
            raise ConfigError(f"{must}, got {got}")
        if self.size < (factor := 2 ** (levels - 1)) or self.size % factor:
            multiple = f"a multiple of {factor} for {levels} levels"
            raise ConfigError(f"size must be {multiple}, got {self.size}")
        attended = sorted({self.widths[i] for i in self.attention} | {self.widths[-1]})
        if self.head_channels < 1 or any(width % self.head_channels for width in attended):
            must = f"divide the attention widths {', '.join(map(str, attended))}"
            raise ConfigError(f"head_channels must {must}, got {self.head_channels}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.model_channels * factor for factor in self.channel_mult)


class Layer(NamedTuple):
    """One layer with weights: key in the file, keys in `UNet2DModel` (three for qkv), shape."""

    source: str
    targets: tuple[str, ...]
    shape: tuple[int, ...]
    has_bias: bool = True

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of its tensors."""
        return ("weight", "bias") if self.has_bias else ("weight",)


@lru_cache(maxsize=64)
def layers(architecture: Architecture) -> tuple[Layer, ...]:
    """Every layer of the network, in the file's order."""
    a, n, widths = architecture, architecture.num_blocks, architecture.widths
    top, embedding = len(widths) - 1, 4 * architecture.model_channels
    found = [
        Layer("time_embed.0", ("time_embedding.linear_1",), (embedding, a.model_channels)),
        Layer("time_embed.2", ("time_embedding.linear_2",), (embedding, embedding)),
        Layer("input_blocks.0.0", ("conv_in",), (widths[0], a.in_channels, 3, 3)),
    ]
    if a.num_classes is not None:
        found.append(Layer("label_emb", ("class_embedding",), (a.num_classes, embedding), False))
    skips, width = [widths[0]], widths[0]
    for k in range(1, (top + 1) * (n + 1)):
        level, j = divmod(k - 1, n + 1)
        here, there = f"input_blocks.{k}", f"down_blocks.{level}"
        place = f"{there}.resnets.{j}" if j < n else f"{there}.downsamplers.0"
        found += _resnet(f"{here}.0", place, width, widths[level], a)
        if level in a.attention and j < n:
            found += _attention(f"{here}.1", f"{there}.attentions.{j}", widths[level])
        width = widths[level]
        skips.append(width)
    found += _resnet("middle_block.0", "mid_block.resnets.0", width, width, a)
    found += _attention("middle_block.1", "mid_block.attentions.0", width)
    found += _resnet("middle_block.2", "mid_block.resnets.1", width, width, a)
    for k in range((top + 1) * (n + 1)):
        up, j = divmod(k, n + 1)
        level, here, there = top - up, f"output_blocks.{k}", f"up_blocks.{up}"
        found += _resnet(f"{here}.0", f"{there}.resnets.{j}", width + skips.pop(), widths[level], a)
        width, attended = widths[level], level in a.attention
        if attended:
            found += _attention(f"{here}.1", f"{there}.attentions.{j}", width)
        if j == n and level > 0:
            place = f"{there}.upsamplers.0"
            found += _resnet(f"{here}.{2 if attended else 1}", place, width, width, a)
    found.append(Layer("out.0", ("conv_norm_out",), (widths[0],)))
    found.append(Layer("out.2", ("conv_out",), (a.out_channels, widths[0], 3, 3)))
    return tuple(found)


def expected_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a checkpoint; 1x1 convolutions of attention are (out, in, 1)."""
    return {
        f"{layer.source}.{name}": layer.shape if name == "weight" else layer.shape[:1]
        for layer in layers(architecture)
        for name in layer.tensors
    }


def unet_config(architecture: Architecture) -> dict[str, Any]:
    """The arguments of diffusers' `UNet2DModel`."""
    a = architecture
    attended = [level in a.attention for level in range(len(a.channel_mult))]
    down = tuple("AttnDownBlock2D" if at else "ResnetDownsampleBlock2D" for at in attended)
    up = tuple("AttnUpBlock2D" if at else "ResnetUpsampleBlock2D" for at in reversed(attended))
    return {
        "sample_size": a.size,
        "in_channels": a.in_channels,
        "out_channels": a.out_channels,
        "block_out_channels": a.widths,
        "layers_per_block": a.num_blocks,
        "down_block_types": down,
        "up_block_types": up,
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "attention_head_dim": a.head_channels,
        "norm_num_groups": GROUPS,
        "attn_norm_num_groups": GROUPS,
        "norm_eps": 1e-5,
        "act_fn": "silu",
        "freq_shift": 0,
        "flip_sin_to_cos": True,
        "resnet_time_scale_shift": "scale_shift" if a.scale_shift else "default",
        "num_class_embeds": a.num_classes,
    }


def _resnet(source: str, target: str, n_in: int, n_out: int, a: Architecture) -> list[Layer]:
    embedded = n_out * (2 if a.scale_shift else 1)
    parts = [
        ("in_layers.0", "norm1", (n_in,)),
        ("in_layers.2", "conv1", (n_out, n_in, 3, 3)),
        ("emb_layers.1", "time_emb_proj", (embedded, 4 * a.model_channels)),
        ("out_layers.0", "norm2", (n_out,)),
        ("out_layers.3", "conv2", (n_out, n_out, 3, 3)),
        *([("skip_connection", "conv_shortcut", (n_out, n_in, 1, 1))] if n_in != n_out else []),
    ]
    return [Layer(f"{source}.{key}", (f"{target}.{place}",), shape) for key, place, shape in parts]


def _attention(source: str, target: str, width: int) -> list[Layer]:
    qkv = (f"{target}.to_q", f"{target}.to_k", f"{target}.to_v")
    return [
        Layer(f"{source}.norm", (f"{target}.group_norm",), (width,)),
        Layer(f"{source}.qkv", qkv, (3 * width, width, 1)),
        Layer(f"{source}.proj_out", (f"{target}.to_out.0",), (width, width, 1)),
    ]
