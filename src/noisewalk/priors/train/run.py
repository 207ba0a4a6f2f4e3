"""A training as a command runs it: train with progress, look at it on the way, write the prior."""

import copy
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ...storage.atomic import write_whole
from .data import to_unit
from .export import write_prior, write_sheet
from .loop import train
from .processes import ALONE, Processes
from .progress import show
from .recipe import Recipe

SHEET_SECONDS = 600.0  # between two looks: a sheet of samples, the loss of held-out images
MOST_HELD_OUT, HELD_OUT_BATCH = 1024, 64  # whose loss is computed, and how many at a time


def run_training(
    recipe: Recipe,
    images: Tensor,
    out: Path,
    processes: Processes = ALONE,
    held_out: Tensor | None = None,
    progress: bool = True,
) -> None:
    """Train on uint8 images and write the prior; on the way write sheets and loss.csv."""
    settings, network, ema = recipe.settings, recipe.denoiser.network, None
    checkpoint, last = out / "checkpoint.pt", time.monotonic()
    steps = train(network, recipe.loss, images, settings, checkpoint, processes)
    for step in show(steps, settings.num_images, progress and processes.first):
        ema, seen = step.ema, step.images
        if processes.first and time.monotonic() - last >= SHEET_SECONDS:
            out.mkdir(parents=True, exist_ok=True)
            averaged = replace(recipe.denoiser, network=copy.deepcopy(network))
            write_sheet(averaged, ema.weights, out / "samples.png")
            log_loss(recipe, averaged.network, seen, held_out, out)
            last = time.monotonic()
    if not processes.first:
        return
    weights = None if ema is None else ema.weights
    if weights is None:  # the checkpoint was complete already
        state = torch.load(checkpoint, map_location=processes.device, weights_only=True)
        weights, seen = state["ema"], state["step"] * settings.batch_size
    write_prior(recipe, weights, seen, out, processes.count)
    log_loss(recipe, network, seen, held_out, out)
    sheet = out / "samples.png"
    print(f"wrote {out}: load it with noisewalk.load_prior({str(out)!r}); look at {sheet}")


def log_loss(
    recipe: Recipe, network: nn.Module, seen: int, held_out: Tensor | None, out: Path
) -> None:
    """Add the mean loss of held-out images to loss.csv, in place of later lines."""
    if held_out is None:
        return
    device, values = next(network.parameters()).device, []
    chosen = held_out[:: -(-len(held_out) // MOST_HELD_OUT)]  # a folder may be sorted by class
    for k, part in enumerate(chosen.split(HELD_OUT_BATCH)):
        rounded = recipe.settings.bfloat16
        generator = torch.Generator().manual_seed(k)
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=rounded):
            value = recipe.loss(network, to_unit(part.to(device)), generator, 1.0)
        values.append(value.float().cpu())
    path, mean = out / "loss.csv", float(torch.cat(values).mean())
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    # a training that went on from a checkpoint comes by here again
    earlier = [line for line in lines if line and int(line.split(",")[0]) < seen]
    text = "\n".join(["images_seen,held_out_loss", *earlier, f"{seen},{mean:.6g}"]) + "\n"
    write_whole(path, lambda partial: partial.write_text(text))
