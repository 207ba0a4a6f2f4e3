"""What the page shows before a run: the image to paint on, the measurement y, and doubts."""

import base64
import tempfile
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._pictures import HATCH, limits, shades, uri
from ..cli import options as opt
from ..cli.problem import Problem, read_problem
from ..errors import ConfigError
from ..operators import observed_of
from .choices import (
    MASK,
    NOISE,
    Choices,
    command_of,
    given_file,
    in_folder,
    options_of,
    place_files,
    upside_down,
    words_of,
)

if TYPE_CHECKING:
    from ..priors.prior import Prior

WIDTH = 320  # CSS pixels of a picture


@dataclass(frozen=True)
class Preview:
    """Pictures of a problem as data URIs, and what is said of it."""

    y: str
    truth: str | None
    low: float
    """What is black in every picture, and what is white, on the scale of [-1, 1]."""
    high: float
    size: tuple[int, int]
    """Rows and columns of x."""
    title: str
    doubts: tuple[str, ...]
    command: str


@lru_cache(maxsize=4)
def prior_of(name: str, label: float | None, device: str) -> "Prior":
    """A prior, loaded once."""
    import torch

    return opt.load_prior(name, label, device, torch.float32, None, None, None, None)


def preview_of(choices: Choices, root: Path) -> Preview:
    """The measurement that `noisewalk sample` would restore; ConfigError says what is wrong."""
    prior = prior_of(choices.prior, choices.label, choices.device)
    with tempfile.TemporaryDirectory(dir=root) as name:
        folder = Path(name)
        try:
            place_files(choices, folder)
            options = options_of(choices, folder, prior.shape)
            problem = read_problem(options, prior)
        except ConfigError as error:
            raise ConfigError(cleaned(str(error), folder, choices)) from error
        command = command_of(words_of(in_folder(options, folder)))
    return shown(problem, command, upside_down(given_file(choices)))


def cleaned(message: str, folder: Path, choices: Choices) -> str:
    """A message without the folders of this machine."""
    own = "" if choices.file is None else f"{choices.file.parent}/"
    message = message.replace(f"{folder}/", "").replace(own, "") if own else message
    return message.replace(f"the mask {MASK}", "the painted mask")


def shown(problem: Problem, command: str, flip: bool) -> Preview:
    """A problem as its pictures."""
    shape = tuple(problem.phi.data_shape)  # type: ignore[attr-defined]
    seen = np.ones(problem.y.shape[1:], dtype=bool)
    of_operator = observed_of(problem.operator, shape)
    for mask in (problem.observed, of_operator):
        if mask is not None:
            seen &= np.broadcast_to(mask.cpu().numpy(), problem.y.shape)[0]
    y = np.where(seen, problem.y[0].cpu().numpy(), np.nan)
    truth = None if problem.truth is None else problem.truth[0].cpu().numpy()
    low, high = limits(y if truth is None else truth)

    def picture(x: np.ndarray) -> str:
        pixels = shades(x[..., ::-1, :] if flip else x, low, high)
        return uri(pixels)

    title = f"{problem.prior_name}, {problem.operator_text.split(':')[0]}, noise {problem.noise}"
    return Preview(
        picture(y),
        None if truth is None else picture(truth),
        low,
        high,
        (shape[-2], shape[-1]),
        title,
        tuple(problem.doubts()),
        command,
    )


def canvas_of(choices: Choices, root: Path) -> str:
    """The image to paint on, before anything is missing; JavaScript gives it a brush."""
    whole = preview_of(replace(choices, problem=NOISE, mask=None), root)
    picture, (height, width) = whole.truth or whole.y, whole.size
    label = "The image. Drag with the mouse, a pen or a finger to paint what is missing."
    return (
        f'<div class="nw-paint" data-width="{width}" data-height="{height}">'
        f'<canvas tabindex="0" role="application" aria-label="{label} Arrow keys move the brush, '
        f'and space paints." width="{width}" height="{height}"></canvas>'
        f'<img class="nw-source" alt="" src="{picture}">'
        '<div class="nw-row"><label>Brush <input type="range" class="nw-size" min="1" '
        f'max="{max(3, width // 4)}" value="{max(2, width // 8)}"></label>'
        '<button type="button" class="nw-erase" aria-pressed="false">Eraser</button>'
        '<button type="button" class="nw-clear">Clear</button></div></div>'
    )


def picture_of(preview: Preview) -> str:
    """The measurement with its doubts, as HTML."""
    doubts = "".join(f'<p class="nw-doubt">Note: {escape(doubt)}</p>' for doubt in preview.doubts)
    return (
        f'<figure class="nw-y"><img alt="The measurement y" src="{preview.y}" style="{HATCH}">'
        f"<figcaption>{escape(preview.title)}</figcaption></figure>{doubts}"
    )


def mask_from(bits: Any, size: str) -> np.ndarray | None:
    """The painted mask from what the page sends: "WIDTHxHEIGHT" and the bits in base64."""
    if not bits:
        return None
    try:
        width, height = (int(word) for word in size.split("x"))
        packed = np.frombuffer(base64.b64decode(str(bits), validate=True), np.uint8)
        if not 0 < width * height <= 8 * packed.size < width * height + 8:
            raise ValueError("another size")
    except ValueError as error:
        raise ConfigError("the painted mask is damaged: clear it and paint again") from error
    return np.unpackbits(packed)[: width * height].reshape(height, width).astype(bool)
