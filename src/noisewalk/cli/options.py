"""What the commands share: their options, and the checks of what is given."""

import math
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer
from typer import Option

from .._checks import one_of
from .._text import printable
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..priors.prior import Prior as LoadedPrior

T = TypeVar("T")
Count: TypeAlias = int | None
Number: TypeAlias = float | None
Text: TypeAlias = str | None
File: TypeAlias = Path | None
"""Types of options that may be left out."""


def says(help: str, *flags: str, metavar: str | None = None) -> Any:
    """What typer reads of an option: its help."""
    return Option(*flags, help=help, metavar=metavar)


Seed = Annotated[
    T, says("The seed of all noise; default 0, and of sample from the file's content.")
]
Device = Annotated[str, says("cpu or cuda.")]
Dtype = Annotated[
    str, says("float32 or bfloat16 for the network; to sample also float16, or float64 for all.")
]
Out = Annotated[
    T, says("The folder to write to; default runs/INPUT-OPERATOR (sample), bench/WHAT-PRIOR.")
]
Prior = Annotated[
    T,
    says(
        "A name (noisewalk priors), a Hub repository, a folder, a .pt file, or code of yours that "
        "is run: module.py:function."
    ),
]
Teacher = Annotated[T, says("A diffusion model's name or folder; for bench, default the card's.")]
Label = Annotated[Number, says("The class or conditioning value of the prior.")]
Prompt = Annotated[Text, says("What a latent model is to make, in words; '' for anything.")]
Kind = Annotated[Text, says("consistency or edm, for weights without a card.")]
Size = Annotated[
    Count, says("The image side of a .pt file without a card; to train, default 32 or --start's.")
]
HeadChannels = Annotated[Count, says("Channels per attention head of a .pt file without a card.")]
NumSteps = Annotated[T, says("The network calls of the map, 1 or 2; in bench of a guided sample.")]
NumImages = Annotated[
    T, says("Images: seen in training, of a margin, in bench (default 8, figures 3, --paper 100).")
]
Operator = Annotated[T, says("Such as avgpool:factor=4 or inpaint:keep=0.2; join steps by +.")]
SigmaY = Annotated[
    Text,
    says("gaussian's noise level, a number or a file in the input's unit; calibrate's on [-1, 1]."),
]
Likelihood = Annotated[
    str,
    says(
        "gaussian, poisson:peak=P (counts), poisson:gain=G,background=B,read=R, laplace:scale=S, "
        "studentt:df=D,scale=S or unknown:concentration=A,rate=B; in the unit of --sigma-y."
    ),
]
Kernel = Annotated[Text, says("em, ei, mala, pcnl, hmc, slice or smc; default preconditioned HMC.")]
StepSize = Annotated[
    Number, says("The kernel's step, kept (smc starts from it); default: adapted.")
]
NumLeapfrog = Annotated[Count, says("Leapfrog steps; default 8 (hmc), 5 (--num-steps 2), 6 (smc).")]
Spectral = Annotated[bool, says("Fit the Gaussian by frequency, for precise data.", "--spectral")]
Chains = Annotated[
    Count, says("The number of chains; default 16 (short), 4 (long), 8 (calibrate RUN, a problem).")
]
NumDraws = Annotated[
    T, says("The draws of a chain, default 1 (short), 100 (long); for calibrate, of a problem.")
]
Thin = Annotated[
    Count,
    says("Transitions a draw; default 1, first 16 (short), 10 (mala, pcnl), 2 (exactness, hmc)."),
]
NumWarmup = Annotated[Count, says("The transitions that are discarded first.")]
WarmStart = Annotated[
    Count, says("The steps of the start; default 80 (randomized), 200 (adam), 60 (calibrate).")
]
Start = Annotated[
    Text,
    says(
        "How chains start: randomized (default), adam or prior. To train: a prior's name or folder."
    ),
]
Range = Annotated[
    tuple[float, float] | None,
    says("The values in the file that stand for -1 and 1.", metavar="LO HI"),
]
Lr = Annotated[T, says("Adam's rate; default 0.01 (sample), 1e-3 (train), 3e-4 (cd, ct, scd).")]
Private = Annotated[bool, says("Only its owner sees what is uploaded.", "--private")]
Window = Annotated[
    T, says("The side of a window; of sample, where a scene is beyond memory, default the whole.")
]
Margin = Annotated[
    Count, says("The pixels that a window drops at its inner edges; default the card's.")
]
Force = Annotated[bool, says("Go on though it needs more memory or disk than there is.", "--force")]
Microbatch = Annotated[Count, says("The rows of one network call.")]

