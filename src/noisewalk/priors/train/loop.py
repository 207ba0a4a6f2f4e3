"""The training loop of teachers and students: Adam, averaged weights, resumable checkpoints.

Everything random in step k comes from a generator seeded by (seed, k), so a resumed training goes
on as if it had never stopped. Order, turns and noise levels are the same on every device; the noise
of CUDA is its own (`losses/noise.py`).
"""

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...errors import ConfigError, DivergedError
from .augment import augment
from .checkpoint import Checkpoint, origin_of
from .data import to_unit
from .ema import PowerEMA
from .processes import ALONE, Processes
from .recipe import Loss, TrainSettings

PATIENCE = 20  # steps in a row whose gradient is not finite; they leave the weights alone


class TrainProgress(NamedTuple):
    """One step of a training, for display."""

    step: int
    images: int
    loss: float
    ema: PowerEMA


def generator_of(seed: int, k: int, rank: int = 0) -> torch.Generator:
    """The CPU generator of step (or batch) k, of which torch keeps 32 bits of the seed."""
    return torch.Generator().manual_seed((seed * 0x9E3779B1 + rank * 0x85EBCA6B + k) % 2**32)


def train(
    network: nn.Module,
    loss: Loss,
    images: Tensor,
    settings: TrainSettings,
    checkpoint: Path,
    processes: Processes = ALONE,
) -> Iterator[TrainProgress]:
    """Train in place on uint8 images (N, C, H, W), from the checkpoint if there is one."""
    if not len(images):
        raise ConfigError("there are no images to train on: give at least one")
    share, device = processes.share(settings.batch_size), processes.device
    fast, rounded = device.type == "cuda", settings.bfloat16 and device.type == "cpu"
    # group norm is slow in channels_last on CUDA, and in bfloat16 anywhere
    layout = torch.contiguous_format if fast or rounded else torch.channels_last
    network.to(device=device, memory_format=layout).train()  # type: ignore[call-overload]
    weights = network.parameters()
    optimizer = torch.optim.Adam(weights, settings.lr, betas=(0.9, 0.99), fused=fast or None)
    ema = PowerEMA(network, settings.ema_gamma)
    origin = origin_of(settings, network, loss, images)
    kept = Checkpoint(checkpoint, network, optimizer, ema, origin)
    done = kept.resume()
    tied, stepper = processes.prepare(network, optimizer)
    last, total, lost = time.monotonic(), settings.num_steps, 0
    for step in range(done + 1, total + 1):
        generator = generator_of(settings.seed, step, processes.rank)
        chosen = images[torch.randint(len(images), (share,), generator=generator)]
        batch = to_unit(augment(chosen.to(device), settings.augment, generator))
        with (
            torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16),
            # the gradient of fused attention is slow in bfloat16 on a CPU
            sdpa_kernel(SDPBackend.MATH) if rounded else nullcontext(),
        ):
            value = loss(tied, batch, generator, step / total).mean()
        stepper.zero_grad()
        processes.backward(value)
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        shown = processes.mean(value)
        lost = 0 if math.isfinite(float(norm)) else lost + 1
        _check_finite(shown, lost, step, settings.lr)
        optimizer.param_groups[0]["lr"] = settings.learning_rate(step)
        if not lost:
            stepper.step()
        ema.update(network, step)
        late = time.monotonic() - last > settings.checkpoint_seconds
        if processes.first and (step == total or late):
            kept.save(step)
            last = time.monotonic()
        yield TrainProgress(step, step * settings.batch_size, shown, ema)


def _check_finite(loss: float, lost: int, step: int, lr: float) -> None:
    if not math.isfinite(loss):
        what = f"the loss is {loss} at step {step}"
    elif lost == PATIENCE:
        what = f"the gradient is not finite in {PATIENCE} steps up to {step}"
    else:
        return
    raise DivergedError(
        f"{what}: train with a smaller learning rate (--lr), now {lr:g}, into another --out"
    )
