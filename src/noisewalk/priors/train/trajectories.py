r"""Trajectories of a teacher, which a student learns to follow: made once and kept in a file.

A teacher's solver takes $x_{t_0} = \sigma_{max} z$ through $x_{t_1}, x_{t_2}, \dots$ to $x_0$, at a
cost of 2n - 1 network calls. The grid of each batch is moved by a part of its spacing, so that the
student meets every noise level between sigma_max and sigma_min and not n of them alone.
"""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..._checks import whole
from ..._progress import show
from ...errors import ConfigError, WeightsError
from ...maps.ode import ProbabilityFlow, karras_sigmas
from ...storage.atomic import write_whole
from ...types import Tick
from ..denoiser import NetworkDenoiser, check_kind
from .loop import generator_of
from .recipe import LARGEST_SEED


def offset_of(k: int) -> float:
    """The places of the grid, from -1/2 to 1/2, by which the levels of batch k are moved."""
    return (k + 1) * 0.5 * (math.sqrt(5) - 1) % 1.0 - 0.5


def levels_of(
    denoiser: NetworkDenoiser, count: int, num_steps: int, batch_size: int = 128
) -> Tensor:
    """The noise levels (count, n) of trajectories made in batches of that size."""
    low, high = denoiser.sigma_min, denoiser.sigma_max
    batches = range(-(-count // batch_size))
    levels = [karras_sigmas(num_steps, low, high, offset=offset_of(k)) for k in batches]
    return torch.stack(levels).repeat_interleave(batch_size, 0)[:count].to(torch.float32)


def teacher_trajectories(
    teacher: NetworkDenoiser,
    count: int,
    num_steps: int,
    cache: Path,
    seed: int = 0,
    batch_size: int = 128,
    bfloat16: bool = False,
    progress: bool = True,
) -> Tensor:
    """Trajectories (count, n + 1, C, H, W) in float16; those in the cache are read."""
    check_kind("teacher", teacher, "edm")
    count, batch_size = whole("num_trajectories", count), whole("batch_size", batch_size)
    seed = whole("seed", seed, 0, LARGEST_SEED)
    flow = ProbabilityFlow(teacher, num_steps, gradient="direct")
    sizes = {"count": count, "num_steps": int(num_steps), "batch_size": batch_size}
    origin = {**sizes, "seed": seed, "bfloat16": bfloat16, "teacher": teacher}
    made = {"levels": "moved batch by batch"} | {key: repr(v) for key, v in origin.items()}
    if cache.exists():
        return _read(cache, made)
    x = torch.empty(count, num_steps + 1, *teacher.shape, dtype=torch.float16)
    parts = cache.with_suffix(".parts")
    parts.mkdir(parents=True, exist_ok=True)

    def batches() -> Iterator[Tick]:
        device = next(teacher.network.parameters()).device
        for k, part in enumerate(x.split(batch_size)):
            done = k * batch_size
            yield Tick("trajectories", done, count, done * (2 * num_steps - 1), math.nan)
            if (kept := parts / f"{k:06}").exists():
                part.copy_(_read(kept, made))
                continue
            z = torch.randn(batch_size, *teacher.shape, generator=generator_of(seed, k)).to(device)
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                points = torch.stack(list(flow.path(z, offset_of(k))), 1)
            part.copy_(points[: len(part)].to("cpu", torch.float16))
            _write(part.contiguous(), kept, made)

    for _ in show(batches(), progress):
        pass
    _write(x, cache, made)
    shutil.rmtree(parts)
    return x


def _write(x: Tensor, path: Path, made: dict[str, str]) -> None:
    from safetensors.torch import save_file

    write_whole(path, lambda partial: save_file({"x": x}, partial, made))


def _read(cache: Path, made: dict[str, str]) -> Tensor:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(cache, "pt") as file:
            before, x = file.metadata() or {}, file.get_tensor("x")
    except (OSError, SafetensorError) as error:
        what = f"cannot read the trajectories in {cache} ({error})"
        raise WeightsError(f"{what}: remove the file to make them anew") from error
    if changed := [key for key, value in made.items() if before.get(key) != value]:
        said = "; ".join(f"{key} {before.get(key, 'not said')}, now {made[key]}" for key in changed)
        way_out = "give another folder, or remove the file to make them anew"
        raise ConfigError(f"{cache} was made with {said}: {way_out}")
    return x
