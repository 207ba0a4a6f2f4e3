"""The published layout of consistency models' networks as a plain transcription of its formulas:
what `network.py` compares ours with.

Key names are those of the published checkpoints; every layer is the formula as one would write it
down: explicit attention weights, a separate operation for every step, float32, parameters that
require gradients.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noisewalk.priors.openai_layers import Architecture


class Residual(nn.Module):
    """x + conv(silu(scale-shift(norm(conv(resize(silu(norm(x)))))))), resized on both branches."""

    def __init__(
        self, n_in: int, n_out: int, embedding: int, scale_shift: bool, resize: str | None = None
    ) -> None:
        super().__init__()
        self.scale_shift, self.resize = scale_shift, resize
        self.in_layers = nn.Sequential(
            nn.GroupNorm(32, n_in), nn.SiLU(), nn.Conv2d(n_in, n_out, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(
            nn.SiLU(), nn.Linear(embedding, 2 * n_out if scale_shift else n_out)
        )
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, n_out),
            nn.SiLU(),
            nn.Dropout(0.0),
            nn.Conv2d(n_out, n_out, 3, padding=1),
        )
        self.skip_connection = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        norm, act, conv = self.in_layers
        h = act(norm(x))
        if self.resize == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        elif self.resize == "up":
            h, x = (F.interpolate(v, scale_factor=2, mode="nearest") for v in (h, x))
        h = conv(h)
        e = self.emb_layers(emb)[:, :, None, None]
        norm, *rest = self.out_layers
        if self.scale_shift:
            scale, shift = e.chunk(2, 1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + e)
        for layer in rest:
            h = layer(h)
        return self.skip_connection(x) + h


class Attention(nn.Module):
    """x + proj(softmax(q^T k / sqrt(dim)) v) over the pixels, head by head."""

    def __init__(self, width: int, head_channels: int) -> None:
        super().__init__()
        self.heads = width // head_channels
        self.norm = nn.GroupNorm(32, width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        q, k, v = self.qkv(self.norm(flat)).unflatten(1, (3 * self.heads, -1)).chunk(3, 1)
        scale = q.shape[2] ** -0.25
        weight = torch.einsum("bhct,bhcs->bhts", q * scale, k * scale).float().softmax(-1)
        h = torch.einsum("bhts,bhcs->bhct", weight, v).flatten(1, 2)
        return (flat + self.proj_out(h)).reshape(x.shape)


class PlainUNet(nn.Module):
    """F(x, t, label); its blocks follow the docstring of `noisewalk.priors.openai_layers`, written
    anew."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.model_channels, embedding, widths = a.model_channels, 4 * a.model_channels, a.widths

        def residual(n_in: int, n_out: int, resize: str | None = None) -> Residual:
            return Residual(n_in, n_out, embedding, a.scale_shift, resize)

        def attention(level: int) -> list[nn.Module]:
            return [Attention(widths[level], a.head_channels)] if level in a.attention else []

        self.time_embed = nn.Sequential(
            nn.Linear(a.model_channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.label_emb = nn.Embedding(a.num_classes, embedding) if a.num_classes else None
        self.input_blocks = nn.ModuleList(
            [nn.ModuleList([nn.Conv2d(a.in_channels, widths[0], 3, padding=1)])]
        )
        width, skips = widths[0], [widths[0]]
        for level in range(len(widths)):
            for _ in range(a.num_blocks):
                self.input_blocks.append(
                    nn.ModuleList([residual(width, widths[level]), *attention(level)])
                )
                width = widths[level]
                skips.append(width)
            if level < len(widths) - 1:
                self.input_blocks.append(nn.ModuleList([residual(width, width, "down")]))
                skips.append(width)
        self.middle_block = nn.ModuleList(
            [residual(width, width), Attention(width, a.head_channels), residual(width, width)]
        )
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(len(widths))):
            for j in range(a.num_blocks + 1):
                layers = [residual(width + skips.pop(), widths[level]), *attention(level)]
                width = widths[level]
                if level > 0 and j == a.num_blocks:
                    layers.append(residual(width, width, "up"))
                self.output_blocks.append(nn.ModuleList(layers))
        self.out = nn.Sequential(
            nn.GroupNorm(32, width), nn.SiLU(), nn.Conv2d(width, a.out_channels, 3, padding=1)
        )

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        half = self.model_channels // 2
        angles = t[:, None] * torch.exp(
            -math.log(10000) * torch.arange(half, device=t.device) / half
        )
        emb = self.time_embed(torch.cat([angles.cos(), angles.sin()], 1))
        if self.label_emb is not None:
            emb = emb + self.label_emb(label)
        h, skips = x, []
        for block in self.input_blocks:
            h = apply(block, h, emb)
            skips.append(h)
        h = apply(self.middle_block, h, emb)
        for block in self.output_blocks:
            h = apply(block, torch.cat([h, skips.pop()], 1), emb)
        return self.out(h)


def apply(block: nn.ModuleList, h: Tensor, emb: Tensor) -> Tensor:
    for layer in block:
        h = layer(h, emb) if isinstance(layer, Residual) else layer(h)
    return h


class PlainMap(nn.Module):
    """Phi(z) = f(80 z, 80) with f(x, s) = c_out F(c_in x, 250 ln s) + c_skip x."""

    def __init__(
        self,
        network: PlainUNet,
        label: int | None,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        sigma_data: float = 0.5,
    ) -> None:
        super().__init__()
        self.network, self.label = network, label
        self.sigma_min, self.sigma_max, self.sigma_data = sigma_min, sigma_max, sigma_data

    def forward(self, z: Tensor) -> Tensor:
        s, low, data = (
            z.new_full((len(z), 1, 1, 1), self.sigma_max),
            self.sigma_min,
            self.sigma_data,
        )
        x = s * z
        c_in = 1 / (s**2 + data**2).sqrt()
        c_skip = data**2 / ((s - low) ** 2 + data**2)
        c_out = (s - low) * data / (s**2 + data**2).sqrt()
        label = None if self.label is None else torch.full((len(z),), self.label, device=z.device)
        return (
            c_out * self.network(c_in * x, 250 * torch.log(s.flatten() + 1e-44), label) + c_skip * x
        )
