"""`noisewalk train diffusion` and `noisewalk train distill`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from ..priors.denoiser import NetworkDenoiser
    from ..priors.train.processes import Processes
    from ..priors.train.recipe import Recipe

RECIPES = ("trajectory", "cd", "ct", "scd")
DATA = typer.Option(help="IDX file, .npz or folder of images.")
OUT = typer.Option(help="Folder of the prior; an existing training goes on.")
HELD_OUT = typer.Option(
    help=(
        "IDX file, .npz or folder of images that must not be among --data, compared pixel by "
        "pixel; loss.csv has their loss."
    )
)
HELD_OUT_STUDENT = typer.Option(
    help=(
        "Images that must not be among --data; loss.csv has their loss, but for the recipe "
        "trajectory, which sees no images."
    )
)
DECAY = typer.Option(help="Share of the training at its end over which the rate falls to 0.")
AUGMENT = typer.Option(
    help=(
        "Symmetry of the data: none, flip (left-right) or dihedral (flips and quarter turns, as of "
        "satellite images)."
    )
)
DEVICE = typer.Option(
    help="cpu or cuda; several GPUs by torchrun --nproc-per-node N --no-python noisewalk train ..."
)
DTYPE = typer.Option(
    help="Of the network's arithmetic: float32, or bfloat16 by autocast; weights stay float32."
)
BFLOAT16 = typer.Option("--bfloat16", help="The same as --dtype bfloat16.")
PUSH = typer.Option(
    metavar="OWNER/NAME",
    help="Upload the finished prior to the Hub (log in first: hf auth login, or HF_TOKEN).",
)
PRIVATE = typer.Option("--private", help="Of --push-to-hub: only its owner sees it.")


def register(app: typer.Typer) -> None:
    """Add the training commands.

    Arguments:
        app: the `train` group.
    """
    app.command()(diffusion)
    app.command()(distill)


def diffusion(
    data: Annotated[Path, DATA],
    out: Annotated[Path, OUT],
    size: Annotated[int | None, typer.Option(help="Image side; 32, or that of --start.")] = None,
    channels: Annotated[int | None, typer.Option(help="1 or 3; 1, or those of --start.")] = None,
    num_images: Annotated[int, typer.Option(help="Training length in images seen.")] = 500_000,
    widths: Annotated[
        str | None,
        typer.Option(
            help="Channels of each level, multiples of 32; 64,96,128, or those of --start."
        ),
    ] = None,
    attention: Annotated[
        str | None,
        typer.Option(
            help="Levels with attention, from 0; the last, or those of --start; '' for none."
        ),
    ] = None,
    unshuffle: Annotated[
        int | None, typer.Option(help="Pixel-unshuffle factor; 2, or that of --start.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help=(
                "Diffusion prior whose network and weights the training starts from, its "
                "checkpoint being lost."
            )
        ),
    ] = None,
    p_mean: Annotated[float, typer.Option(help="Mean of ln(sigma).")] = -1.0,
    p_std: Annotated[float, typer.Option(help="Standard deviation of ln(sigma).")] = 1.4,
    batch_size: Annotated[int, typer.Option(help="Images per step, of all GPUs together.")] = 128,
    lr: Annotated[float, typer.Option(help="Adam's learning rate.")] = 1e-3,
    lr_decay: Annotated[float, DECAY] = 0.0,
    augment: Annotated[str, AUGMENT] = "none",
    held_out: Annotated[Path | None, HELD_OUT] = None,
    push_to_hub: Annotated[str | None, PUSH] = None,
    private: Annotated[bool, PRIVATE] = False,
    seed: Annotated[int, typer.Option(help="Of weights, noise and order.")] = 0,
    device: Annotated[str, DEVICE] = "cpu",
    dtype: Annotated[str, DTYPE] = "float32",
    bfloat16: Annotated[bool, BFLOAT16] = False,
) -> None:
    """Train an EDM teacher."""
    from ..errors import ConfigError
    from ..priors.denoiser import NetworkDenoiser
    from ..priors.train.losses.diffusion import DiffusionLoss
    from ..priors.train.network import new_network
    from ..priors.train.processes import join
    from ..priors.train.recipe import Recipe, TrainSettings
    from .options import make_folder

    autocast = _checked(out, {"start": start}, dtype, bfloat16, push_to_hub, private)
    with join(device) as processes:
        if start is None:
            side, colours, factor = (
                usual if value is None else value
                for value, usual in ((size, 32), (channels, 1), (unshuffle, 2))
            )
            levels = _numbers("64,96,128" if widths is None else widths)
            config: dict[str, Any] = {
                "widths": levels,
                "attention": (len(levels) - 1,) if attention is None else _numbers(attention),
                "unshuffle": factor,
            }
            network = new_network(side, colours, seed=seed, **config)
            denoiser = NetworkDenoiser(network, "edm", (colours, side, side), unshuffle=factor)
        else:
            given = {
                "--size": size,
                "--channels": channels,
                "--widths": widths,
                "--attention": attention,
                "--unshuffle": unshuffle,
            }
            if known := [name for name, value in given.items() if value is not None]:
                raise ConfigError(f"{', '.join(known)} come from --start {start}: leave them out")
            denoiser = _trainable(start, "edm")
        start_hash = _hash_of(denoiser, start)
        settings = TrainSettings(
            num_images,
            batch_size,
            lr,
            seed=seed,
            bfloat16=autocast,
            augment=augment,
            lr_decay=lr_decay,
            start=start_hash,
        )
        images, others = _images(data, denoiser.shape, held_out, processes)
        make_folder(out)
        facts = _facts(data, images)
        recipe = Recipe(
            denoiser, DiffusionLoss(denoiser, p_mean, p_std), settings, _command(), facts
        )
        _run(recipe, images, others, out, processes, push_to_hub, private)


def distill(
    data: Annotated[Path, DATA],
    teacher: Annotated[str, typer.Option(help="Bundled teacher or folder.")],
    out: Annotated[Path, OUT],
    recipe: Annotated[
        str, typer.Option(help=f"{', '.join(RECIPES[:-1])} or {RECIPES[-1]}.")
    ] = "trajectory",
    distance: Annotated[
        str,
        typer.Option(
            help=(
                "Between the student's image and its goal: huber, lpips-alex or lpips-vgg (all "
                "recipes but scd)."
            )
        ),
    ] = "huber",
    num_images: Annotated[int, typer.Option(help="Training length in images seen.")] = 500_000,
    num_trajectories: Annotated[
        int, typer.Option(help="Teacher trajectories of the recipe `trajectory`.")
    ] = 20_000,
    start: Annotated[
        str | None,
        typer.Option(
            help="Consistency prior whose weights the student starts from; by default the teacher's."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images per step, of all GPUs together.")] = 64,
    lr: Annotated[
        float | None,
        typer.Option(help="Adam's learning rate; 1e-3 for trajectory, 3e-4 for the others."),
    ] = None,
    lr_decay: Annotated[float, DECAY] = 0.0,
    augment: Annotated[str, AUGMENT] = "none",
    held_out: Annotated[Path | None, HELD_OUT_STUDENT] = None,
    push_to_hub: Annotated[str | None, PUSH] = None,
    private: Annotated[bool, PRIVATE] = False,
    seed: Annotated[int, typer.Option(help="Of noise and order.")] = 0,
    device: Annotated[str, DEVICE] = "cpu",
    dtype: Annotated[str, DTYPE] = "float32",
    bfloat16: Annotated[bool, BFLOAT16] = False,
) -> None:
    """Distil a teacher into a consistency model."""
    from dataclasses import replace

    from .._checks import whole
    from ..errors import ConfigError
    from ..priors.load import load_prior
    from ..priors.train.losses.consistency import DistillLoss
    from ..priors.train.losses.continuous_consistency import TangentLoss
    from ..priors.train.losses.distance import HUBER, check_distance
    from ..priors.train.losses.trajectory import TrajectoryLoss
    from ..priors.train.processes import join
    from ..priors.train.recipe import Recipe, TrainSettings
    from ..priors.train.trajectories import levels_of, teacher_trajectories
    from .options import make_folder

    if recipe not in RECIPES:
        raise ConfigError(f"unknown --recipe {recipe!r}: choose one of {', '.join(RECIPES)}")
    if recipe == "scd" and distance != "huber":
        raise ConfigError("the recipe scd compares no two images: leave --distance out")
    autocast = _checked(
        out, {"start": start, "teacher": teacher}, dtype, bfloat16, push_to_hub, private
    )
    with join(device) as processes:
        source = load_prior(teacher, device=processes.device)
        guide = source.denoiser
        if guide is None or guide.kind != "edm":
            raise ConfigError(
                f"{teacher} is no diffusion model: a student needs a teacher of kind edm"
            )
        first = _trainable(teacher, "edm") if start is None else _trainable(start, "consistency")
        if first.shape != guide.shape:
            raise ConfigError(
                f"{start} makes no images of shape {source.shape}: start from a student of "
                "this teacher"
            )
        denoiser = replace(
            guide, network=first.network, kind="consistency", unshuffle=first.unshuffle
        )
        rate = lr if lr is not None else 1e-3 if recipe == "trajectory" else 3e-4
        common = {
            "seed": seed,
            "bfloat16": autocast,
            "augment": augment,
            "lr_decay": lr_decay,
            "start": _hash_of(first, start),
        }
        settings = TrainSettings(num_images, batch_size, rate, lr_hold=600, **common)  # type: ignore[arg-type]
        processes.share(batch_size)
        check_distance(distance, HUBER, guide.shape)  # before anything is written
        images, others = _images(data, guide.shape, held_out, processes)
        whole("num_trajectories", num_trajectories)
        make_folder(out)
        facts = _facts(data, images) | {
            "recipe": recipe,
            "teacher": teacher,
            "teacher_sha256": source.card.get("sha256"),
        }
        loss: Any
        if recipe == "trajectory":
            facts["num_trajectories"] = num_trajectories
            cache = out / "trajectories.safetensors"
            try:
                with processes.first_goes_ahead():
                    paths = teacher_trajectories(
                        guide, num_trajectories, 9, cache, seed, bfloat16=autocast
                    )
            except KeyboardInterrupt:
                print(
                    f"interrupted: the trajectories so far are kept in {out}; the same command "
                    "goes on",
                    file=sys.stderr,
                )
                raise typer.Exit(130) from None
            loss = TrajectoryLoss(
                denoiser,
                paths,
                distance=distance,
                augment=augment,
                levels=levels_of(guide, num_trajectories, 9),
            )
        else:
            loss = (
                TangentLoss(denoiser, guide)
                if recipe == "scd"
                else DistillLoss(denoiser, guide, recipe, distance=distance)
            )
        watched = None if recipe == "trajectory" else others  # its loss sees no images
        _run(
            Recipe(denoiser, loss, settings, _command(), facts),
            images,
            watched,
            out,
            processes,
            push_to_hub,
            private,
        )


def _checked(
    out: Path,
    sources: dict[str, str | None],
    dtype: str,
    bfloat16: bool,
    push_to_hub: str | None,
    private: bool,
) -> bool:
    """Check the options that both trainings share; whether the network is to run under bfloat16
    autocast."""
    from ..errors import ConfigError
    from .options import DTYPES

    if dtype not in ("float32", "bfloat16"):
        why = "" if dtype not in DTYPES else f": {dtype} is for sampling alone"
        raise ConfigError(f"--dtype of a training must be float32 or bfloat16, got {dtype!r}{why}")
    for name, source in sources.items():
        if source is not None and Path(source).exists() and out.exists() and out.samefile(source):
            raise ConfigError(
                f"--{name} and --out are both {out}: write into another folder, so that what "
                "the training started from is kept"
            )
    if push_to_hub is None and private:
        raise ConfigError("--private belongs to --push-to-hub: give OWNER/NAME, or leave it out")
    if push_to_hub is not None and push_to_hub.count("/") != 1:
        raise ConfigError(f"--push-to-hub takes OWNER/NAME, got {push_to_hub!r}")
    if push_to_hub is not None and not _logged_in():
        raise ConfigError(
            "--push-to-hub needs a login: run `hf auth login`, or set HF_TOKEN, before a "
            "training of hours"
        )
    return bfloat16 or dtype == "bfloat16"


def _logged_in() -> bool:
    from huggingface_hub import get_token

    return get_token() is not None


def _trainable(source: str, kind: str) -> NetworkDenoiser:
    """A prior's denoiser with a network that may be trained."""
    from ..errors import ConfigError
    from ..priors.load import load_prior

    denoiser = load_prior(source).denoiser
    if denoiser is None or denoiser.kind != kind:
        raise ConfigError(
            f"--start takes a prior of kind {kind}, and {source} is of kind "
            f"{'generator' if denoiser is None else denoiser.kind}"
        )
    denoiser.network.requires_grad_(True)
    return denoiser


