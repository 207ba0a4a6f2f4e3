"""What a person has chosen on the page, as options of `noisewalk sample` and as its command."""

import os
import re
import shlex
import shutil
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .._checks import one_of, real, whole
from ..cli.sample import SampleOptions, check
from ..errors import ConfigError
from ..files.arrays import READERS, reader_of, shape_in
from ..files.fits import read_fits

MOST_PIXELS = 512 * 512  # of one image
MOST_BYTES = 64 * 2**20  # of one upload
PAINT, BLUR, DOWNSAMPLE, NOISE = PROBLEMS = (
    "A missing region, which I paint",
    "Blur",
    "Low resolution",
    "Noise alone",
)
CLEAN, MEASURED = KINDS = ("A clean image, to degrade and restore", "A measurement, to restore")
AS_IT_IS = "as it is"
FITS = ("resize", "crop", "pad", AS_IT_IS)
QUICK, CAREFUL = EFFORTS = ("Quick look", "Careful")
SETTINGS: dict[str, dict[str, int]] = {
    QUICK: {"chains": 8, "warm_start": 40, "num_warmup": 4, "thin": 3, "num_draws": 6},
    CAREFUL: {"chains": 16, "num_warmup": 8, "thin": 8, "num_draws": 4},
}
"""Chains that give their draws a few at a time, so that there is something to see early."""
MASK = ".mask.png"  # the name of no upload: `safe_name` starts with a letter


@dataclass(frozen=True, eq=False)
class Choices:
    """The fields of the page; None where one is left empty."""

    file: Path | None
    kind: str = CLEAN
    prior: str = "fashion32"
    problem: str = BLUR
    std: float = 2.0  # of the blur, in pixels
    factor: int = 4  # of the low resolution
    sigma_y: float | None = 12.0  # in the file's unit
    effort: str = QUICK
    seed: int = 0
    mask: np.ndarray | None = None
    """Bool (H, W), True where painted, which is missing; the top row first."""
    fit: str = "resize"
    low: float | None = None
    high: float | None = None
    label: float | None = None
    missing: str = ""
    bands: str = ""
    part: str = ""
    device: str = "cpu"


def upside_down(file: Path) -> bool:
    """Whether the first row of the file is the lowest: FITS has it so."""
    return reader_of(file)[0] is read_fits


def place_files(choices: Choices, folder: Path) -> None:
    """Put the file and the painted mask where the command reads them."""
    file = given_file(choices)
    try:
        os.link(file, folder / safe_name(file))
    except OSError:
        shutil.copyfile(file, folder / safe_name(file))
    if choices.problem == PAINT and choices.mask is not None:
        seen = ~choices.mask[::-1] if upside_down(file) else ~choices.mask
        Image.fromarray(np.where(seen, 255, 0).astype(np.uint8)).save(folder / MASK)


def given_file(choices: Choices) -> Path:
    """The file that is chosen, neither of another type nor too large; nothing is decoded."""
    if choices.file is None:
        raise ConfigError("no file is chosen: pick an example or upload a file")
    file = choices.file
    reader_of(file)
    if (size := file.stat().st_size) > MOST_BYTES:
        most = f"the page takes {MOST_BYTES // 2**20} MiB"
        raise ConfigError(f"{file.name} has {size / 2**20:.0f} MiB, and {most}: cut out a part")
    return file


def safe_name(file: Path) -> str:
    """The name of a file without what a shell or a command line would read in it."""
    return re.sub(r"[^\w.-]", "_", file.name).lstrip("-.") or "input"


def options_of(choices: Choices, folder: Path, shape: tuple[int, ...]) -> SampleOptions:
    """The options of `noisewalk sample` for files in a folder and a prior of x's shape (C, H, W);
    ConfigError for what the page does not take."""
    c, file = choices, given_file(choices)
    clean = one_of("the kind of the file", c.kind, KINDS) == CLEAN
    name = f"{safe_name(file)}[{c.part.strip()}]" if c.part.strip() else safe_name(file)
    path = folder / name
    found = shape_in(path)
    pixels = int(np.prod(found[-2:])) * (
        c.factor**2 if c.problem == DOWNSAMPLE and not clean else 1
    )
    other = clean and found != shape
    fit = one_of("the fit", c.fit, FITS) if other and c.fit != AS_IT_IS else None
    if pixels > MOST_PIXELS and fit is None:
        most = f"the page restores {MOST_PIXELS:,}"
        raise ConfigError(f"{name} asks for {pixels:,} pixels, and {most}: use the command line")
    if c.sigma_y is None:
        raise ConfigError("the noise level is empty: give it in the unit of the file")
    if (c.low is None) != (c.high is None):
        raise ConfigError("the value range has one end: give both, or none")
    settings = SETTINGS[one_of("the effort", c.effort, EFFORTS)]
    options = SampleOptions(
        inputs=[path],
        prior=c.prior,
        operator=operator_of(c, folder),
        sigma_y=f"{real('the noise level', c.sigma_y, above=0):.9g}",
        simulate=clean,
        fit=fit,
        range=None if c.low is None or c.high is None else (c.low, c.high),
        label=c.label,
        missing=None if clean else _marker(c.missing),
        bands=c.bands.strip() or None,
        device=c.device,
        seed=whole("the seed", c.seed, 0),
        out=folder / "run",
        **settings,  # type: ignore[arg-type]
    )
    check(options)
    return options


def operator_of(choices: Choices, folder: Path) -> str:
    """The text of the operator."""
    c = choices
    match one_of("the problem", c.problem, PROBLEMS):
        case "Blur":
            std = real("the width of the blur", c.std, above=0)
            return f"blur:kernel_size={2 * int(np.ceil(3 * std)) + 1},std={std:g}"
        case "Low resolution":
            return f"avgpool:factor={whole('the factor', c.factor, 2, 16)}"
        case "Noise alone":
            return "identity"
    if c.mask is None or not c.mask.any():
        raise ConfigError("nothing is painted: paint the region that is missing")
    return f"mask:{folder / MASK}"


def _marker(text: str) -> str | None:
    """What marks a gap: nan or a number; a path of the server's is none of the visitor's."""
    text = text.strip()
    if not text:
        return None
    try:
        float(text)
    except ValueError:
        raise ConfigError(f"what marks a gap is nan or a number here, got {text!r}") from None
    return text


def in_folder(options: SampleOptions, folder: Path) -> SampleOptions:
    """The same options, as they are typed inside the folder."""
    return replace(
        options,
        inputs=[path.relative_to(folder) for path in options.inputs],
        operator=options.operator.replace(f"mask:{folder / MASK}", f"mask:{MASK}"),
        out=Path("run"),
    )


def words_of(options: SampleOptions) -> list[str]:
    """The words after `noisewalk` that have these options; those by default are left out."""
    words = ["sample", *map(str, options.inputs)]
    for field in fields(options):
        value: Any = vars(options)[field.name]
        if field.name == "inputs" or (field.default is not MISSING and value == field.default):
            continue
        flag = f"--{field.name.replace('_', '-')}"
        values = () if value is True else value if isinstance(value, tuple) else (value,)
        words += [flag, *(f"{v:.9g}" if isinstance(v, float) else str(v) for v in values)]
    return words


def command_of(words: list[str]) -> str:
    """What a person types."""
    return shlex.join(["noisewalk", *words])


ENDINGS = [end for end in READERS if end not in (".nc", ".zarr")]
"""Of files that the page takes."""
