r"""Losses that turn a teacher $D(x, \sigma)$ into a consistency model $f(x, \sigma)$, initialised
at the teacher's weights.

Both compare the student at a noise level t with itself, without gradient, at a lower level r on the
same trajectory,
$$\mathbb{E}\; w(t)\, d\big(f(x_t, t),\, \mathrm{sg}[f(x_r, r)]\big), \qquad x_t = x + t n .$$

- "cd", consistency distillation: t and r are neighbours on the teacher's own grid, $x_r$ is the
  teacher's Heun step from $x_t$, and w = 1. Six network calls' worth a step, but the target has no
  noise beyond x_t's own.
- "ct", consistency tuning: $x_r = x + r n$ with the same n, no teacher, and $w = 1 / (t - r)$,
  which undoes the shrinking of d with the gap. Four calls' worth a step. The gap halves k times
  over the training, from $1 - r/t = 2^{-(1 + k')} (1 + 8\,\mathrm{sigmoid}(-t))$ at k' = 0 to k' =
  k; r is at least sigma_min, where $f(x, \sigma_{min}) = x$ is the goal.

The distance d is in `distance.py`.
References: Song et al., Consistency Models, 2023, Algorithm 2; Geng et al., Consistency Models Made
Easy, 2024, section 3.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...maps.ode import karras_sigmas
from ..denoiser import NetworkDenoiser
from .checks import check_above, check_kind, check_whole
from .distance import HUBER, check_distance, distances
from .draws import unit_noise

RECIPES = ("cd", "ct")


@dataclass(frozen=True)
class DistillLoss:
    """The consistency loss of a batch.

    Arguments:
        denoiser: the student's scaling, kind "consistency".
        teacher: the frozen teacher, kind "edm"; used by "cd".
        recipe: "cd" or "ct".
        num_levels: levels of the teacher's grid ("cd").
        p_mean: mean of ln(t) ("ct").
        p_std: standard deviation of ln(t) ("ct").
        halvings: how often 1 - r/t halves over the training ("ct"); more than 6 make a gap that
            bfloat16 rounds away.
        huber: c per square root of the number of values in an image.
        distance: d, one of `distance.DISTANCES`.

    Raises:
        ConfigError: a value that is not allowed.
    """

    denoiser: NetworkDenoiser
    teacher: NetworkDenoiser
    recipe: str = "cd"
    num_levels: int = 18
    p_mean: float = -1.1
    p_std: float = 2.0
    halvings: int = 6
    huber: float = HUBER
    distance: str = "huber"

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ConfigError(f"unknown recipe {self.recipe!r}: choose one of {', '.join(RECIPES)}")
        check_whole("num_levels", self.num_levels, 2)
        check_whole("halvings", self.halvings, 0)
        for name, bound in (("p_mean", -math.inf), ("p_std", 0.0)):
            check_above(name, getattr(self, name), bound)
        check_distance(self.distance, self.huber, self.denoiser.shape)
        check_kind("denoiser", self.denoiser, "consistency")
        if self.recipe == "cd":
            check_kind("teacher", self.teacher, "edm")

    def __call__(
        self, network: nn.Module, x: Tensor, generator: torch.Generator, done: float
    ) -> Tensor:
        """Loss per image.

        Arguments:
            network: the student's module under training.
            x: (B, C, H, W) clean images in [-1, 1].
            generator: source of the noise, on the CPU whatever x's device.
            done: share of the training done, which sets r/t of "ct".

        Returns:
            (B,) loss per image.
        """
        f = replace(self.denoiser, network=network)
        t, r = (level.to(x.device) for level in self._levels(len(x), generator, done))
        noise = unit_noise(x, generator)
        x_t = x + column(t) * noise
        here = f(
            x_t,
            t,
            # before the goal: under autocast older torch would hand it the goal's weights, which have
            # no gradient
        ).float()
        with torch.no_grad():
            x_r = self._teacher_step(x_t, t, r) if self.recipe == "cd" else x + column(r) * noise
            goal = torch.where(column(r) > f.sigma_min, f(x_r, r), x_r).float()
        weight = 1.0 if self.recipe == "cd" else 1.0 / (t - r)
        return weight * distances(here, goal, self.distance, self.huber)

    @property
    def nfe(self) -> int:
        """Network calls per image, the teacher's two among them."""
        return 4 if self.recipe == "cd" else 2

    def _levels(self, count: int, generator: torch.Generator, done: float) -> tuple[Tensor, Tensor]:
        low, high = self.denoiser.sigma_min, self.denoiser.sigma_max
        if self.recipe == "cd":
            sigmas = karras_sigmas(self.num_levels, low, high).to(torch.float32)
            index = torch.randint(self.num_levels - 1, (count,), generator=generator)
            return sigmas[index], sigmas[index + 1]
        t = lognormal_levels(self.denoiser, self.p_mean, self.p_std, count, generator)
        share = 2.0 ** -(1 + int(done * self.halvings)) * (1.0 + 8.0 * torch.sigmoid(-t))
        return t, (t * (1.0 - share)).clamp(min=low)

    def _teacher_step(self, x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        slope = (x - self.teacher(x, t)) / column(t)
        moved = x + column(r - t) * slope
        corrected = (moved - self.teacher(moved, r)) / column(r)
        return x + column(r - t) * 0.5 * (slope + corrected)


def lognormal_levels(
    denoiser: NetworkDenoiser, p_mean: float, p_std: float, count: int, generator: torch.Generator
) -> Tensor:
    """Noise levels with ln(t) ~ N(p_mean, p_std^2), kept between 2 sigma_min and sigma_max.

    Arguments:
        denoiser: whose range they are for.
        p_mean: mean of ln(t).
        p_std: standard deviation of ln(t).
        count: of them.
        generator: on the CPU.

    Returns:
        (count,) levels on the CPU.
    """
    t = torch.exp(p_mean + p_std * torch.randn(count, generator=generator))
    return t.clamp(2 * denoiser.sigma_min, denoiser.sigma_max)


def column(t: Tensor) -> Tensor:
    """One number an image, shaped to multiply images.

    Arguments:
        t: (B,).

    Returns:
        (B, 1, 1, 1).
    """
    return t.view(-1, 1, 1, 1)
