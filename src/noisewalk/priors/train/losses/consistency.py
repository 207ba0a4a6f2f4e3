r"""Losses that turn a teacher $D(x, \sigma)$ into a consistency model $f(x, \sigma)$, initialised
at the teacher's weights.

Both compare the student at a noise level t with itself, without gradient, at a lower level r on the
same trajectory, by the distance d of `distance.py`,
$$\mathbb{E}\; w(t)\, d\big(f(x_t, t),\, \mathrm{sg}[f(x_r, r)]\big), \qquad x_t = x + t n .$$

- "cd", consistency distillation: t and r are neighbours on the teacher's own grid, $x_r$ is the
  teacher's Heun step from $x_t$, and w = 1. A step costs as much as six network calls, but the
  target has no noise beyond that of x_t.
- "ct", consistency tuning: $x_r = x + r n$ with the same n, no teacher, and $w = 1 / (t - r)$,
  which undoes the shrinking of d with the gap. A step costs as much as four calls. The gap
  $1 - r/t = 2^{-(1 + k')} (1 + 8\,\mathrm{sigmoid}(-t))$ halves k times over the training, from
  k' = 0 to k' = k. r is at least sigma_min, where $f(x, \sigma_{min}) = x$ is the goal.

References: Song et al., Consistency Models, 2023, Algorithm 2; Geng et al., Consistency Models Made
Easy, 2024, section 3.
"""

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor, nn

from ...._checks import one_of, real, whole
from ....maps.ode import karras_sigmas
from ...denoiser import NetworkDenoiser, check_kind
from .distance import HUBER, check_distance, distances
from .noise import column, student_levels, unit_noise

RECIPES = ("cd", "ct")


@dataclass(frozen=True)
class DistillLoss:
    """The consistency loss of a batch, "cd" on a grid of `num_levels`, "ct" with lognormal t and k
    `halvings`; more than 6 make a gap that bfloat16 rounds away."""

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
        one_of("recipe", self.recipe, RECIPES)
        whole("num_levels", self.num_levels, 2)
        whole("halvings", self.halvings, 0)
        real("p_mean", self.p_mean)
        real("p_std", self.p_std, above=0.0)
        check_distance(self.distance, self.huber, self.denoiser.shape)
        check_kind("denoiser", self.denoiser, "consistency")
        if self.recipe == "cd":
            check_kind("teacher", self.teacher, "edm")

    def __call__(self, network: nn.Module, x: Tensor, generator: Generator, done: float) -> Tensor:
        """The loss of each image; the share of the training done sets r/t of "ct"."""
        f = replace(self.denoiser, network=network)
        t, r = (level.to(x.device) for level in self._levels(len(x), generator, done))
        noise = unit_noise(x, generator)
        x_t = x + column(t) * noise
        # before the goal: under autocast older torch would hand it the weights of the goal, which
        # have no gradient
        here = f(x_t, t).float()
        with torch.no_grad():
            x_r = self._teacher_step(x_t, t, r) if self.recipe == "cd" else x + column(r) * noise
            goal = torch.where(column(r) > f.sigma_min, f(x_r, r), x_r).float()
        weight = 1.0 if self.recipe == "cd" else 1.0 / (t - r)
        return weight * distances(here, goal, self.distance, self.huber)

    @property
    def nfe(self) -> int:
        """Network calls per image."""
        return 4 if self.recipe == "cd" else 2

    def _levels(self, count: int, generator: Generator, done: float) -> tuple[Tensor, Tensor]:
        low, high = self.denoiser.sigma_min, self.denoiser.sigma_max
        if self.recipe == "cd":
            sigmas = karras_sigmas(self.num_levels, low, high).to(torch.float32)
            index = torch.randint(self.num_levels - 1, (count,), generator=generator)
            return sigmas[index], sigmas[index + 1]
        t = student_levels(self.denoiser, self.p_mean, self.p_std, count, generator)
        share = 2.0 ** -(1 + int(done * self.halvings)) * (1.0 + 8.0 * torch.sigmoid(-t))
        return t, (t * (1.0 - share)).clamp(min=low)

    def _teacher_step(self, x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        slope = (x - self.teacher(x, t)) / column(t)
        moved = x + column(r - t) * slope
        corrected = (moved - self.teacher(moved, r)) / column(r)
        return x + column(r - t) * 0.5 * (slope + corrected)
