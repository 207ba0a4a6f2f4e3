"""`noisewalk train diffusion` and `noisewalk train distill`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Add the training commands.

    Arguments:
        app: the `train` group.
    """
    app.command()(diffusion)
    app.command()(distill)


def diffusion(
    data: Annotated[Path, typer.Option(help="IDX file, .npz or folder of images.")],
    out: Annotated[Path, typer.Option(help="Folder of the prior; an existing training goes on.")],
    size: Annotated[int, typer.Option(help="Image side.")] = 32,
    channels: Annotated[int, typer.Option(help="1 or 3.")] = 1,
    num_images: Annotated[int, typer.Option(help="Training length in images seen.")] = 500_000,
    widths: Annotated[str, typer.Option(help="Channels of each level, multiples of 32.")] = "64,96,128",
    attention: Annotated[str, typer.Option(help="Levels with attention, from 0.")] = "2",
    unshuffle: Annotated[int, typer.Option(help="Pixel-unshuffle factor.")] = 2,
    p_mean: Annotated[float, typer.Option(help="Mean of ln(sigma).")] = -1.0,
    p_std: Annotated[float, typer.Option(help="Standard deviation of ln(sigma).")] = 1.4,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 128,
    lr: Annotated[float, typer.Option(help="Adam's learning rate.")] = 1e-3,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Autocast the network.")] = False,
    seed: Annotated[int, typer.Option(help="Of weights, noise and order.")] = 0,
) -> None:
    """Train an EDM teacher."""
    from .priors.denoiser import NetworkDenoiser
    from .train.data import load_images
    from .train.diffusion import DiffusionLoss
    from .train.export import Recipe, new_network, run_training
    from .train.loop import TrainSettings

    images = load_images(data, size, channels)
    config = {"widths": _numbers(widths), "attention": _numbers(attention), "unshuffle": unshuffle}
    network = new_network(size, channels, config, seed)
    denoiser = NetworkDenoiser(network, "edm", (channels, size, size), unshuffle=unshuffle)
    settings = TrainSettings(num_images, batch_size, lr, seed=seed, bfloat16=bfloat16)
    run_training(Recipe(denoiser, DiffusionLoss(denoiser, p_mean, p_std), settings, data.name, _command()), images, out)


def distill(
    data: Annotated[Path, typer.Option(help="IDX file, .npz or folder of images.")],
    teacher: Annotated[str, typer.Option(help="Bundled teacher or folder.")],
    out: Annotated[Path, typer.Option(help="Folder of the prior; an existing training goes on.")],
    recipe: Annotated[str, typer.Option(help="trajectory, cd or ct.")] = "trajectory",
    num_images: Annotated[int, typer.Option(help="Training length in images seen.")] = 500_000,
    num_trajectories: Annotated[int, typer.Option(help="Teacher trajectories of the recipe `trajectory`.")] = 20_000,
    start: Annotated[str | None, typer.Option(help="Consistency prior whose weights the student starts from; by default the teacher's.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 64,
    lr: Annotated[float, typer.Option(help="Adam's learning rate.")] = 1e-3,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Autocast the network.")] = False,
    seed: Annotated[int, typer.Option(help="Of noise and order.")] = 0,
) -> None:
    """Distil a teacher into a consistency model."""
    import copy
    from dataclasses import replace

    from .errors import ConfigError
    from .priors.load import load_prior
    from .train.data import load_images
    from .train.distill import DistillLoss
    from .train.export import Recipe, run_training
    from .train.loop import TrainSettings
    from .train.trajectory import TrajectoryLoss, teacher_trajectories

    if recipe not in ("trajectory", "cd", "ct"):
        raise ConfigError(f"unknown --recipe {recipe!r}: choose trajectory, cd or ct")
    source = load_prior(teacher)
    guide = source.denoiser
    if guide is None or guide.kind != "edm":
        raise ConfigError(f"{teacher} is no diffusion model: a student needs a teacher of kind edm")
    images = load_images(data, source.shape[1], source.shape[0])
    first = guide if start is None else load_prior(start).denoiser
    if first is None or first.shape != guide.shape:
        raise ConfigError(f"{start} makes no images of shape {source.shape}: start from a student of this teacher")
    network = copy.deepcopy(first.network).requires_grad_(True)
    denoiser = replace(guide, network=network, kind="consistency")
    settings = TrainSettings(num_images, batch_size, lr, lr_hold=600, seed=seed, bfloat16=bfloat16)
    loss: Any = DistillLoss(denoiser, guide, recipe) if recipe != "trajectory" else None
    if loss is None:
        paths = teacher_trajectories(guide, num_trajectories, 9, out / "trajectories.safetensors", seed, bfloat16=bfloat16)
        loss = TrajectoryLoss(denoiser, paths)
    run_training(Recipe(denoiser, loss, settings, data.name, _command()), images, out)


def _numbers(text: str) -> tuple[int, ...]:
    from .errors import ConfigError

    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError as error:
        raise ConfigError(f"expected whole numbers separated by commas, got {text!r}") from error


def _command() -> str:
    return shlex.join(["noisewalk", *sys.argv[1:]])
