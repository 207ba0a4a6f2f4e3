"""N images x samples as one batch of rows, image-major, taken in blocks: what a row draws is keyed
by (seed, image, sample, step)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from ..._repr import readable
from ...errors import ConfigError
from ...noise import INIT, Noise, rows
from ...operators import observed_of
from ...types import Denoiser, Operator

Progress: TypeAlias = Callable[[int, int], Any]
"""Called as progress(step, num_steps) after every step, from 1 on."""


class Block(NamedTuple):
    """Some rows of a batch at one step."""

    y: Tensor
    """(B, *y) each row's measurement, 0 where unobserved."""
    observed: Tensor | None
    """Bool, broadcastable to (B, *y); None: all."""
    noise: Noise
    """The rows' noise of this step."""

    def repeat(self, times: int) -> "Block":
        """Every row `times` times in turn; the noise stays that of the rows."""
        return Block(self.y.repeat_interleave(times, 0), self.observed, self.noise)


@readable
@dataclass(frozen=True, eq=False, repr=False)
class Batch:
    """The rows of one call.

    Arguments:
        y: (N, *y), 0 where unobserved.
        observed: bool, broadcastable to one y; None: all.
        shape: of one x.
        num_samples: rows per image.
        seed: of all noise.
        first_image: number of y's first image in the noise's key.
        batch_size: rows per network call; None: all at once.
        progress: called after every step, or None.

    Raises:
        ConfigError: a value out of range.
    """

    y: Tensor
    observed: Tensor | None
    shape: tuple[int, ...]
    num_samples: int
    seed: int
    first_image: int
    batch_size: int | None
    progress: Progress | None

    def __post_init__(self) -> None:
        for name, least in (("num_samples", 1), ("seed", 0), ("first_image", 0)):
            whole_number(name, getattr(self, name), least)
        if self.batch_size is not None:
            whole_number("batch_size", self.batch_size, 1)

    def walk(
        self, scale: float, step: Callable[[Tensor, int, Block], Tensor], num_steps: int
    ) -> Tensor:
        """Start every row at scale times unit noise and take the steps.

        Arguments:
            scale: standard deviation of the start.
            step: (rows, number, block) -> rows after the step numbered from 0.
            num_steps: how many.

        Returns:
            (N, num_samples, *shape).
        """
        with torch.no_grad():
            x = torch.cat(
                [
                    scale * block.noise.normal(self.shape, INIT, self.y.dtype)
                    for _, block in self._blocks(0)
                ]
            )
            for i in range(num_steps):
                for part, block in self._blocks(i):
                    x[part] = step(x[part], i, block)
                if self.progress is not None:
                    self.progress(i + 1, num_steps)
        return x.unflatten(0, (len(self.y), self.num_samples))

    def _blocks(self, step: int) -> Iterator[tuple[slice, Block]]:
        noise = rows(self.seed, len(self.y), self.num_samples, self.y.device)
        total = len(noise.image)
        for start in range(0, total, self.batch_size or total):
            part = slice(start, start + (self.batch_size or total))
            image = noise.image[part]
            yield (
                part,
                Block(
                    self.y[image],
                    self.observed,
                    Noise(self.seed, image + self.first_image, noise.chain[part], step),
                ),
            )


def measured(
    denoiser: Denoiser,
    operator: Operator,
    y: Tensor,
    num_samples: int,
    seed: int,
    first_image: int,
    batch_size: int | None,
    progress: Progress | None,
) -> Batch:
    """The batch of a method that restores measurements.

    Arguments:
        denoiser: f(x_t, sigma).
        operator: A.
        y: (N, *y); unobserved entries are not read.
        num_samples: rows per image.
        seed: of all noise.
        first_image: number of y's first image in the noise's key.
        batch_size: rows per network call; None: all at once.
        progress: called after every step, or None.

    Returns:
        The batch.

    Raises:
        ConfigError: the denoiser is none, y does not fit the operator, or an observed entry is not
            finite.
    """
    if not hasattr(denoiser, "sigma_min"):
        raise ConfigError(
            f"denoiser must be such as prior.denoiser, f(x_t, sigma), got {type(denoiser).__name__}"
        )
    if not isinstance(y, Tensor) or not y.is_floating_point() or y.ndim == 0 or len(y) == 0:
        found = f"{y.dtype} {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ConfigError(
            f"y must be a floating-point tensor (images, *y) with one image or more, got {found}"
        )
    shape = tuple(denoiser.shape)
    with torch.no_grad():
        expected = tuple(operator(y.new_zeros(1, *shape)).shape[1:])
    if tuple(y.shape[1:]) != expected:
        raise ConfigError(
            f"y has shape {tuple(y.shape)}, but A(x) of one image has shape {expected}: y must "
            f"be (images, {', '.join(map(str, expected))})"
        )
    observed = observed_of(operator, shape)
    if observed is not None:
        observed = observed.to(y.device)
        y = torch.where(observed, y, y.new_zeros(()))
    bad = int((~torch.isfinite(y)).sum())
    if bad:
        raise ConfigError(
            f"y has {bad} observed entries that are not finite: hide them by the operator's "
            "mask, such as nw.operators.MaskInpainting(mask)"
        )
    return Batch(y, observed, shape, num_samples, seed, first_image, batch_size, progress)


def whole_number(name: str, value: Any, least: int) -> None:
    """ConfigError unless the value is a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value!r}")


def weight(name: str, value: Any) -> None:
    """ConfigError unless the value is a finite number of at least 0."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) < math.inf:
        raise ConfigError(f"{name} must be a finite number of at least 0, got {value!r}")
