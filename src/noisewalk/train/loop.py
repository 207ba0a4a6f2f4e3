"""The training loop that teacher and student share: Adam, averaged weights, resumable checkpoints.

Everything random in step k is drawn from a generator seeded by (seed, k), so a resumed training goes on as if it had
never stopped.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from .data import to_unit
from .ema import PowerEMA

# (network, clean images (B, C, H, W), generator, share of the training done) -> loss per image (B,)
Loss = Callable[[nn.Module, Tensor, torch.Generator, float], Tensor]


@dataclass(frozen=True)
class TrainSettings:
    """What defines a training apart from its data and loss.

    Arguments:
        num_images: training length in images seen.
        batch_size: images per step.
        lr: Adam's learning rate; falls as 1/sqrt(step) after `lr_hold` steps.
        lr_hold: steps at full learning rate.
        lr_warmup: steps of linear rise at the start.
        ema_gamma: exponent of the averaging profile.
        seed: of noise and image order.
        bfloat16: compute the network under bfloat16 autocast.
        checkpoint_seconds: time between checkpoints.
    """

    num_images: int
    batch_size: int = 128
    lr: float = 1e-3
    lr_hold: int = 2000
    lr_warmup: int = 100
    ema_gamma: float = 16.97
    seed: int = 0
    bfloat16: bool = False
    checkpoint_seconds: float = 60.0

    def learning_rate(self, step: int) -> float:
        """Learning rate of one step.

        Arguments:
            step: from 1.

        Returns:
            The rate.
        """
        return self.lr * min(1.0, step / max(self.lr_warmup, 1)) / max(1.0, step / self.lr_hold) ** 0.5


class TrainProgress(NamedTuple):
    """One step of a training, for display."""

    step: int
    images: int
    loss: float
    ema: PowerEMA


def train(network: nn.Module, loss: Loss, images: Tensor, settings: TrainSettings, checkpoint: Path) -> Iterator[TrainProgress]:
    """Train in place; an existing checkpoint is resumed, and one is written at intervals and at the end.

    Arguments:
        network: the module to train.
        loss: loss per image.
        images: (N, C, H, W) uint8.
        settings: length, rates, seed.
        checkpoint: file of the checkpoint.

    Yields:
        The state after each step.

    Raises:
        ConfigError: the checkpoint belongs to other settings.
    """
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr, betas=(0.9, 0.99))
    ema = PowerEMA(network, settings.ema_gamma)
    done = _resume(checkpoint, network, optimizer, ema, settings) if checkpoint.exists() else 0
    last = time.monotonic()
    total = -(-settings.num_images // settings.batch_size)
    for step in range(done + 1, total + 1):
        generator = torch.Generator().manual_seed((settings.seed << 32) + step)
        batch = to_unit(images[torch.randint(len(images), (settings.batch_size,), generator=generator)])
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16):
            value = loss(network, batch, generator, step / total).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.param_groups[0]["lr"] = settings.learning_rate(step)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        ema.update(network, step)
        if step == total or time.monotonic() - last > settings.checkpoint_seconds:
            _save(checkpoint, network, optimizer, ema, settings, step)
            last = time.monotonic()
        yield TrainProgress(step, step * settings.batch_size, float(value.detach()), ema)


def _save(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, ema: PowerEMA, settings: TrainSettings, step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "ema": ema.weights, "settings": asdict(settings), "step": step}
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def _resume(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, ema: PowerEMA, settings: TrainSettings) -> int:
    state = torch.load(path, weights_only=True)
    free = ("num_images", "checkpoint_seconds")
    for key, value in asdict(settings).items():
        if key not in free and state["settings"].get(key) != value:
            raise ConfigError(f"{path} was made with {key}={state['settings'].get(key)}, now {key}={value}: give the same settings or another --out")
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    ema.load(state["ema"])
    return state["step"]
