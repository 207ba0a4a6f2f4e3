r"""Distillation on the teacher's own trajectories: the student learns where each of their points
ends.

A teacher's solver takes $x_{t_0} = \sigma_{max} z$ through $x_{t_1}, x_{t_2}, \dots$ to $x_0$; the
loss is
$$\mathbb{E}\; d\big(f(x_{t_i}, t_i), x_0\big)$$
with the distance d of `distance.py`.
The goal is fixed, so it converges in far fewer steps than the bootstrapped losses of `distill.py`,
but f is blurred where trajectories that start close end apart and the trajectories are too few to
tell them; LPIPS as d, and a symmetry of the data, under which a turned trajectory is one as well,
make up for some of that. Cost: 2n - 1 network calls a trajectory, once. The grid of each batch of
trajectories is moved by a part of its spacing (`offset_of`), so that the student meets every noise
level between sigma_max and sigma_min and not n of them alone.

Reference: Luhman and Luhman, Knowledge Distillation in Iterative Generative Models for Improved
Sampling Speed, 2021, section 3.
"""

import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..._progress import show
from ..._repr import readable
from ...errors import ConfigError, WeightsError
from ...maps.ode import ProbabilityFlow, karras_sigmas
from ...types import Tick
from ..denoiser import NetworkDenoiser
from .augment import SYMMETRIES, augment
from .checks import check_kind, check_whole
from .distance import HUBER, check_distance, distances
from .loop import generator_of


def offset_of(k: int) -> float:
    """By how many places of the grid the levels of batch k are moved: evenly spread over k, by the
    golden ratio.

    Arguments:
        k: number of the batch, from 0.

    Returns:
        From -1/2 to 1/2.
    """
    return (k + 1) * 0.5 * (math.sqrt(5) - 1) % 1.0 - 0.5