def _hash_of(denoiser: NetworkDenoiser, start: str | None) -> str | None:
    from .._repr import describe

    return None if start is None else describe(denoiser.network)


def _facts(data: Path, images: Tensor) -> dict[str, Any]:
    """What the card says of the data: its name, how many images, and their hash."""
    from .._repr import describe

    return {
        "data": data.name,
        "num_training_images": len(images),
        "data_sha256": describe(images).split("#")[1],
    }


def _images(
    data: Path, shape: tuple[int, ...], held_out: Path | None, processes: Processes
) -> tuple[Tensor, Tensor | None]:
    """The training images, checked, and the held-out ones; what is found is printed."""
    from ..priors.train.check_images import check_images
    from ..priors.train.data import image_names, load_images

    images = load_images(data, shape[-1], shape[0])
    others = None if held_out is None else load_images(held_out, shape[-1], shape[0])
    names = [] if held_out is None or others is None else image_names(held_out, len(others))
    warnings = check_images(images, image_names(data, len(images)), others, names)
    if processes.first:
        apart = "" if others is None else f", none of them among the {len(others):,} of {held_out}"
        print(f"{len(images):,} images {'x'.join(map(str, shape))} of {data}{apart}")
        for warning in warnings:
            print(f"  warning: {warning}", flush=True)
    return images, others


