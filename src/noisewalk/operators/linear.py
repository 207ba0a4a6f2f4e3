"""Linear operators on the last two axes of (B, C, H, W) or (B, H, W), each channel alone."""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .._checks import one_of, real, whole
from .._intake import plain
from .._repr import readable
from ..errors import ConfigError
from ..types import Operator
from .arrays import floating, real_array, sides


@torch.inference_mode(False)
def adjoint(operator: Operator, y: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A^T y of a linear operator, masks included, exact: the vector-Jacobian product of A.

    Arguments:
        operator: a linear operator.
        y: (B, *y).
        shape: of one x.

    Returns:
        (B, *x).

    Example:
        >>> nw.operators.adjoint(nw.operators.AveragePool(2), torch.ones(1, 1, 1), (2, 2))[0, 0]
        tensor([0.2500, 0.2500])
    """
    with torch.enable_grad():
        y = plain("y", y)
        x = y.new_zeros(y.shape[0], *shape).requires_grad_()
        return torch.autograd.grad(operator(x), x, y)[0]


@readable
@dataclass(frozen=True, repr=False)
class AveragePool:
    """Downsampling: each entry of y is the mean of a factor x factor square of pixels.

    Arguments:
        factor: the square's side.
        edge: what happens to the last rows and columns where it does not divide H and W: "crop"
            leaves them out, "pad" averages over the pixels that are there; None: an error.

    Raises:
        ConfigError: if the factor is not a whole number of at least 1, or the edge is another.

    Example:
        >>> nw.operators.AveragePool(2)(torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]))
        tensor([[[[1.5000]]]])
        >>> nw.operators.AveragePool(2, edge="pad")(torch.tensor([[[[0.0, 1.0, 2.0]]]]))
        tensor([[[[0.5000, 2.0000]]]])
    """

    factor: int
    edge: str | None = field(default=None, metadata={"quiet": True})

    def __post_init__(self) -> None:
        if self.edge is not None:
            one_of("AveragePool's edge", self.edge, ("crop", "pad"))
        vars(self).update(factor=whole("AveragePool's factor", self.factor))

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H / factor, W / factor)."""
        shape, planes = self.output_shape(x.shape[1:]), x.reshape(len(x), -1, *x.shape[-2:])
        pooled = F.avg_pool2d(planes, self.factor, ceil_mode=self.edge == "pad")
        return pooled.reshape(len(x), *shape)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y; ConfigError if the factor does not divide H and W."""
        height, width = sides("AveragePool", shape)
        if self.edge is None and (height % self.factor or width % self.factor):
            must = f"AveragePool's factor {self.factor} must divide the sides, got"
            ways = "edge=crop leaves the rest out, edge=pad averages it"
            raise ConfigError(f"{must} {height} x {width}: {ways}")
        more = self.factor - 1 if self.edge == "pad" else 0
        small = (height + more) // self.factor, (width + more) // self.factor
        if not all(small):
            raise ConfigError(f"AveragePool's factor {self.factor} is beyond {height} x {width}")
        return (*shape[:-2], *small)

    def input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of x for this shape of y, the largest one."""
        more = self.factor - 1 if self.edge == "crop" else 0
        return (*shape[:-2], *(side * self.factor + more for side in sides("AveragePool", shape)))


