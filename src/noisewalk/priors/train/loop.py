"""The training loop that teacher and student share: Adam, averaged weights, resumable checkpoints.

Everything random in step k comes from a generator seeded by (seed, k), so a resumed training goes
on as if it had never stopped; order, turns and noise levels are the same on every device, the noise
of CUDA is its own (`draws.py`). A checkpoint says what it trains: settings, loss and images; it is
resumed with nothing else.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..._repr import describe
from ...errors import ConfigError, DivergedError, WeightsError
from ..denoiser import NetworkDenoiser
from .augment import SYMMETRIES, augment
from .checks import check_above, check_whole
from .data import to_unit
from .ema import PowerEMA
from .processes import ALONE, Processes

# (network, clean images (B, C, H, W), generator, share of the training done) -> loss per image (B,)
Loss = Callable[[nn.Module, Tensor, torch.Generator, float], Tensor]

FREE = ("num_images", "checkpoint_seconds")
"""Settings that may change when a training is resumed."""
BEFORE: dict[str, dict[str, Any]] = {
    "settings": {"augment": "none", "lr_decay": 0.0},
    "record": {"augment": repr("none"), "distance": repr("huber")},
}
"""What a training did whose checkpoint is older than the setting; where nothing is known, the
setting is not compared."""
PATIENCE = 20
"""Steps in a row whose gradient may be anything but finite; such a step leaves the weights as they
are."""
PARTS = {"network": dict, "optimizer": dict, "ema": dict, "settings": dict, "step": int}
"""What a checkpoint holds at least."""


@dataclass(frozen=True)
class TrainSettings:
    """What defines a training apart from its data and loss.

    Arguments:
        num_images: training length in images seen.
        batch_size: images per step.
        lr: Adam's learning rate; falls as 1/sqrt(step) after `lr_hold` steps, and linearly to 0
            over the last `lr_decay` of the training.
        lr_hold: steps at full learning rate.
        lr_warmup: steps of linear rise at the start.
        ema_gamma: exponent of the averaging profile, above -1.
        seed: of noise and image order, 0 to 2^32 - 1.
        bfloat16: compute the network under bfloat16 autocast.
        checkpoint_seconds: time between checkpoints.
        augment: symmetry of the images, "none", "flip" or "dihedral".
        lr_decay: share of the training at its end, from 0 to 1. A training that is made longer
            leaves the decay again.
        start: the network's weights before the first step, as their hash; None: random ones or the
            teacher's. A record: `train` does not read it.

    Raises:
        ConfigError: a value that is not allowed.
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
        for name, lowest in (
            ("num_images", 1),
            ("batch_size", 1),
            ("lr_hold", 1),
            ("lr_warmup", 0),
            ("seed", 0),
        ):
            check_whole(name, getattr(self, name), lowest)
        check_above("lr", self.lr, 0.0)
        check_above("ema_gamma", self.ema_gamma, -1.0)
        if not self.checkpoint_seconds >= 0:
            raise ConfigError(
                f"checkpoint_seconds must be at least 0, got {self.checkpoint_seconds!r}"
            )
        if self.augment not in SYMMETRIES:
            raise ConfigError(
                f"augment must be one of {', '.join(SYMMETRIES)}, got {self.augment!r}"
            )
        if not 0 <= self.lr_decay <= 1:
            raise ConfigError(f"lr_decay must be a share from 0 to 1, got {self.lr_decay!r}")

    @property
    def num_steps(self) -> int:
        """Steps of the whole training."""
        return -(-self.num_images // self.batch_size)

    def learning_rate(self, step: int) -> float:
        """Learning rate of one step.

        Arguments:
            step: from 1.

        Returns:
            The rate.
        """
        last = self.lr_decay * self.num_steps
        left = min(1.0, (self.num_steps - step + 1) / last) if last >= 1 else 1.0
        return (
            left
            * self.lr
            * min(1.0, step / max(self.lr_warmup, 1))
            / max(1.0, step / self.lr_hold) ** 0.5
        )


class TrainProgress(NamedTuple):
    """One step of a training, for display."""

    step: int
    images: int
    loss: float
    ema: PowerEMA


def generator_of(seed: int, k: int, rank: int = 0) -> torch.Generator:
    """The generator of step (or batch) k; torch keeps 32 bits of what it is seeded by, so all are
    mixed into these.

    Arguments:
        seed: 0 to 2^32 - 1.
        k: from 0.
        rank: number of the process.

    Returns:
        A CPU generator.
    """
    return torch.Generator().manual_seed((seed * 0x9E3779B1 + rank * 0x85EBCA6B + k) % 2**32)


def train(
    network: nn.Module,
    loss: Loss,
    images: Tensor,
    settings: TrainSettings,
    checkpoint: Path,
    processes: Processes = ALONE,
) -> Iterator[TrainProgress]:
    """Train in place; an existing checkpoint is resumed, and one is written at intervals and at the
    end.

    Arguments:
        network: the module to train, moved to the processes' device.
        loss: loss per image.
        images: (N, C, H, W) uint8, at least one.
        settings: length, rates, seed.
        checkpoint: file of the checkpoint.
        processes: that share each batch; the first one writes the checkpoint.

    Yields:
        The state after each step.

    Raises:
        ConfigError: no images, a batch that the processes cannot share, or the checkpoint belongs
            to other settings, images or networks, or to another loss.
        WeightsError: the checkpoint cannot be read.
        DivergedError: the loss, or the gradient of many steps in a row, is no longer finite.
    """
    if not len(images):
        raise ConfigError("there are no images to train on: give at least one")
    share, device = processes.share(settings.batch_size), processes.device
    fast, rounded = (
        device.type == "cuda",
        settings.bfloat16 and device.type == "cpu",
    )  # bfloat16 on a CPU: fused attention's gradient is slow
    layout = (
        torch.contiguous_format if fast or rounded else torch.channels_last
    )  # group norm is slow in channels_last on CUDA, and in bfloat16 anywhere
    network.to(device=device, memory_format=layout).train()  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(
        network.parameters(), lr=settings.lr, betas=(0.9, 0.99), fused=fast or None
    )
    ema = PowerEMA(network, settings.ema_gamma)
    made = {"settings": asdict(settings), "record": _record(network, loss, images)}
    done = _resume(checkpoint, network, optimizer, ema, made) if checkpoint.exists() else 0
    tied, stepper = processes.prepare(network, optimizer)
    last = time.monotonic()
    total, lost = settings.num_steps, 0
    for step in range(done + 1, total + 1):
        generator = generator_of(settings.seed, step, processes.rank)
        chosen = images[torch.randint(len(images), (share,), generator=generator)]
        batch = to_unit(augment(chosen.to(device), settings.augment, generator))
        with (
            torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16),
            sdpa_kernel(SDPBackend.MATH) if rounded else nullcontext(),
        ):
            value = loss(tied, batch, generator, step / total).mean()
        stepper.zero_grad()
        processes.backward(value)
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        if not math.isfinite(
            shown := processes.mean(value)
        ):  # the step's first number that is waited for
            raise DivergedError(
                f"the loss is {shown} at step {step}: train with a smaller learning rate "
                f"(--lr), now {settings.lr:g}, into another --out"
            )
        optimizer.param_groups[0]["lr"] = settings.learning_rate(step)
        if math.isfinite(float(norm)):
            stepper.step()
            lost = 0
        elif (lost := lost + 1) == PATIENCE:
            raise DivergedError(
                f"the gradient is not finite in {PATIENCE} steps up to {step}: train with a "
                "smaller learning rate (--lr) into another --out"
            )
        ema.update(network, step)
        if processes.first and (
            step == total or time.monotonic() - last > settings.checkpoint_seconds
        ):
            _save(checkpoint, network, optimizer, ema, made, step)
            last = time.monotonic()
        yield TrainProgress(step, step * settings.batch_size, shown, ema)


