"""Bringing a clean image to the channels and the size of a prior's images."""

from pathlib import Path
from typing import Literal

from torch import Tensor
from torch.nn import functional

from ..errors import ConfigError

Fit = Literal["crop", "resize", "pad"]
LUMA = (0.299, 0.587, 0.114)  # Rec. 601 weights of R, G, B


def fitted(x: Tensor, shape: tuple[int, ...], fit: Fit, path: str | Path) -> Tensor:
    """An image of another shape as (C, H, W); ConfigError where `fit` cannot do it."""
    (channels, h, w), (wanted, height, width) = x.shape, shape
    if (channels, wanted) == (3, 1):
        x = (x * x.new_tensor(LUMA)[:, None, None]).sum(0, keepdim=True)
    elif (channels, wanted) == (1, 3):
        x = x.expand(3, -1, -1).contiguous()
    elif channels != wanted:
        have = f"{path} has {channels} channels, the prior's images {wanted}"
        raise ConfigError(f"{have}; --fit converts 3 to 1 (grey) and 1 to 3 only")
    sizes = f"{path} is {h} x {w}, the prior's images are {height} x {width}"
    if fit == "resize":
        scale = min(h / height, w / width)
        part = _centre(x, max(round(height * scale), 1), max(round(width * scale), 1))
        size = (height, width)
        out = functional.interpolate(part[None], size, mode="bicubic", antialias=True)[0]
        return out.clamp(part.min(), part.max())
    if fit == "crop":
        if h < height or w < width:
            raise ConfigError(f"{sizes}: too small to crop, give --fit pad or resize")
        return _centre(x, height, width).contiguous()
    if h > height or w > width:
        raise ConfigError(f"{sizes}: too large to pad, give --fit crop or resize")
    top, left = (height - h) // 2, (width - w) // 2
    return functional.pad(x, (left, width - w - left, top, height - h - top), value=-1.0)


def _centre(x: Tensor, height: int, width: int) -> Tensor:
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]
