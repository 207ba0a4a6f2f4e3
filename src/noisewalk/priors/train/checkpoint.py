"""The checkpoint of a training, which is resumed with the same settings, loss and images alone."""

from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..._repr import describe
from ...errors import ConfigError, WeightsError
from ...storage.atomic import write_whole
from ..denoiser import NetworkDenoiser
from .ema import PowerEMA
from .recipe import Loss, TrainSettings

FREE = ("num_images", "checkpoint_seconds")  # these may change when a training is resumed
BEFORE: dict[str, dict[str, Any]] = {
    "settings": {"augment": "none", "lr_decay": 0.0},
    "record": {"augment": repr("none"), "distance": repr("huber")},
}
"""What trainings did before these settings existed; any other that is absent is not compared."""
PARTS = {"network": dict, "optimizer": dict, "ema": dict, "settings": dict, "step": int}


def origin_of(
    settings: TrainSettings, network: nn.Module, loss: Loss, images: Tensor
) -> dict[str, dict[str, Any]]:
    """What is trained: settings, loss with its parameters, hashes of images and frozen networks."""
    name = getattr(loss, "__qualname__", type(loss).__qualname__)
    record = {"loss": name, "images": describe(images)}
    parts: Any = loss
    for part in [field.name for field in fields(parts)] if is_dataclass(parts) else []:
        value = getattr(parts, part)
        if isinstance(value, NetworkDenoiser) and value.network is network:
            value = replace(value, network=nn.Identity())
        record[part] = describe(value)
    return {"settings": asdict(settings), "record": record}


@dataclass
class Checkpoint:
    """The file of a training, with what it saves and what that was made from."""

    path: Path
    network: nn.Module
    optimizer: torch.optim.Optimizer
    ema: PowerEMA
    origin: dict[str, dict[str, Any]]

    def save(self, step: int) -> None:
        """Write the state after a step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        network, optimizer = self.network.state_dict(), self.optimizer.state_dict()
        state = {"network": network, "optimizer": optimizer, "ema": self.ema.weights, "step": step}
        write_whole(self.path, lambda partial: torch.save({**state, **self.origin}, partial))

    def resume(self) -> int:
        """Take over the file's state and return its step; 0 without a file."""
        if not self.path.exists():
            return 0
        state = self._read()
        self._compare(state)
        try:
            self.network.load_state_dict(state["network"])
            groups, own = state["optimizer"]["param_groups"], self.optimizer.param_groups
            for kept, mine in zip(groups, own, strict=True):
                kept["fused"] = mine["fused"]  # of this device, not the one of the checkpoint
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            way_out = "give the same or another --out"
            raise ConfigError(f"{self.path} holds another network, {way_out}: {reason}") from error
        # a fused step pairs weights and moments by their place in memory
        for weight, held in self.optimizer.state.items():
            for key in held.keys() - {"step"}:
                held[key] = torch.empty_like(weight).copy_(held[key])
        self.ema.load(state["ema"])
        return state["step"]

    def _read(self) -> dict[str, Any]:
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch meets damaged bytes with errors of any kind
            what = f"cannot read the checkpoint {self.path} ({type(error).__name__})"
            way_out = "remove it to start anew, or give another --out"
            raise WeightsError(f"{what}: {way_out}") from error
        held = state if isinstance(state, dict) else {}
        if not all(isinstance(held.get(key), kind) for key, kind in PARTS.items()):
            what = f"{self.path} is no checkpoint of a training"
            raise WeightsError(f"{what}: remove it to start anew, or give another --out")
        return held

    def _compare(self, state: dict[str, Any]) -> None:
        """Refuse another origin, or a training that is already longer than what is asked for."""
        for part, now in self.origin.items():
            kept = state.get(part, now)  # the oldest checkpoints have settings alone
            for key, value in now.items():
                before = kept[key] if key in kept else BEFORE[part].get(key, value)
                if key not in FREE and before != value:
                    changed = f"made with {key}={before}, now {key}={value}"
                    raise ConfigError(f"{self.path} was {changed}: give the same or another --out")
        settings, step = self.origin["settings"], state["step"]
        asked, batch = settings["num_images"], settings["batch_size"]
        if step > -(-asked // batch):
            seen = f"{self.path} has seen {step * batch:,} images and --num-images asks for"
            raise ConfigError(f"{seen} {asked:,}: give as many or more, or another --out")
