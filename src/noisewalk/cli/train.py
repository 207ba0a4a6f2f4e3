"""`noisewalk train diffusion` and `noisewalk train distill`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .._checks import one_of, whole
from ..errors import ConfigError
from . import options as opt
from .options import Count, File, Number, Text, says

app = typer.Typer(**opt.PLAIN)

BatchSize = Annotated[int, says("The images of a step, of all GPUs together.")]
RECIPES = ("trajectory", "cd", "ct", "scd")
NUM_STEPS = 9  # Heun steps of a teacher's trajectory


@app.callback(invoke_without_command=True)
def train(context: typer.Context) -> None:
    """Train priors. On N GPUs: torchrun --nproc-per-node N --no-python noisewalk train ..."""
    opt.help_if_alone(context)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of both trainings; None where one is left out."""

    data: Annotated[Path, says("An IDX file, an .npz file or a folder of images.")]
    out: opt.Out[Path]
    start: opt.Start = None
    num_images: opt.NumImages[int] = 500_000
    batch_size: BatchSize = 128
    lr_decay: Annotated[float, says("The last share of the training, where lr falls to 0.")] = 0.0
    augment: Annotated[str, says("none, flip (left-right) or dihedral (also turns).")] = "none"
    held_out: Annotated[File, says("Images besides --data, for loss.csv (not trajectory).")] = None
    push_to_hub: Annotated[
        Text, says("Upload the prior. Log in first: hf auth login.", metavar="OWNER/NAME")
    ] = None
    private: opt.Private = False
    seed: opt.Seed[int] = 0
    device: opt.Device = "cpu"
    dtype: opt.Dtype = "float32"
    bfloat16: Annotated[bool, says("The same as --dtype bfloat16.", "--bfloat16")] = False

    @property
    def half(self) -> bool:
        """Whether the network computes in bfloat16."""
        return self.bfloat16 or self.dtype == "bfloat16"


@dataclass(frozen=True, kw_only=True)
class DiffusionOptions(TrainOptions):
    """The options of `noisewalk train diffusion`."""

    size: opt.Size = None
    channels: Annotated[Count, says("1 or 3; default 1, or --start's.")] = None
    widths: Annotated[
        Text, says("Channels of the levels, multiples of 32; default 64,96,128, or --start's.")
    ] = None
    attention: Annotated[
        Text, says("Levels with attention, from 0, '' for none; default the last, or --start's.")
    ] = None
    unshuffle: Annotated[Count, says("Pixel-unshuffle factor; default 2, or --start's.")] = None
    p_mean: Annotated[float, says("The mean of ln(sigma).")] = -1.0
    p_std: Annotated[float, says("The standard deviation of ln(sigma).")] = 1.4
    lr: opt.Lr[float] = 1e-3


@dataclass(frozen=True, kw_only=True)
class DistillOptions(TrainOptions):
    """The options of `noisewalk train distill`."""

    teacher: opt.Teacher[str]
    recipe: Annotated[str, says(f"One of {', '.join(RECIPES)}.")] = "trajectory"
    distance: Annotated[str, says("huber, lpips-alex or lpips-vgg; scd has none.")] = "huber"
    num_trajectories: Annotated[int, says("Those of the recipe trajectory.")] = 20_000
    batch_size: BatchSize = 64
    lr: opt.Lr[Number] = None


@app.command()
@opt.reads(DiffusionOptions)
def diffusion(options: DiffusionOptions) -> None:
    """Train a diffusion model, the teacher of a consistency model; a second call goes on."""
    from ..priors.train.losses.diffusion import DiffusionLoss
    from ..priors.train.processes import join
    from ..priors.train.recipe import Recipe
    from . import training

    o = options
    training.check(o, start=o.start)
    with join(o.device) as processes:
        denoiser = _new(o) if o.start is None else _started(o)
        settings = training.settings_of(o, denoiser.network, lr=o.lr)
        images, others = training.read_images(o, denoiser.shape, processes)
        opt.make_folder(o.out)
        loss, facts = DiffusionLoss(denoiser, o.p_mean, o.p_std), training.facts_of(o.data, images)
        recipe = Recipe(denoiser, loss, settings, opt.command_line(), facts)
        training.run(o, recipe, images, others, processes)


