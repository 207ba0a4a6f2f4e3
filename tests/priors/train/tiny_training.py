"""A training of seconds: a network of one level, or of one number, on sixteen images."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.train.loop import train
from noisewalk.priors.train.losses.consistency import DistillLoss
from noisewalk.priors.train.losses.diffusion import DiffusionLoss
from noisewalk.priors.train.network import new_network
from noisewalk.priors.train.recipe import Recipe, TrainSettings

IMAGES = torch.randint(
    0, 256, (16, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)


ALWAYS = 0.0
"""checkpoint_seconds that write one after each step."""


def tiny(seed: int) -> nn.Module:
    return new_network(8, 1, (32,), seed=seed)


def settings(steps: int = 6, **others: Any) -> TrainSettings:
    return TrainSettings(
        **{
            "num_images": 4 * steps,
            "batch_size": 4,
            "lr_warmup": 2,
            "lr_hold": 4,
            "checkpoint_seconds": ALWAYS,
            **others,
        }
    )


def training(network: nn.Module, folder: Path, chosen: TrainSettings):
    return train(
        network,
        DiffusionLoss(NetworkDenoiser(network, "edm", (1, 8, 8))),
        IMAGES,
        chosen,
        folder / "checkpoint.pt",
    )


class Weight(nn.Module):
    """One number."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros((), dtype=torch.float64))


def descend(network: nn.Module, x: Tensor, generator: torch.Generator, done: float) -> Tensor:
    return network.value.expand(len(x))


def recipe(
    kind: str = "edm", shape: tuple[int, ...] = (1, 8, 8), unshuffle: int = 1, seed: int = 0
) -> Recipe:
    network = new_network(shape[1], shape[0], (32,), unshuffle=unshuffle, seed=seed)
    denoiser = NetworkDenoiser(
        network, kind, shape, sigma_min=0.003, sigma_max=60.0, sigma_data=0.4, unshuffle=unshuffle
    )
    chosen = TrainSettings(12, batch_size=4, checkpoint_seconds=0.0)
    loss = DiffusionLoss(denoiser) if kind == "edm" else DistillLoss(denoiser, denoiser, "ct")
    return Recipe(
        denoiser,
        loss,
        chosen,
        "noisewalk train diffusion --data x --out y",
        {"data": "sixteen random images"},
    )
