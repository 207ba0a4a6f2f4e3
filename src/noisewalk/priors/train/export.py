"""A training as a command runs it: progress on the terminal, then a prior's folder with card,
weights and a sheet of samples."""

import copy
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ... import noise as keyed
from ...errors import WeightsError
from ...files.images import save_png
from ...maps.consistency import Consistency
from ...maps.ode import ProbabilityFlow
from ...storage.atomic import write_whole
from ..cards import read_card
from ..denoiser import NetworkDenoiser
from ..diffusers import build_unet, write_unet
from .checks import check_network
from .data import to_unit
from .loop import Loss, TrainSettings, train
from .processes import ALONE, Processes
from .show import show

SHEET_SECONDS = 600.0
"""Time between two looks at a training: a sheet of samples, the loss of held-out images."""
MOST_HELD_OUT, HELD_OUT_BATCH = 1024, 64
"""Held-out images whose loss is computed, and how many at a time."""


@dataclass(frozen=True)
class Recipe:
    """What to train and what to write about it.

    Arguments:
        denoiser: the scaling around the network.
        loss: loss per image.
        settings: length, rates, seed.
        command: what reproduces the training.
        facts: of the data, the recipe and the teacher, for the card.
    """

    denoiser: NetworkDenoiser
    loss: Loss
    settings: TrainSettings
    command: str
    facts: Mapping[str, Any]


def new_network(size: int, channels: int, config: Mapping[str, Any], seed: int) -> nn.Module:
    """A network with seeded random weights; the global generator is left as it was.

    Arguments:
        size: image side.
        channels: image channels.
        config: widths (multiples of 32), attention, unshuffle.
        seed: of the weights.

    Returns:
        The network.

    Raises:
        ConfigError: a configuration that makes no network for images of that size.
    """
    check_network(size, config["widths"], config["attention"], config["unshuffle"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_unet(
            size,
            channels,
            config["widths"],
            attention=config["attention"],
            unshuffle=config["unshuffle"],
        )


def run_training(
    recipe: Recipe,
    images: Tensor,
    out: Path,
    processes: Processes = ALONE,
    held_out: Tensor | None = None,
) -> None:
    """Train with progress and write the prior; every ten minutes a sheet of the averaged weights'
    samples, and a line of loss.csv.

    Arguments:
        recipe: what to train.
        images: (N, C, H, W) uint8.
        out: folder of the prior; holds checkpoint.pt too.
        processes: that share the training; the first one writes.
        held_out: (M, C, H, W) uint8 whose loss loss.csv tells; None: there is no loss.csv.
    """
    settings, network, ema = recipe.settings, recipe.denoiser.network, None
    checkpoint, last = out / "checkpoint.pt", time.monotonic()
    steps = train(network, recipe.loss, images, settings, checkpoint, processes)
    for progress in show(steps, settings.num_images) if processes.first else steps:
        ema, seen = progress.ema, progress.images
        if processes.first and time.monotonic() - last >= SHEET_SECONDS:
            out.mkdir(parents=True, exist_ok=True)
            averaged = replace(recipe.denoiser, network=copy.deepcopy(network))
            write_sheet(averaged, ema.weights, out / "samples.png")
            log_loss(recipe, averaged.network, seen, held_out, out)
            last = time.monotonic()
    if not processes.first:
        return
    if ema is None:  # the checkpoint was complete already
        state = torch.load(checkpoint, map_location=processes.device, weights_only=True)
        weights, seen = state["ema"], state["step"] * settings.batch_size
    else:
        weights = ema.weights
    write_prior(recipe, weights, seen, out, processes.count)
    log_loss(recipe, network, seen, held_out, out)
    print(
        f"wrote {out}: load it with noisewalk.load_prior({str(out)!r}); look at "
        f"{out / 'samples.png'}"
    )


def log_loss(
    recipe: Recipe, network: nn.Module, seen: int, held_out: Tensor | None, out: Path
) -> None:
    """Add a line to loss.csv, in place of those that are not earlier: images seen, and the mean
    loss of held-out images under the same noise each time.

    Arguments:
        recipe: with the loss.
        network: with averaged weights, in evaluation mode.
        seen: images seen.
        held_out: (M, C, H, W) uint8; None: nothing is done.
        out: folder of the prior.
    """
    if held_out is None:
        return
    settings, device, values = recipe.settings, next(network.parameters()).device, []
    chosen = held_out[
        :: -(-len(held_out) // MOST_HELD_OUT)
    ]  # from all over: a folder may be in the order of its classes
    for k, part in enumerate(chosen.split(HELD_OUT_BATCH)):
        with (
            torch.no_grad(),
            torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16),
        ):
            values.append(
                recipe.loss(
                    network, to_unit(part.to(device)), torch.Generator().manual_seed(k), 1.0
                )
                .float()
                .cpu()
            )
    path, header, value = (
        out / "loss.csv",
        "images_seen,held_out_loss",
        float(torch.cat(values).mean()),
    )
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    earlier = [
        line for line in lines if line and int(line.split(",")[0]) < seen
    ]  # a training that went on from a checkpoint comes by here again
    text = "\n".join([header, *earlier, f"{seen},{value:.6g}"]) + "\n"
    write_whole(path, lambda partial: partial.write_text(text))


def write_prior(
    recipe: Recipe, weights: dict[str, Tensor], seen: int, out: Path, num_processes: int = 1
) -> None:
    """Write unet/, card.json and samples.png; the card of the very same weights is left as it is,
    with what was measured since.

    Arguments:
        recipe: what was trained.
        weights: averaged weights.
        seen: images seen.
        out: folder of the prior.
        num_processes: that shared the training; the card names it where there were several.
    """
    denoiser = recipe.denoiser
    card: dict[str, Any] = {
        "kind": denoiser.kind,
        "shape": list(denoiser.shape),
        **{k: getattr(denoiser, k) for k in ("sigma_min", "sigma_max", "sigma_data", "unshuffle")},
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
    """Of the weights that a folder's card is of; None where there is no card that can be read."""
    try:
        return str(read_card(folder)["sha256"])
    except WeightsError:
        return None


def write_sheet(denoiser: NetworkDenoiser, weights: dict[str, Tensor], path: Path) -> None:
    """Write a picture of 64 samples, the same noise each time.

    Arguments:
        denoiser: the scaling around a network, which takes over the weights.
        weights: averaged weights.
        path: the PNG.
    """
    denoiser.network.load_state_dict(weights)
    trained = replace(denoiser, network=denoiser.network.eval())
    phi = Consistency(trained) if denoiser.kind == "consistency" else ProbabilityFlow(trained)
    device = next(trained.network.parameters()).device
    with torch.no_grad():
        x = phi(keyed.rows(0, 64).normal(trained.shape, keyed.INIT).to(device))
    channels, height, width = trained.shape
    save_png(
        x.reshape(8, 8, channels, height, width)
        .permute(2, 0, 3, 1, 4)
        .reshape(channels, 8 * height, 8 * width),
        path,
    )