@app.command()
@opt.reads(DistillOptions)
def distill(options: DistillOptions) -> None:
    """Distil a diffusion model into a consistency model; a second call goes on."""
    from ..priors.denoiser import NetworkDenoiser
    from ..priors.load import load_prior
    from ..priors.train.losses.distance import HUBER, check_distance
    from ..priors.train.processes import join
    from ..priors.train.recipe import Recipe
    from . import training

    o, short = options, one_of("--recipe", options.recipe, RECIPES) == "trajectory"
    if o.recipe == "scd" and o.distance != "huber":
        raise ConfigError("the recipe scd compares no two images: leave --distance out")
    training.check(o, start=o.start, teacher=o.teacher)
    with join(o.device) as processes:
        teacher = load_prior(o.teacher, device=processes.device)
        guide = teacher.denoiser
        if not isinstance(guide, NetworkDenoiser) or guide.kind != "edm":
            need = "a student needs a teacher of kind edm"
            raise ConfigError(f"{o.teacher} is no diffusion model: {need}")
        student = _student(o, guide)
        rate = o.lr if o.lr is not None else 1e-3 if short else 3e-4
        settings = training.settings_of(o, student.network, lr=rate, lr_hold=600)
        processes.share(o.batch_size)
        check_distance(o.distance, HUBER, guide.shape)
        images, others = training.read_images(o, guide.shape, processes)
        whole("num_trajectories", o.num_trajectories)
        opt.make_folder(o.out)
        facts = training.facts_of(o.data, images) | {"recipe": o.recipe, "teacher": o.teacher}
        facts["teacher_sha256"] = teacher.card.get("sha256")
        if short:
            facts["num_trajectories"] = o.num_trajectories
        loss = _loss(o, student, guide, processes)
        recipe = Recipe(student, loss, settings, opt.command_line(), facts)
        training.run(o, recipe, images, None if short else others, processes)


def _new(options: DiffusionOptions) -> Any:
    """A denoiser with random weights."""
    from ..priors.denoiser import NetworkDenoiser
    from ..priors.train.network import new_network

    o = options
    given = ((o.size, 32), (o.channels, 1), (o.unshuffle, 2))
    side, channels, unshuffle = (usual if value is None else value for value, usual in given)
    widths = _numbers("64,96,128" if o.widths is None else o.widths)
    attention = (len(widths) - 1,) if o.attention is None else _numbers(o.attention)
    network = new_network(side, channels, widths, attention, unshuffle, o.seed)
    return NetworkDenoiser(network, "edm", (channels, side, side), unshuffle=unshuffle)


def _started(options: DiffusionOptions) -> Any:
    """The denoiser of --start."""
    from .training import trainable

    fixed = ("size", "channels", "widths", "attention", "unshuffle")
    if known := [f"--{name}" for name in fixed if getattr(options, name) is not None]:
        raise ConfigError(f"{', '.join(known)} come from --start {options.start}: leave them out")
    return trainable(str(options.start), "edm")


def _student(options: DistillOptions, teacher: Any) -> Any:
    """The student of a teacher, with the weights of --start or else of the teacher."""
    from dataclasses import replace

    from .training import trainable

    kind = "edm" if options.start is None else "consistency"
    first = trainable(options.start or options.teacher, kind)
    if first.shape != teacher.shape:
        makes = f"{options.start} makes no images of shape {teacher.shape}"
        raise ConfigError(f"{makes}: start from a student of this teacher")
    network, unshuffle = first.network, first.unshuffle
    return replace(teacher, network=network, kind="consistency", unshuffle=unshuffle)


def _loss(options: DistillOptions, student: Any, teacher: Any, processes: Any) -> Any:
    """The loss of --recipe; that of trajectories makes them first."""
    from ..priors.train.losses.consistency import DistillLoss
    from ..priors.train.losses.continuous_consistency import TangentLoss
    from ..priors.train.losses.trajectory import TrajectoryLoss
    from ..priors.train.trajectories import levels_of, teacher_trajectories

    o = options
    if o.recipe == "scd":
        return TangentLoss(student, teacher)
    if o.recipe != "trajectory":
        return DistillLoss(student, teacher, o.recipe, distance=o.distance)
    count, cache = o.num_trajectories, o.out / "trajectories.safetensors"
    kept = f"the trajectories so far are kept in {o.out}; the same command goes on"
    with opt.interruptible(kept), processes.first_goes_ahead():
        paths = teacher_trajectories(teacher, count, NUM_STEPS, cache, o.seed, bfloat16=o.half)
    levels = levels_of(teacher, count, NUM_STEPS)
    return TrajectoryLoss(student, paths, distance=o.distance, augment=o.augment, levels=levels)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError as error:
        raise ConfigError(f"expected whole numbers separated by commas, got {text!r}") from error
