"""The folder of a trained prior: network, card, and a sheet of samples."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ... import noise as keyed
from ...errors import WeightsError
from ...files.images import save_png
from ...maps.consistency import Consistency
from ...maps.ode import ProbabilityFlow
from ..cards import read_card
from ..denoiser import NetworkDenoiser
from ..diffusers import write_unet
from .recipe import Recipe


def write_prior(
    recipe: Recipe, weights: dict[str, Tensor], seen: int, out: Path, num_processes: int = 1
) -> None:
    """Write a prior's folder; a card of the same weights stays, with what was measured since."""
    denoiser = recipe.denoiser
    scaling = ("sigma_min", "sigma_max", "sigma_data", "unshuffle")
    card: dict[str, Any] = {
        "kind": denoiser.kind,
        "shape": list(denoiser.shape),
        **{key: getattr(denoiser, key) for key in scaling},
        **({"midpoint": 1.0} if denoiser.kind == "consistency" else {}),
        **recipe.facts,
        "images_seen": seen,
        "settings": asdict(recipe.settings),
        "command": recipe.command,
        **({"num_processes": num_processes} if num_processes > 1 else {}),
        "sha256": write_unet(denoiser.network, weights, out / "unet"),
    }
    if _sha_of(out) != card["sha256"]:
        (out / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    write_sheet(denoiser, weights, out / "samples.png")


def _sha_of(folder: Path) -> str | None:
    """The hash in a folder's card; None where there is no card that can be read."""
    try:
        return str(read_card(folder)["sha256"])
    except WeightsError:
        return None


def write_sheet(denoiser: NetworkDenoiser, weights: dict[str, Tensor], path: Path) -> None:
    """Write a picture of 64 samples, of the same noise each time."""
    denoiser.network.load_state_dict(weights)
    trained = replace(denoiser, network=denoiser.network.eval())
    phi = Consistency(trained) if denoiser.kind == "consistency" else ProbabilityFlow(trained)
    device = next(trained.network.parameters()).device
    with torch.no_grad():
        x = phi(keyed.rows(0, 64).normal(trained.shape, keyed.INIT).to(device))
    channels, height, width = trained.shape
    tiles = x.reshape(8, 8, channels, height, width).permute(2, 0, 3, 1, 4)
    save_png(tiles.reshape(channels, 8 * height, 8 * width), path)
