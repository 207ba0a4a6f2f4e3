r"""The denoiser f(x_t, sigma): a network under EDM's or the consistency model's scaling.

$$f(x, \sigma) = c_{out} F(c_{in} x, t') + c_{skip} x, \qquad
t' = 250 \ln(\sigma + 10^{-44}), \qquad c_{in} = 1 / \sqrt{\sigma^2 + \sigma_d^2}$$

- EDM: $c_{skip} = \sigma_d^2 / (\sigma^2 + \sigma_d^2)$,
  $c_{out} = \sigma \sigma_d / \sqrt{\sigma^2 + \sigma_d^2}$.
- Consistency: the same with $\sigma - \sigma_{min}$ for the explicit $\sigma$ of $c_{skip}$ and
  $c_{out}$'s numerators, so that $f(x, \sigma_{min}) = x$.

References: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022,
Table 1; Song et al., Consistency Models, 2023, Appendix C.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual
from torch.utils.checkpoint import checkpoint

from .._checks import one_of
from .._repr import readable
from ..errors import ConfigError
from ..maps.per_image import Labels, labels_of

KINDS = ("edm", "consistency")
TIME_SCALE = 250.0  # of ln sigma in t'; EDM's own is 1/4
LAYERS = ("resnets", "attentions", "downsamplers", "upsamplers")  # of diffusers' blocks


@readable
@dataclass(frozen=True, eq=False, repr=False)
class NetworkDenoiser:
    """f(x_t, sigma) from a network called as `network(x, t, class_labels).sample`, within a
    pixel-unshuffle by a factor; with `checkpoint` the backward pass runs each layer again, for less
    memory and the same bits."""

    network: nn.Module
    kind: str
    shape: tuple[int, ...]
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    unshuffle: int = 1
    label: int | Labels | None = None
    checkpoint: bool = False
    time_scale: float = TIME_SCALE

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS)
        prepare(self.network)
        object.__setattr__(self, "_twin", _recomputing(self.network) if self.checkpoint else None)

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """The clean image, never clamped, of x_t (B, C, H, W); sigma is a scalar or (B,)."""
        sigma = sigma.to(x_t.dtype).expand(x_t.shape[0])
        s = sigma.view(-1, *[1] * (x_t.ndim - 1))
        variance = s**2 + self.sigma_data**2
        lowest = self.sigma_min if self.kind == "consistency" else 0.0
        c_skip = self.sigma_data**2 / ((s - lowest) ** 2 + self.sigma_data**2)
        c_out = (s - lowest) * self.sigma_data * variance.rsqrt()
        h = x_t * variance.rsqrt()
        if self.unshuffle > 1:
            h = F.pixel_unshuffle(h, self.unshuffle)
        labels = labels_of(self.label, h)
        backward = torch.is_grad_enabled() and unpack_dual(x_t).tangent is None
        own: Any = self
        network: nn.Module = own._twin if self.checkpoint and backward else self.network
        dtype = next(self.network.parameters()).dtype
        t = self.time_scale * torch.log(sigma + 1e-44)
        # the time stays in the state's type: bfloat16 cannot tell 1095 from 1096
        t = t.to(torch.promote_types(t.dtype, dtype))
        h = network(h.to(dtype), t, class_labels=labels).sample
        if self.unshuffle > 1:
            h = F.pixel_shuffle(h, self.unshuffle)
        return c_out * h.to(x_t.dtype) + c_skip * x_t


def check_kind(name: str, denoiser: NetworkDenoiser, kind: str) -> None:
    """Refuse a denoiser of another kind than a loss is made for."""
    if denoiser.kind != kind:
        must = f"{name} must be a denoiser of kind {kind!r}"
        raise ConfigError(f"{must}, got one of kind {denoiser.kind!r}")


def prepare(network: nn.Module) -> None:
    """Let the network be differentiated forward, and compiled: group norm then wants a contiguous
    input."""
    for module in network.modules():
        hooked = _contiguous in module._forward_pre_hooks.values()
        if isinstance(module, nn.GroupNorm) and not hooked:
            module.register_forward_pre_hook(_contiguous)


def _contiguous(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if torch.compiler.is_compiling() or unpack_dual(args[0]).tangent is not None:
        return (args[0].contiguous(), *args[1:])
    return None


def _recomputing(network: nn.Module) -> nn.Module:
    """A copy of the network that shares its weights and checkpoints each layer, attention too."""
    tensors = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    twin = copy.deepcopy(network, tensors)
    lists = [getattr(module, name, None) for module in twin.modules() for name in LAYERS]
    held = [layers for layers in lists if isinstance(layers, nn.ModuleList)]
    if not held:
        needs = "checkpoint needs a network of diffusers' blocks, such as UNet2DModel"
        raise ConfigError(f"{needs}, got {type(network).__name__}: leave it out")
    for layers in held:
        for i, layer in enumerate(layers):
            if layer is not None:  # a middle block without attention
                layers[i] = _Recomputed(layer)
    return twin


class _Recomputed(nn.Module):
    """A layer under activation checkpointing."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        kwargs |= {"use_reentrant": False, "preserve_rng_state": False}
        return checkpoint(self.layer, *args, **kwargs)