def _record(network: nn.Module, loss: Loss, images: Tensor) -> dict[str, str]:
    """What is trained: the loss with its parameters, its frozen networks and tensors by their
    hashes, and the images' hash."""
    record = {
        "loss": getattr(loss, "__qualname__", type(loss).__qualname__),
        "images": describe(images),
    }
    parts: Any = loss
    for name in [field.name for field in fields(parts)] if is_dataclass(parts) else []:
        value = getattr(parts, name)
        if isinstance(value, NetworkDenoiser) and value.network is network:
            value = replace(value, network=nn.Identity())
        record[name] = describe(value)
    return record


def _save(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: PowerEMA,
    made: dict[str, Any],
    step: int,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "ema": ema.weights,
        "step": step,
        **made,
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def _resume(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: PowerEMA,
    made: dict[str, Any],
) -> int:
    state = _read(path)
    for part, now in made.items():
        kept = state.get(
            part, now
        )  # checkpoints from before there was a record say only their settings
        for key, value in now.items():
            before = kept[key] if key in kept else BEFORE[part].get(key, value)
            if key not in FREE and before != value:
                raise ConfigError(
                    f"{path} was made with {key}={before}, now {key}={value}: give the same or "
                    "another --out"
                )
    try:
        network.load_state_dict(state["network"])
        for kept, mine in zip(
            state["optimizer"]["param_groups"], optimizer.param_groups, strict=True
        ):
            kept["fused"] = mine[
                "fused"
            ]  # of this device, not of the one that the checkpoint is from
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{path} holds another network, give the same or another --out: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    asked, batch = made["settings"]["num_images"], made["settings"]["batch_size"]
    if state["step"] > -(-asked // batch):
        raise ConfigError(
            f"{path} has seen {state['step'] * batch:,} images and --num-images asks for "
            f"{asked:,}: give as many or more, or another --out"
        )
    for (
        weight,
        held,
    ) in optimizer.state.items():  # a fused step pairs weights and moments by their place in memory
        held |= {
            key: torch.empty_like(weight).copy_(value)
            for key, value in held.items()
            if key != "step"
        }
    ema.load(state["ema"])
    return state["step"]


def _read(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch meets damaged bytes with errors of any kind
        raise WeightsError(
            f"cannot read the checkpoint {path} ({type(error).__name__}): remove it to start "
            "anew, or give another --out"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(state.get(key), kind) for key, kind in PARTS.items()
    ):
        raise WeightsError(
            f"{path} is no checkpoint of a training: remove it to start anew, or give another --out"
        )
    return state
