r"""Networks of diffusers that keep fewer activations for a gradient in their input.

A convolution keeps its input for the gradient of its weights, also where they are frozen. Group
norm followed by SiLU keeps the input of both. Here, with weights that need no gradient, a
convolution keeps its weights alone, and $h(x) = \mathrm{silu}(a\,\mathrm{norm}(x) + b)$ keeps x
and runs the norm again backwards. Values are the same; gradients are the same to rounding.
Training, forward mode and compilation run the layers as they are.
"""

from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.forward_ad import unpack_dual
from torch.nn.grad import conv2d_input

SMALL = 2**18
"""Entries of an input below which there is less to save than the saving costs."""
SCHEMES = ("default", "scale_shift")
"""Ways of a block to take its time that are known here."""


def make_lean(network: nn.Module) -> None:
    """Give the layers of a network that are known here another `forward`; what it computes, its
    weights and their names stay as they are."""
    from diffusers.models.resnet import ResnetBlock2D

    for module in network.modules():
        if type(module) is nn.Conv2d and module.padding_mode == "zeros":
            module.forward = partial(convolve, module)  # type: ignore[method-assign]
        elif type(module) is ResnetBlock2D and _known(module):
            module.forward = partial(run_block, module)  # type: ignore[method-assign]


def convolve(own: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution that keeps its weights alone, of x (B, C, H, W)."""
    small = x.numel() < SMALL or isinstance(own.padding, str)
    if small or not _input_alone(x, own.weight, own.bias):
        return nn.Conv2d.forward(own, x)
    how = (own.stride, own.padding, own.dilation, own.groups)
    return cast(Tensor, _Conv.apply(x, own.weight, own.bias, how))


def run_block(own: Any, x: Tensor, temb: Tensor | None, *args: Any, **kwargs: Any) -> Tensor:
    """A residual block that keeps its input and what its first convolution gives, of x
    (B, C, H, W) and the embedding of the time (B, D)."""
    if args or kwargs or x.numel() < SMALL or not _input_alone(x, temb, *own.parameters()):
        return cast(Tensor, type(own).forward(own, x, temb, *args, **kwargs))
    h, scale, shift = norm_silu(x, own.norm1), None, None
    if (resize := own.upsample or own.downsample) is not None:
        x, h = resize(x), resize(h)
    h = own.conv1(h)
    if own.time_emb_proj is not None:
        temb = temb if own.skip_time_act else F.silu(cast(Tensor, temb))
        shift = own.time_emb_proj(temb)[:, :, None, None]
        if own.time_embedding_norm == "scale_shift":
            scale, shift = shift.chunk(2, dim=1)
        else:
            h, shift = h + shift, None
    h = own.conv2(norm_silu(h, own.norm2, scale, shift))
    if own.conv_shortcut is not None:
        x = own.conv_shortcut(x)
    return cast(Tensor, (x + h) / own.output_scale_factor)


def norm_silu(
    x: Tensor, norm: nn.GroupNorm, scale: Tensor | None = None, shift: Tensor | None = None
) -> Tensor:
    """silu(norm(x) (1 + scale) + shift), of x (B, C, H, W); scale and shift are (B, C, 1, 1)."""
    return cast(Tensor, _NormSilu.apply(x, norm, scale, shift)[0])


def _known(block: Any) -> bool:
    """Whether a block does what `run_block` does."""
    usual = isinstance(block.nonlinearity, nn.SiLU) and block.dropout.p == 0
    timed = block.time_emb_proj is not None or block.time_embedding_norm == "default"
    return usual and timed and block.time_embedding_norm in SCHEMES


def _input_alone(x: Tensor, *others: Tensor | None) -> bool:
    """Whether a backward pass is to come that reaches x and none of the others."""
    if not torch.is_grad_enabled() or not x.requires_grad or torch.compiler.is_compiling():
        return False
    given = [tensor for tensor in others if tensor is not None]
    return unpack_dual(x).tangent is None and not any(tensor.requires_grad for tensor in given)


class _Conv(Function):
    """A convolution with frozen weights; its gradient can be differentiated."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, how: tuple[Any, ...]) -> Tensor:
        return F.conv2d(x, weight, bias, *how)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])
        ctx.shape, ctx.how = inputs[0].shape, inputs[3]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:  # type: ignore[override]
        (weight,) = ctx.saved_tensors
        return conv2d_input(ctx.shape, weight, g, *ctx.how), None, None, None


class _NormSilu(Function):
    """`norm_silu` with frozen weights; its gradient can be differentiated."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, norm: nn.GroupNorm, scale: Tensor | None, shift: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        own = norm.weight, norm.bias
        y, mean, rstd = torch.native_group_norm(x.contiguous(), *own, *_sizes(x, norm), norm.eps)
        return F.silu(_moved(y, scale, shift), inplace=True), mean, rstd

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, ctx.norm, scale, shift = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(x, scale, shift, *output[1:])

    @staticmethod
    def backward(ctx: Any, g: Tensor, *_: Any) -> Any:  # type: ignore[override]
        x, scale, shift, mean, rstd = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated
            return _slope(x, ctx.norm, scale, shift, g), None, None, None
        x, norm, sizes = x.contiguous(), ctx.norm, _sizes(x, ctx.norm)
        y = torch.native_group_norm(x, norm.weight, norm.bias, *sizes, norm.eps)[0]
        h = torch.ops.aten.silu_backward(g, _moved(y, scale, shift))
        h = (h if scale is None else h * (1 + scale)).contiguous()
        back, wanted = torch.ops.aten.native_group_norm_backward, [True, False, False]
        return back(h, x, mean, rstd, norm.weight, *sizes, wanted)[0], None, None, None


def _slope(
    x: Tensor, norm: nn.GroupNorm, scale: Tensor | None, shift: Tensor | None, g: Tensor
) -> Tensor:
    """The gradient of <g, norm_silu> in x, of operations that have derivatives."""
    weight, bias = (own.view(-1, *[1] * (x.ndim - 2)) for own in (norm.weight, norm.bias))
    grouped = (len(x), norm.num_groups, -1)
    groups = x.reshape(grouped)
    rstd = (groups.var(-1, unbiased=False, keepdim=True) + norm.eps).rsqrt()
    normed = (groups - groups.mean(-1, keepdim=True)) * rstd
    h = _moved(normed.view_as(x) * weight + bias, scale, shift)
    on = torch.sigmoid(h)
    into = g * on * (1 + h * (1 - on)) * weight
    into = (into if scale is None else into * (1 + scale)).reshape(grouped)
    along = normed * (into * normed).mean(-1, keepdim=True)
    return (rstd * (into - into.mean(-1, keepdim=True) - along)).view_as(x)


def _sizes(x: Tensor, norm: nn.GroupNorm) -> tuple[int, int, int, int]:
    rows, channels = x.shape[:2]
    return rows, channels, x[0, 0].numel(), norm.num_groups


def _moved(y: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    if scale is None or shift is None:
        return y
    return y * (1 + scale) + shift
