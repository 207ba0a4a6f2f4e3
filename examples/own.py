"""A prior of one's own: faint extended emission with brighter knots, as a torch module.

`noisewalk sample --prior own.py:prior` calls `prior`, which returns a map from noise to images.
"""

import torch
from torch import Tensor
from torch.nn import functional

import noisewalk as nw

SHAPE = (48, 80)
WIDE, NARROW = 6.0, 1.5  # pixels: the scales of the emission and of its knots


class Sky(torch.nn.Module):
    """Two fields of white noise, each smoothed, and the exponential of their sum as brightness.

    An image of -1 is dark, and one of 1 is as bright as the upper end of `--range`. Brighter pixels
    are rare, and not cut off.
    """

    def forward(self, z: Tensor) -> Tensor:
        """(B, 2, H, W) noise to (B, 1, H, W) images."""
        wide, narrow = smoothed(z[:, :1], WIDE), smoothed(z[:, 1:], NARROW)
        return 2 * torch.exp(wide + 0.7 * narrow - 2.5) - 1


def smoothed(z: Tensor, scale: float) -> Tensor:
    """White noise smoothed by a Gaussian, of standard deviation 1 again."""
    at = torch.arange(-int(3 * scale), int(3 * scale) + 1, dtype=z.dtype, device=z.device)
    taps = torch.exp(-0.5 * (at / scale) ** 2)
    taps = taps / taps.square().sum().sqrt()
    half = len(at) // 2
    rows = functional.conv2d(z, taps.view(1, 1, -1, 1), padding=(half, 0))
    return functional.conv2d(rows, taps.view(1, 1, 1, -1), padding=(0, half))


def prior() -> nw.types.NoiseMap:
    """The map that `--prior own.py:prior` takes."""
    return nw.maps.Generator(Sky(), (2, *SHAPE), (1, *SHAPE))