def _run(
    recipe: Recipe,
    images: Tensor,
    held_out: Tensor | None,
    out: Path,
    processes: Processes,
    push_to_hub: str | None,
    private: bool,
) -> None:
    """Print the settings, train, write the prior and push it."""
    from ..errors import NoisewalkError
    from ..priors.hub import push_prior
    from ..priors.train.run import run_training

    settings, network, loss = recipe.settings, recipe.denoiser.network, recipe.loss
    if processes.first:
        weights = sum(p.numel() for p in network.parameters()) / 1e6
        shared = "" if processes.count == 1 else f" by {processes.count} processes"
        print(
            f"  {type(loss).__name__} of {type(network).__name__}, {weights:.3g} M weights, "
            f"{'bfloat16' if settings.bfloat16 else 'float32'}{shared}"
        )
        nfe = settings.num_steps * settings.batch_size * loss.nfe  # type: ignore[attr-defined]
        print(
            f"  {settings.num_steps:,} steps of {settings.batch_size} images, lr "
            f"{settings.lr:g}, augment {settings.augment}, seed {settings.seed}  NFE {nfe:,}"
        )
        print(f"  into {out}; the same command goes on where it was stopped", flush=True)
    try:
        run_training(recipe, images, out, processes, held_out)
    except KeyboardInterrupt:
        after = (
            f"goes on from the last checkpoint in {out}"
            if (out / "checkpoint.pt").exists()
            else "starts anew: there is no checkpoint yet"
        )
        print(f"interrupted: the same command {after}", file=sys.stderr)
        raise typer.Exit(130) from None
    if push_to_hub is not None and processes.first:
        try:
            address = push_prior(out, push_to_hub, private)
        except NoisewalkError as error:
            again = shlex.join(
                ["noisewalk", "priors", "push", str(out), push_to_hub, *["--private"] * private]
            )
            raise type(error)(f"{error}; `{again}` tries again") from error
        print(f"{address}: load it with noisewalk.load_prior({push_to_hub!r})")


def _numbers(text: str) -> tuple[int, ...]:
    from ..errors import ConfigError

    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError as error:
        raise ConfigError(f"expected whole numbers separated by commas, got {text!r}") from error


def _command() -> str:
    return shlex.join(["noisewalk", *sys.argv[1:]])