Engine = Annotated[Text, says("Where the work runs: serial, process, ray or slurm.")]
Workers = Annotated[Count, says("The processes of --engine process; default one a core.")]
Address = Annotated[Text, says("The Ray cluster of --engine ray: auto (default) or HOST:PORT.")]
Partition = Annotated[Text, says("The Slurm partition of --engine slurm.")]

PLAIN: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None}
"""Settings of every typer app. Plain help texts need no import of rich's parsers."""
DTYPES = ("float32", "float64", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class SamplerOptions:
    """The options of `noisewalk sample` and `noisewalk calibrate`: a prior, a problem, a kernel."""

    prior: Prior[str]
    operator: Operator[str]
    sigma_y: SigmaY = None
    likelihood: Likelihood = "gaussian"
    label: Label = None
    prompt: Prompt = None
    kind: Kind = None
    size: Size = None
    head_channels: HeadChannels = None
    num_steps: NumSteps[int] = 1
    kernel: Kernel = None
    step_size: StepSize = None
    num_leapfrog: NumLeapfrog = None
    spectral: Spectral = False
    thin: Thin = None
    num_warmup: NumWarmup = None
    warm_start: WarmStart = None
    device: Device = "cpu"
    dtype: Dtype = "float32"
    microbatch: Microbatch = None


def reads(options: type[T]) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """Decorate a command that takes a dataclass: the fields of the dataclass become its options."""

    def decorate(command: Callable[[T], None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            command(options(**given))

        run.__signature__ = signature(options)  # type: ignore[attr-defined]
        return run

    return decorate


def help_if_alone(context: typer.Context) -> None:
    """Print the help of a group of commands that is called without one."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def refuse(what: str, options: Any, *names: str) -> None:
    """Raise a ConfigError if an option is given that nothing would read."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value is not False:
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{what} does not read {flag} (got {value}): leave it out")


def number(name: str, text: str | None) -> float | None:
    """The number of an option that other commands also take as a file."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{name} must be a number here, got {text!r}") from None


def dtype_of(name: str) -> Any:
    """The torch dtype of --dtype."""
    import torch

    return getattr(torch, one_of("--dtype", name, DTYPES))


def load_prior(source: str, *settings: Any) -> "LoadedPrior":
    """`noisewalk.load_prior`, or the user's own code, which settles label, device and type
    itself."""
    from ..priors.load import load_prior as load
    from ..priors.own_code import is_code, prior_of

    if not is_code(source) or Path(source).exists():
        return load(source, *settings)
    flags = ("--label", "", "", "--kind", "--size", "--head-channels", "--prompt")
    named = zip(flags, settings, strict=False)
    if given := [name for name, value in named if name and value is not None]:
        raise ConfigError(f"{source} is code of yours: leave {', '.join(given)} out")
    return prior_of(source)


def map_of(
    prior: "LoadedPrior",
    num_steps: int,
    shape: tuple[int, int] | None = None,
    window: int | None = None,
    margin: int | None = None,
    representation_error: float | str | None = None,
) -> Any:
    """The map of --num-steps to images of a size; a diffusion model's is its probability flow."""
    if prior.kind not in ("edm", "ddpm", "flow"):
        wide: Any = {"shape": shape, "window": window, "margin": margin}
        return prior.map(num_steps, **wide, representation_error=representation_error)
    if (num_steps, window, margin, representation_error) != (1, None, None, None):
        what = f"{prior.name} is a diffusion model, sampled by its probability flow"
        unread = "--num-steps, --window, --margin and --representation-error"
        raise ConfigError(f"{what}: leave {unread} out")
    return prior.ode_map()


def rows_at_once(shape: tuple[int, ...]) -> int:
    """The --microbatch of many rows: 128 of 32 x 32 pixels, 8 of 128 x 128."""
    return max(1, min(128, 128 * 32**2 // math.prod(shape[-2:])))


def make_folder(out: Path) -> None:
    """Make the folder of --out before the work; ConfigError if it cannot be written to."""
    from ..storage.remote import only_local

    only_local("--out of this work", out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"cannot make the folder {out} ({why}): give another --out") from error
    if not os.access(out, os.W_OK):
        raise ConfigError(f"{out} is not writable: give another --out")


@contextmanager
def interruptible(kept: str) -> Iterator[None]:
    """End on Ctrl-C and on SIGTERM, after the step in progress, with exit status 130 or 143 and a
    line that says what is kept and how to go on."""
    from .._progress import finishing_steps, signal_of

    try:
        with finishing_steps():
            yield
    except KeyboardInterrupt:
        print(f"interrupted: {kept}", file=sys.stderr)
        raise typer.Exit(128 + signal_of()) from None


def command_line() -> str:
    """What was typed, without --resume: the command that reproduces the work."""
    words = ["noisewalk", *(word for word in sys.argv[1:] if word != "--resume")]
    return printable(shlex.join(words))
