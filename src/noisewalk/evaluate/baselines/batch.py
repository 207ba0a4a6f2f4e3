"""N images x samples as one batch of rows, image-major, taken in blocks: what a row draws is keyed
by (seed, image, sample, step)."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..._checks import seed_of, whole
from ..._intake import plain
from ..._progress import show
from ...errors import ConfigError
from ...maps.per_image import num_images
from ...noise import INIT, Noise, rows
from ...operators import observed_of
from ...types import Denoiser, Operator, Tick


class Block(NamedTuple):
    """Some rows of a batch at one step."""

    y: Tensor  # (B, *y) each row's measurement, 0 where unobserved
    observed: Tensor | None  # bool, broadcastable to (B, *y); None: all
    noise: Noise  # the rows' noise of this step
    image: Tensor  # (B,) the number of each row's image in y


class Batch:
    """The rows of one call, for checked measurements y (N, *y)."""

    def __init__(
        self,
        denoiser: Denoiser,
        y: Tensor,
        observed: Tensor | None,
        num_samples: int,
        seed: int,
        first_image: int,
        batch_size: int | None,
        progress: bool,
    ) -> None:
        self.y, self.observed, self.progress = y, observed, progress
        self.shape = tuple(denoiser.shape)
        self.num_samples = whole("num_samples", num_samples)
        self.seed, self.first_image = seed_of(seed), whole("first_image", first_image, 0)
        total = len(y) * self.num_samples
        self.batch_size = total if batch_size is None else whole("batch_size", batch_size)
        if self.batch_size < total and num_images(denoiser) is not None:
            raise ConfigError(
                "the denoiser has a class for each image, so all rows go at once: leave batch_size "
                "out, or restore the images one by one"
            )

    def walk(
        self, scale: float, step: Callable[[Tensor, int, Block], Tensor], num_steps: int
    ) -> Tensor:
        """(N, num_samples, *shape): every row starts at `scale` times unit noise; `step` maps rows,
        the step's number from 0 and their block to the next rows."""

        def ticks() -> Iterator[Tick]:
            for i in range(num_steps):
                for part, block in self._blocks(i):
                    x[part] = step(x[part], i, block)
                yield Tick("restoring", i + 1, num_steps, (i + 1) * len(x), math.nan)

        with torch.no_grad():
            starts = [b.noise.normal(self.shape, INIT, self.y.dtype) for _, b in self._blocks(0)]
            x = torch.cat([scale * start for start in starts])
            for _ in show(ticks(), self.progress):
                pass
        return x.unflatten(0, (len(self.y), self.num_samples))

    def _blocks(self, step: int) -> Iterator[tuple[slice, Block]]:
        noise = rows(self.seed, len(self.y), self.num_samples, self.y.device)
        for start in range(0, len(noise.image), self.batch_size):
            part = slice(start, start + self.batch_size)
            image, chain = noise.image[part], noise.chain[part]
            own = Noise(self.seed, image + self.first_image, chain, step)
            yield part, Block(self.y[image], self.observed, own, image)


def measured(denoiser: Denoiser, operator: Operator, y: Tensor) -> tuple[Tensor, Tensor | None]:
    """The measurements, checked against the operator and 0 where unobserved, and what is
    observed."""
    if not isinstance(denoiser, Denoiser):
        name = type(denoiser).__name__
        raise ConfigError(f"denoiser must be such as prior.denoiser, f(x_t, sigma), got {name}")
    y = plain("y", y)
    if not y.is_floating_point() or y.ndim == 0 or len(y) == 0:
        wanted = "a floating-point tensor (images, *y) with one image or more"
        raise ConfigError(f"y must be {wanted}, got {y.dtype} {tuple(y.shape)}")
    shape = tuple(denoiser.shape)
    with torch.no_grad():
        expected = tuple(operator(y.new_zeros(1, *shape)).shape[1:])
    if tuple(y.shape[1:]) != expected:
        found = f"y has shape {tuple(y.shape)}, but A(x) of one image has shape {expected}"
        raise ConfigError(f"{found}: y must be (images, {', '.join(map(str, expected))})")
    observed = observed_of(operator, shape)
    if observed is not None:
        observed = observed.to(y.device)
        y = torch.where(observed, y, y.new_zeros(()))
    if bad := int((~torch.isfinite(y)).sum()):
        advice = "hide them by the operator's mask, such as nw.operators.MaskInpainting(mask)"
        raise ConfigError(f"y has {bad} observed entries that are not finite: {advice}")
    return y, observed
