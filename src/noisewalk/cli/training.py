"""What both trainings do with their options: check them, read the images, train, push."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from torch import Tensor, nn

from .._repr import describe
from ..errors import ConfigError, NoisewalkError
from ..priors import hub, load
from ..priors.denoiser import NetworkDenoiser
from ..priors.train import run as runs
from ..priors.train.check_images import check_images
from ..priors.train.data import image_names, load_images
from ..priors.train.processes import Processes
from ..priors.train.recipe import Recipe, TrainSettings
from .options import DTYPES

if TYPE_CHECKING:
    from .train import TrainOptions


def check(options: "TrainOptions", **sources: str | None) -> None:
    """ConfigError for a dtype, a push or a folder that cannot be, such as that of a source."""
    o = options
    if o.dtype not in ("float32", "bfloat16"):
        why = f": {o.dtype} is for sampling alone" if o.dtype in DTYPES else ""
        must = "--dtype of a training must be float32 or bfloat16"
        raise ConfigError(f"{must}, got {o.dtype!r}{why}")
    for name, source in sources.items():
        if source and Path(source).exists() and o.out.exists() and o.out.samefile(source):
            kept = "write into another folder, so that what the training started from is kept"
            raise ConfigError(f"--{name} and --out are both {o.out}: {kept}")
    if o.push_to_hub is None:
        if o.private:
            raise ConfigError("--private belongs to --push-to-hub OWNER/NAME: give it or neither")
        return
    if o.push_to_hub.count("/") != 1:
        raise ConfigError(f"--push-to-hub takes OWNER/NAME, got {o.push_to_hub!r}")
    from huggingface_hub import get_token

    if get_token() is None:
        how = "run `hf auth login`, or set HF_TOKEN, before a training of hours"
        raise ConfigError(f"--push-to-hub needs a login: {how}")


def settings_of(options: "TrainOptions", network: nn.Module, **rates: Any) -> TrainSettings:
    """The settings of a training that starts from this network."""
    o, start = options, None if options.start is None else describe(network)
    rates |= {"augment": o.augment, "lr_decay": o.lr_decay, "start": start}
    return TrainSettings(o.num_images, o.batch_size, seed=o.seed, bfloat16=o.half, **rates)


def trainable(source: str, kind: str) -> NetworkDenoiser:
    """The denoiser of a prior of that kind, with a network that may be trained."""
    denoiser = load.load_prior(source).denoiser
    if not isinstance(denoiser, NetworkDenoiser) or denoiser.kind != kind:
        found = "generator" if denoiser is None else denoiser.kind
        raise ConfigError(f"--start takes a prior of kind {kind}, and {source} is of kind {found}")
    denoiser.network.requires_grad_(True)
    return denoiser


def facts_of(data: Path, images: Tensor) -> dict[str, Any]:
    """What the card says of the data: its name, the number of images, and their hash."""
    digest = describe(images).split("#")[1]
    return {"data": data.name, "num_training_images": len(images), "data_sha256": digest}


def read_images(
    options: "TrainOptions", shape: tuple[int, ...], processes: Processes
) -> tuple[Tensor, Tensor | None]:
    """The training images, checked, and the held-out ones; what is found is printed."""
    data, held_out = options.data, options.held_out
    images, others, names, apart = load_images(data, shape[-1], shape[0]), None, [], ""
    if held_out is not None:
        others = load_images(held_out, shape[-1], shape[0])
        names = image_names(held_out, len(others))
        apart = f", none of them among the {len(others):,} of {held_out}"
    warnings = check_images(images, image_names(data, len(images)), others, names)
    if processes.first:
        print(f"{len(images):,} images {'x'.join(map(str, shape))} of {data}{apart}")
        for warning in warnings:
            print(f"  warning: {warning}", flush=True)
    return images, others


def run(
    options: "TrainOptions",
    recipe: Recipe,
    images: Tensor,
    held_out: Tensor | None,
    processes: Processes,
) -> None:
    """Print the settings, train, write the prior and push it."""
    out = options.out
    if processes.first:
        print(announcement(recipe, processes.count))
        print(f"  into {out}; the same command goes on where it was stopped", flush=True)
    try:
        runs.run_training(recipe, images, out, processes, held_out)
    except KeyboardInterrupt:
        after = "starts anew: there is no checkpoint yet"
        if (out / "checkpoint.pt").exists():
            after = f"goes on from the last checkpoint in {out}"
        print(f"interrupted: the same command {after}", file=sys.stderr)
        raise typer.Exit(130) from None
    if options.push_to_hub is not None and processes.first:
        _push(out, options.push_to_hub, options.private)


def announcement(recipe: Recipe, num_processes: int) -> str:
    """The settings and the cost of a training."""
    settings, network, loss = recipe.settings, recipe.denoiser.network, recipe.loss
    weights = sum(p.numel() for p in network.parameters()) / 1e6
    dtype = "bfloat16" if settings.bfloat16 else "float32"
    shared = "" if num_processes == 1 else f" by {num_processes} processes"
    nfe = settings.num_steps * settings.batch_size * loss.nfe  # type: ignore[attr-defined]
    return (
        f"  {type(loss).__name__} of {type(network).__name__}, {weights:.3g} M weights, "
        f"{dtype}{shared}\n"
        f"  {settings.num_steps:,} steps of {settings.batch_size} images, lr {settings.lr:g}, "
        f"augment {settings.augment}, seed {settings.seed}  NFE {nfe:,}"
    )


def _push(out: Path, repository: str, private: bool) -> None:
    try:
        address = hub.push_prior(out, repository, private)
    except NoisewalkError as error:
        words = ["noisewalk", "priors", "push", str(out), repository, *["--private"] * private]
        raise type(error)(f"{error}; `{shlex.join(words)}` tries again") from error
    print(f"{address}: load it with noisewalk.load_prior({repository!r})")
