"""A training as a command runs it: progress on the terminal, then a prior's folder with card, weights and a sheet of samples."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import noise as keyed
from ..inputs import save_png
from ..maps.consistency import Consistency
from ..maps.ode import ProbabilityFlow
from ..priors.denoiser import NetworkDenoiser
from ..priors.diffusers import build_unet, write_unet
from .loop import Loss, TrainSettings, train


@dataclass(frozen=True)
class Recipe:
    """What to train and what to write about it.

    Arguments:
        denoiser: the scaling around the network.
        loss: loss per image.
        settings: length, rates, seed.
        data: what the images are called in the card.
        command: what reproduces the training.
    """

    denoiser: NetworkDenoiser
    loss: Loss
    settings: TrainSettings
    data: str
    command: str


def new_network(size: int, channels: int, config: Mapping[str, Any], seed: int) -> nn.Module:
    """A network with seeded random weights; the global generator is left as it was.

    Arguments:
        size: image side.
        channels: image channels.
        config: widths, attention, unshuffle.
        seed: of the weights.

    Returns:
        The network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_unet(size, channels, config["widths"], attention=config["attention"], unshuffle=config["unshuffle"])


def run_training(recipe: Recipe, images: Tensor, out: Path) -> None:
    """Train with progress and write the prior.

    Arguments:
        recipe: what to train.
        images: (N, C, H, W) uint8.
        out: folder of the prior; holds checkpoint.pt too.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    out.mkdir(parents=True, exist_ok=True)
    network, weights, seen, mean = recipe.denoiser.network, None, 0, None
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("loss {task.fields[loss]:.4f}"))
    with Progress(*columns) as bar:
        task = bar.add_task("train", total=recipe.settings.num_images, loss=float("nan"))
        for progress in train(network, recipe.loss, images, recipe.settings, out / "checkpoint.pt"):
            mean = progress.loss if mean is None else 0.98 * mean + 0.02 * progress.loss
            weights, seen = progress.ema.weights, progress.images
            bar.update(task, completed=seen, loss=mean)
    if weights is None:  # the checkpoint was complete already
        state = torch.load(out / "checkpoint.pt", weights_only=True)
        weights, seen = state["ema"], state["step"] * recipe.settings.batch_size
    write_prior(recipe, weights, seen, out)
    print(f"wrote {out}: load it with noisewalk.load_prior({str(out)!r}); look at {out / 'samples.png'}")


def write_prior(recipe: Recipe, weights: dict[str, Tensor], seen: int, out: Path) -> None:
    """Write unet/, card.json and samples.png.

    Arguments:
        recipe: what was trained.
        weights: averaged weights.
        seen: images seen.
        out: folder of the prior.
    """
    denoiser = recipe.denoiser
    card: dict[str, Any] = {
        "kind": denoiser.kind,
        "shape": list(denoiser.shape),
        **{k: getattr(denoiser, k) for k in ("sigma_min", "sigma_max", "sigma_data", "unshuffle")},
        **({"midpoint": 1.0} if denoiser.kind == "consistency" else {}),
        "data": recipe.data,
        "images_seen": seen,
        "settings": asdict(recipe.settings),
        "command": recipe.command,
        "sha256": write_unet(denoiser.network, weights, out / "unet"),
    }
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    denoiser.network.load_state_dict(weights)
    trained = replace(denoiser, network=denoiser.network.eval())
    phi = Consistency(trained) if denoiser.kind == "consistency" else ProbabilityFlow(trained)
    with torch.no_grad():
        x = phi(keyed.rows(0, 64).normal(trained.shape, keyed.INIT))
    channels, height, width = trained.shape
    save_png(x.reshape(8, 8, channels, height, width).permute(2, 0, 3, 1, 4).reshape(channels, 8 * height, 8 * width), out / "samples.png")
