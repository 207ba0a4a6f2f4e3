r"""Distillation on trajectories of the teacher: the student learns where each of them ends.

For points $x_{t_i}$ of a trajectory that ends at $x_0$ (`trajectories.py`) the loss is
$$\mathbb{E}\; d\big(f(x_{t_i}, t_i), x_0\big)$$
with the distance d of `distance.py`. Its goal is fixed, so it converges in far fewer steps than the
bootstrapped losses of `consistency.py`. f is blurred where trajectories that start close end apart
and are too few to tell them. LPIPS as d makes up for some of that, and so does a symmetry of the
data, under which a turned trajectory is a trajectory as well.

Reference: Luhman and Luhman, Knowledge Distillation in Iterative Generative Models for Improved
Sampling Speed, 2021, section 3.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from ...._checks import one_of, real
from ...._repr import readable
from ....errors import ConfigError
from ....maps.ode import karras_sigmas
from ...denoiser import NetworkDenoiser, check_kind
from ..augment import SYMMETRIES, augment
from .distance import HUBER, check_distance, distances


@readable
@dataclass(frozen=True, eq=False, repr=False)
class TrajectoryLoss:
    """The loss of a batch of points, with a share `first` of them at sigma_max, where the one-step
    map is evaluated; without `levels` all trajectories have the grid of `karras_sigmas`."""

    denoiser: NetworkDenoiser
    trajectories: Tensor
    first: float = 0.4
    huber: float = HUBER
    distance: str = "huber"
    augment: str = "none"
    levels: Tensor | None = None
    nfe: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_kind("denoiser", self.denoiser, "consistency")
        check_distance(self.distance, self.huber, self.denoiser.shape)
        one_of("augment", self.augment, tuple(SYMMETRIES))
        real("first", self.first, least=0.0, most=1.0)
        shape, expected = tuple(self.trajectories.shape), tuple(self.denoiser.shape)
        if len(shape) < 2 or shape[0] < 1 or shape[1] < 4 or shape[2:] != expected:
            needs = f"trajectories must be of shape (count, n + 1, *{expected})"
            raise ConfigError(f"{needs} with count at least 1 and n at least 3, got {shape}")
        needed, levels = (shape[0], shape[1] - 1), self.levels
        if levels is not None and tuple(levels.shape) != needed:
            found = tuple(levels.shape)
            raise ConfigError(f"levels must be of shape (count, n), here {needed}, got {found}")

    def __call__(self, network: nn.Module, x: Tensor, generator: Generator, done: float) -> Tensor:
        """The loss of as many points as x has rows; the pixels of x are not used."""
        f = replace(self.denoiser, network=network)
        num_steps = self.trajectories.shape[1] - 1
        levels = self.levels
        if levels is None:
            grid = karras_sigmas(num_steps, f.sigma_min, f.sigma_max).to(torch.float32)
            levels = grid.expand(len(self.trajectories), -1)
        row = torch.randint(len(self.trajectories), (len(x),), generator=generator)
        # the last level is sigma_min, where f(x) = x whatever the weights
        level = torch.randint(1, num_steps - 1, (len(x),), generator=generator)
        level = torch.where(torch.rand(len(x), generator=generator) < self.first, 0, level)
        ends = [self.trajectories[row, which].to(x.device).float() for which in (level, -1)]
        pair = torch.cat(ends, 1)  # of float32, since autocast joins no float16
        point, end = augment(pair, self.augment, generator).chunk(2, 1)
        return distances(f(point, levels[row, level].to(x.device)), end, self.distance, self.huber)
