"""What defines a training: its loss, its settings, and what the card will say of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..._checks import one_of, real, whole
from ..denoiser import NetworkDenoiser
from .augment import SYMMETRIES

# (network, clean images (B, C, H, W), generator, share of the training done) -> loss per image (B,)
Loss = Callable[[nn.Module, Tensor, torch.Generator, float], Tensor]
LARGEST_SEED = 2**32 - 1  # torch's CPU generator keeps 32 bits of a seed


@dataclass(frozen=True)
class TrainSettings:
    """What defines a training apart from its data and loss.

    The rate rises linearly over `lr_warmup` steps, falls as 1/sqrt(step) after `lr_hold` steps and
    linearly to 0 over the last share `lr_decay`. `start` is the hash of the first weights; None:
    random ones or the teacher's.
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
    augment: str = "none"
    lr_decay: float = 0.0
    start: str | None = None

    def __post_init__(self) -> None:
        one_of("augment", self.augment, tuple(SYMMETRIES))
        plain: dict[str, float] = {
            "lr": real("lr", self.lr, above=0.0),
            "ema_gamma": real("ema_gamma", self.ema_gamma, above=-1.0),
            "checkpoint_seconds": real("checkpoint_seconds", self.checkpoint_seconds, least=0.0),
            "lr_decay": real("lr_decay", self.lr_decay, least=0.0, most=1.0),
            "lr_warmup": whole("lr_warmup", self.lr_warmup, 0),
            "seed": whole("seed", self.seed, 0, LARGEST_SEED),
        }
        counts = ("num_images", "batch_size", "lr_hold")
        plain |= {name: whole(name, getattr(self, name)) for name in counts}
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @property
    def num_steps(self) -> int:
        """Steps in all."""
        return -(-self.num_images // self.batch_size)

    def learning_rate(self, step: int) -> float:
        """Learning rate of one step, counted from 1."""
        last = self.lr_decay * self.num_steps
        left = min(1.0, (self.num_steps - step + 1) / last) if last >= 1 else 1.0
        risen = min(1.0, step / max(self.lr_warmup, 1))
        return left * self.lr * risen / max(1.0, step / self.lr_hold) ** 0.5


@dataclass(frozen=True)
class Recipe:
    """What to train, the command that reproduces it, and facts for the card."""

    denoiser: NetworkDenoiser
    loss: Loss
    settings: TrainSettings
    command: str
    facts: Mapping[str, Any]
