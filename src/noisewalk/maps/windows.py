r"""A denoiser on a field of any size, by overlapping windows of one size.

The windows lie on a grid with a stride that leaves $2 m + b$ pixels of overlap. Of every window
the m pixels at each inner edge are dropped, since they miss what lies beyond it, and neighbours are
blended linearly over the b pixels that still overlap: with the weights $w_i$ of the windows $f_i$,
$$f(x) = \sum_i w_i f_i(x) \Big/ \sum_i w_i .$$
It is one function of the whole field, and as smooth as the denoiser.
"""

from dataclasses import dataclass, field
from itertools import product

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual
from torch.utils.checkpoint import checkpoint

from .._checks import whole
from .._repr import readable
from ..errors import ConfigError
from ..types import Denoiser

PIXELS_AT_ONCE = 1 << 16  # of windows in one network call
Window = tuple[slice, slice]


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Windows:
    """f(x_t, sigma) on fields (C, H, W) by windows of the denoiser, which must be convolutional.

    A call costs `num_windows` network calls of one window each, `overlap` times the field's pixels.
    Backwards each group of windows is run again, so that memory does not grow with the field.

    Arguments:
        denoiser: takes images of the window's size.
        shape: (C, H, W) of the field.
        window: side of a window; along a side of the field that is shorter, there is one window.
        margin: pixels m dropped at each inner edge.
        multiple: the network's own stride: of sides, of the windows' places, and the b pixels that
            are blended.

    Raises:
        ConfigError: a value out of range, or windows too small for their margins.

    Example:
        >>> from noisewalk.maps.windows import Windows
        >>> f = lambda x_t, sigma: x_t / 2
        >>> f.shape, f.sigma_min, f.sigma_max = (1, 16, 16), 0.002, 80.0
        >>> windowed = Windows(f, (1, 16, 40), window=16, margin=2, multiple=4)
        >>> windowed.num_windows, windowed(torch.ones(1, 1, 16, 40), torch.tensor(1.0)).unique()
        (4, tensor([0.5000]))
    """

    denoiser: Denoiser
    shape: tuple[int, int, int]
    window: int = 128
    margin: int = 32
    multiple: int = 8
    sigma_min: float = field(init=False, repr=False)
    sigma_max: float = field(init=False, repr=False)
    places: tuple[Window, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.shape) != 3:
            raise ConfigError(f"a field has shape (C, H, W), got {self.shape!r}")
        step = whole("Windows' multiple", self.multiple)
        for name, side in (("H", self.shape[1]), ("W", self.shape[2]), ("window", self.window)):
            if whole(name, side) % step:
                raise ConfigError(f"{name} must be a multiple of {step}, got {side}")
        whole("margin", self.margin, 0)
        rows, columns = (_places(side, self.window, self.margin, step) for side in self.shape[1:])
        low, high = self.denoiser.sigma_min, self.denoiser.sigma_max
        vars(self).update(
            sigma_min=low,
            sigma_max=high,
            places=tuple(product(rows, columns)),
            shape=tuple(self.shape),
        )

    @property
    def num_windows(self) -> int:
        """Windows of a field."""
        return len(self.places)

    @property
    def overlap(self) -> float:
        """Pixels of all windows over those of the field."""
        rows, columns = self.places[0]
        inside = (rows.stop - rows.start) * (columns.stop - columns.start)
        return self.num_windows * inside / (self.shape[1] * self.shape[2])

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """(B, C, H, W) and a scalar or (B,) -> (B, C, H, W)."""
        sigma = sigma.to(x_t.dtype).expand(len(x_t))
        out, total = torch.zeros_like(x_t), x_t.new_zeros(self.shape[1:])
        for places in self._groups(x_t):
            crops = torch.cat([x_t[:, :, rows, columns] for rows, columns in places])
            levels = sigma.repeat(len(places))
            again = self.num_windows > len(places) and torch.is_grad_enabled()
            if again and unpack_dual(x_t).tangent is None:
                made = checkpoint(
                    self.denoiser, crops, levels, use_reentrant=False, preserve_rng_state=False
                )
            else:
                made = self.denoiser(crops, levels)
            for (rows, columns), part in zip(places, made.chunk(len(places)), strict=True):
                weight = self._weight(rows, columns).to(x_t)
                out[:, :, rows, columns] += weight * part
                total[rows, columns] += weight
        return out / total

    def _groups(self, x_t: Tensor) -> list[tuple[Window, ...]]:
        """The windows, as many at once as `PIXELS_AT_ONCE` lets all rows of the batch have."""
        rows, columns = self.places[0]
        size = len(x_t) * (rows.stop - rows.start) * (columns.stop - columns.start)
        count = max(1, PIXELS_AT_ONCE // size)
        return [self.places[i : i + count] for i in range(0, self.num_windows, count)]

    def _weight(self, rows: slice, columns: slice) -> Tensor:
        height, width = self.shape[1:]
        return self._ramp(rows, height)[:, None] * self._ramp(columns, width)

    def _ramp(self, place: slice, side: int) -> Tensor:
        """1 inside, 0 in the margins of inner edges, linear over b pixels between."""
        at = torch.arange(place.stop - place.start) + 0.5
        before = (at - self.margin) / self.multiple if place.start > 0 else torch.ones_like(at)
        behind = at.flip(0)
        after = (behind - self.margin) / self.multiple if place.stop < side else torch.ones_like(at)
        return before.clamp(0, 1) * after.clamp(0, 1)


def _places(side: int, window: int, margin: int, step: int) -> list[slice]:
    """Where the windows lie along one side: evenly but for the last, which ends with the field."""
    if side <= window:
        return [slice(0, side)]
    stride = (window - 2 * margin - step) // step * step
    if stride < step:
        least = 2 * margin + 2 * step
        raise ConfigError(
            f"a window of {window} is too small for margins of {margin} at both edges: give "
            f"window={-(-least // step) * step} or more, or a smaller margin"
        )
    count = -(-(side - window) // stride) + 1
    starts = [min(i * stride, side - window) for i in range(count)]
    return [slice(start, start + window) for start in starts]