@dataclass(frozen=True)
class Identity:
    """The image itself: for denoising, and for gaps that the measurement marks.

    Example:
        >>> nw.operators.Identity()(torch.ones(1, 2))
        tensor([[1., 1.]])
    """

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *x) -> (B, *x)."""
        return x


@dataclass(frozen=True)
class GaussianBlur:
    r"""Blur by a sampled Gaussian, $y = M_H x M_W^T$ with banded M; reflection at the border.

    The weights are $w_k \propto \exp(-k^2 / 2 s^2)$, $|k| \le r = \lfloor 4 s + 1/2 \rfloor$, and
    sum to 1: scipy's `gaussian_filter(std)` of a delta in a kernel_size x kernel_size array. Where
    r exceeds half that array, they are folded back at its edge, as scipy does.

    Arguments:
        kernel_size: side of the array, odd.
        std: s in pixels, positive and at most kernel_size.

    Raises:
        ConfigError: if a value is outside these ranges.

    Example:
        >>> nw.operators.GaussianBlur(kernel_size=3, std=0.5)(torch.eye(3)[None])[0, 0]
        tensor([0.6642, 0.2518, 0.0456])
    """

    kernel_size: int = 61
    std: float = 3.0
    radius: int = field(init=False, repr=False)  # pixels beyond the border that are read

    @torch.inference_mode(False)
    def __post_init__(self) -> None:
        size = whole("GaussianBlur's kernel_size", self.kernel_size)
        if size % 2 == 0:
            raise ConfigError(f"GaussianBlur's kernel_size must be odd, got {size}")
        std = real("GaussianBlur's std", self.std, above=0, most=size)
        vars(self).update(kernel_size=size, std=std, radius=min(int(4 * std + 0.5), size // 2))

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *x) -> (B, *x)."""
        floating("GaussianBlur", x)
        self.output_shape(x.shape[1:])
        height, width = (self._matrix(side).to(x) for side in x.shape[-2:])
        return height @ x @ width.mT

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y, that of x; ConfigError if the image is too small for the kernel."""
        height, width = sides("GaussianBlur", shape)
        if self.radius >= min(height, width):
            raise ConfigError(
                f"GaussianBlur's kernel reaches {self.radius} pixels, which must be below the "
                f"image's sides, got {height} x {width}: use a smaller std or kernel_size"
            )
        return tuple(shape)

    def _taps(self) -> Tensor:
        reach, middle, size = int(4 * self.std + 0.5), self.kernel_size // 2, self.kernel_size
        offset = torch.arange(-reach, reach + 1)
        weights = torch.exp(-0.5 * (offset.to(torch.float64) / self.std) ** 2)
        weights = weights / weights.sum()
        if reach <= middle:
            return weights
        place = (middle + offset) % (2 * size)
        place = torch.where(place < size, place, 2 * size - 1 - place)
        return weights.new_zeros(size).index_add_(0, place, weights)

    def _matrix(self, side: int) -> Tensor:
        column = (torch.arange(side)[:, None] + torch.arange(-self.radius, self.radius + 1)).abs()
        column = torch.where(column < side, column, 2 * (side - 1) - column)
        matrix = torch.zeros(side, side, dtype=torch.float64)
        return matrix.scatter_add_(1, column, self._taps().expand(side, -1))


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Convolution:
    r"""Convolution with a kernel such as a measured point-spread function.

    $y_i = \sum_u k_u x_{i + c - u}$ with c = size // 2: a bright pixel becomes the kernel,
    unflipped. A kernel of sum 1 keeps the brightness. scipy's `ndimage.convolve(mode="mirror")`
    is the same with the usual boundary.

    Arguments:
        kernel: 2-D array or tensor with sides of any parity, finite, of sum other than 0.
        boundary: what x is beyond its border: "reflect" mirrors it, "zero" has nothing there, and
            "wrap" repeats it; "valid" leaves out the entries of y that would read there.

    Raises:
        ConfigError: if the kernel is not such an array, or the boundary is another.

    Example:
        >>> nw.operators.Convolution([[0.0, 0.0, 1.0]])(torch.tensor([[[1.0, 2.0, 3.0]]]))
        tensor([[[2., 1., 2.]]])
    """

    kernel: Tensor = field(metadata={"held": True})
    boundary: str = field(default="reflect", metadata={"quiet": True})

    @torch.inference_mode(False)
    def __post_init__(self) -> None:
        kernel = real_array("Convolution's kernel", self.kernel, (2,)).astype(np.float64)
        one_of("Convolution's boundary", self.boundary, tuple(MODES))
        if not np.isfinite(kernel).all():
            count = int((~np.isfinite(kernel)).sum())
            raise ConfigError(f"Convolution's kernel must be finite, but {count} entries are not")
        if abs(kernel.sum()) <= 1e-12 * np.abs(kernel).sum():
            raise ConfigError("Convolution's kernel must not sum to 0: some light must be kept")
        vars(self).update(kernel=torch.from_numpy(kernel))

    def __call__(self, x: Tensor) -> Tensor:
        """(B, *x) -> (B, *y)."""
        floating("Convolution", x)
        shape = self.output_shape(x.shape[1:])
        high, wide = self.kernel.shape
        planes = x.reshape(-1, 1, *x.shape[-2:])
        if (mode := MODES[self.boundary]) is not None:
            borders = ((wide - 1) // 2, wide // 2, (high - 1) // 2, high // 2)
            planes = F.pad(planes, borders, mode=mode)
        return F.conv2d(planes, self.kernel.flip(0, 1).to(x)[None, None]).reshape(len(x), *shape)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one y; ConfigError if the image is too small for the kernel."""
        height, width = sides("Convolution", shape)
        high, wide = self.kernel.shape
        if high // 2 >= height or wide // 2 >= width:
            raise ConfigError(
                f"Convolution's kernel ({high} x {wide}) must reach less far than the image's "
                f"sides, got {height} x {width}: crop the kernel"
            )
        if self.boundary != "valid":
            return tuple(shape)
        if high > height or wide > width:
            raise ConfigError(f"Convolution's kernel ({high} x {wide}) leaves nothing valid")
        return (*shape[:-2], height - high + 1, width - wide + 1)

    def input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of x for this shape of y."""
        height, width = sides("Convolution", shape)
        high, wide = self.kernel.shape if self.boundary == "valid" else (1, 1)
        return (*shape[:-2], height + high - 1, width + wide - 1)


MODES = {"reflect": "reflect", "zero": "constant", "wrap": "circular", "valid": None}
"""torch's names of the ways to go on beyond the border."""