def levels_of(
    denoiser: NetworkDenoiser, count: int, num_steps: int, batch_size: int = 128
) -> Tensor:
    """The noise levels of trajectories.

    Arguments:
        denoiser: whose range they span.
        count: trajectories.
        num_steps: Heun steps n.
        batch_size: as they were made.

    Returns:
        (count, n) float32.
    """
    batches = [
        karras_sigmas(num_steps, denoiser.sigma_min, denoiser.sigma_max, offset=offset_of(k))
        for k in range(-(-count // batch_size))
    ]
    return torch.stack(batches).repeat_interleave(batch_size, 0)[:count].to(torch.float32)


def teacher_trajectories(
    teacher: NetworkDenoiser,
    count: int,
    num_steps: int,
    cache: Path,
    seed: int = 0,
    batch_size: int = 128,
    bfloat16: bool = False,
) -> Tensor:
    """Trajectories of the teacher, made once and kept in a file that says what they were made from;
    batch by batch until then, so that a stop loses one.

    Arguments:
        teacher: the denoiser, kind "edm".
        count: trajectories.
        num_steps: Heun steps n.
        cache: safetensors file, read if it exists.
        seed: of the noise they start from, 0 to 2^32 - 1.
        batch_size: trajectories at a time.
        bfloat16: compute the network under bfloat16 autocast.

    Returns:
        (count, n + 1, C, H, W) float16 on the CPU, from sigma_max z to x_0, at the levels of
        `levels_of`.

    Raises:
        ConfigError: a value that is not allowed, or the cache was made from another teacher or
            arguments.
        WeightsError: the cache cannot be read.
    """
    check_kind("teacher", teacher, "edm")
    for name, value, lowest in (
        ("num_trajectories", count, 1),
        ("batch_size", batch_size, 1),
        ("seed", seed, 0),
    ):
        check_whole(name, value, lowest)
    flow = ProbabilityFlow(teacher, num_steps, gradient="direct")
    origin = {
        "teacher": teacher,
        "count": count,
        "num_steps": num_steps,
        "seed": seed,
        "batch_size": batch_size,
        "bfloat16": bfloat16,
    }
    made = {"levels": "moved batch by batch"} | {
        key: repr(value) for key, value in origin.items()
    }  # the teacher's holds its shape, its scaling and the hash of its weights
    if cache.exists():
        return _read(cache, made)
    x, parts = (
        torch.empty(count, num_steps + 1, *teacher.shape, dtype=torch.float16),
        cache.with_suffix(".parts"),
    )
    parts.mkdir(parents=True, exist_ok=True)

    def batches() -> Iterator[Tick]:
        device = next(teacher.network.parameters()).device
        for k, part in enumerate(x.split(batch_size)):
            yield Tick(
                "trajectories",
                k * batch_size,
                count,
                k * batch_size * (2 * num_steps - 1),
                math.nan,
            )
            if (kept := parts / f"{k:06}").exists():
                part.copy_(_read(kept, made))
                continue
            z = torch.randn(batch_size, *teacher.shape, generator=generator_of(seed, k)).to(device)
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                part.copy_(
                    torch.stack(list(flow.path(z, offset_of(k))), 1)[: len(part)].to(
                        "cpu", torch.float16
                    )
                )
            _write(part.contiguous(), kept, made)

    for _ in show(batches(), True):
        pass
    _write(x, cache, made)
    shutil.rmtree(parts)
    return x


def _write(x: Tensor, path: Path, made: dict[str, str]) -> None:
    from safetensors.torch import save_file

    partial = path.with_suffix(".partial")
    save_file({"x": x}, partial, made)
    os.replace(partial, path)


def _read(cache: Path, made: dict[str, str]) -> Tensor:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(cache, "pt") as file:
            before, x = file.metadata() or {}, file.get_tensor("x")
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"cannot read the trajectories in {cache} ({error}): remove the file to make them anew"
        ) from error
    if changed := [
        f"{key} {before.get(key, 'not said')}, now {value}"
        for key, value in made.items()
        if before.get(key) != value
    ]:
        raise ConfigError(
            f"{cache} was made with {'; '.join(changed)}: give another folder, or remove the "
            "file to make them anew"
        )
    return x


@readable
@dataclass(frozen=True, eq=False, repr=False)
class TrajectoryLoss:
    """The loss of a batch of points on trajectories.

    Arguments:
        denoiser: the student's scaling, kind "consistency".
        trajectories: from `teacher_trajectories`, at least 3 steps.
        first: share of the points at sigma_max, where the one-step map is evaluated; the others are
            spread evenly between it and sigma_min.
        huber: c per square root of the number of values in an image.
        distance: d, one of `distance.DISTANCES`.
        augment: symmetry of the data, a key of `augment.SYMMETRIES`; the teacher's samples should
            have it too.
        levels: (count, n) noise levels of the trajectories, from `levels_of`; None: the grid of
            `karras_sigmas` for all.

    Raises:
        ConfigError: a value that is not allowed.
    """

    denoiser: NetworkDenoiser
    trajectories: Tensor
    first: float = 0.4
    huber: float = HUBER
    distance: str = "huber"
    augment: str = "none"
    levels: Tensor | None = None
    nfe: ClassVar[int] = 1
    """Network calls per point."""

    def __post_init__(self) -> None:
        check_kind("denoiser", self.denoiser, "consistency")
        check_distance(self.distance, self.huber, self.denoiser.shape)
        if self.augment not in SYMMETRIES:
            raise ConfigError(
                f"augment must be one of {', '.join(SYMMETRIES)}, got {self.augment!r}"
            )
        if not 0 <= self.first <= 1:
            raise ConfigError(f"first must be a share from 0 to 1, got {self.first!r}")
        shape, expected = tuple(self.trajectories.shape), tuple(self.denoiser.shape)
        if len(shape) < 2 or shape[0] < 1 or shape[1] < 4 or shape[2:] != expected:
            raise ConfigError(
                f"trajectories must be of shape (count, n + 1, *{expected}) with count at "
                f"least 1 and n at least 3, got {shape}"
            )
        if self.levels is not None and tuple(self.levels.shape) != (shape[0], shape[1] - 1):
            raise ConfigError(
                f"levels must be of shape (count, n), here {(shape[0], shape[1] - 1)}, got "
                f"{tuple(self.levels.shape)}"
            )

    def __call__(
        self, network: nn.Module, x: Tensor, generator: torch.Generator, done: float
    ) -> Tensor:
        """Loss per point.

        Arguments:
            network: the student's module under training.
            x: (B, C, H, W); only its number of rows and its device are used.
            generator: chooses the points and turns them, on the CPU.
            done: unused.

        Returns:
            (B,) loss.
        """
        f = replace(self.denoiser, network=network)
        num_steps = self.trajectories.shape[1] - 1
        levels = self.levels
        if levels is None:
            levels = (
                karras_sigmas(num_steps, f.sigma_min, f.sigma_max)
                .to(torch.float32)
                .expand(len(self.trajectories), -1)
            )
        row = torch.randint(len(self.trajectories), (len(x),), generator=generator)
        level = torch.randint(
            1, num_steps - 1, (len(x),), generator=generator
        )  # the last one's is sigma_min, where f(x) = x whatever the weights
        level = torch.where(torch.rand(len(x), generator=generator) < self.first, 0, level)
        pair = torch.cat(
            [self.trajectories[row, which].to(x.device).float() for which in (level, -1)], 1
        )  # autocast joins no float16
        point, end = augment(pair, self.augment, generator).chunk(2, 1)
        return distances(f(point, levels[row, level].to(x.device)), end, self.distance, self.huber)
