r"""Distillation on the teacher's own trajectories: the student learns where each of their points ends.

A teacher's solver takes $x_{t_0} = \sigma_{max} z$ through $x_{t_1}, x_{t_2}, \dots$ to $x_0$; the loss is
$$\mathbb{E}\; d\big(f(x_{t_i}, t_i), x_0\big), \qquad d(a, b) = \sqrt{\|a - b\|^2 + c^2} - c .$$
The goal is fixed, so it converges in far fewer steps than the bootstrapped losses of `distill.py`, but f is blurred where trajectories
that start close end apart and the trajectories are too few to tell them. Cost: 2n - 1 network calls a trajectory, once.

Reference: Luhman and Luhman, Knowledge Distillation in Iterative Generative Models for Improved Sampling Speed, 2021, section 3.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..maps.ode import ProbabilityFlow, karras_sigmas
from ..priors.denoiser import NetworkDenoiser


def teacher_trajectories(
    teacher: NetworkDenoiser, count: int, num_steps: int, cache: Path, seed: int = 0, batch_size: int = 128, bfloat16: bool = False
) -> Tensor:
    """Trajectories of the teacher, made once and kept in a file.

    Arguments:
        teacher: the denoiser.
        count: trajectories.
        num_steps: Heun steps n.
        cache: safetensors file, read if it holds as many.
        seed: of the noise they start from.
        batch_size: trajectories at a time.
        bfloat16: compute the network under bfloat16 autocast.

    Returns:
        (count, n + 1, C, H, W) float16, from sigma_max z to x_0.
    """
    from safetensors.torch import load_file, save_file

    if cache.exists():
        kept = load_file(cache)["x"]
        if kept.shape[:2] == (count, num_steps + 1):
            return kept
    flow = ProbabilityFlow(teacher, num_steps, gradient="direct")
    parts = []
    for k in range(-(-count // batch_size)):
        generator = torch.Generator().manual_seed((seed << 32) + k)
        z = torch.randn(batch_size, *teacher.shape, generator=generator)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            parts.append(torch.stack(list(flow.path(z)), 1).to(torch.float16))
    x = torch.cat(parts)[:count].contiguous()
    cache.parent.mkdir(parents=True, exist_ok=True)
    save_file({"x": x}, cache)
    return x


@dataclass(frozen=True)
class TrajectoryLoss:
    """The loss of a batch of points on trajectories.

    Arguments:
        denoiser: the student's scaling, kind "consistency".
        trajectories: from `teacher_trajectories`.
        first: share of the points at sigma_max, where the one-step map is evaluated; the others are spread evenly.
        huber: c per square root of the number of pixels.
    """

    denoiser: NetworkDenoiser
    trajectories: Tensor
    first: float = 0.4
    huber: float = 0.00054

    def __call__(self, network: nn.Module, x: Tensor, generator: torch.Generator, done: float) -> Tensor:
        """Loss per point.

        Arguments:
            network: the student's module under training.
            x: (B, C, H, W); only its number of rows is used.
            generator: chooses the points.
            done: unused.

        Returns:
            (B,) loss.
        """
        f = replace(self.denoiser, network=network)
        num_steps = self.trajectories.shape[1] - 1
        sigmas = karras_sigmas(num_steps, f.sigma_min, f.sigma_max).to(torch.float32)
        row = torch.randint(len(self.trajectories), (len(x),), generator=generator)
        level = torch.randint(1, num_steps, (len(x),), generator=generator)
        level = torch.where(torch.rand(len(x), generator=generator) < self.first, 0, level)
        point, end = self.trajectories[row, level].float(), self.trajectories[row, -1].float()
        distance = (f(point, sigmas[level]).float() - end).square().flatten(1).sum(1)
        c = self.huber * end[0].numel() ** 0.5
        return torch.sqrt(distance + c**2) - c
