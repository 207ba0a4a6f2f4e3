"""The demo's problems: held-out images, each with the tasks and the settings of its prior."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..._checks import one_of
from ..._simulate import simulate
from ...files import ValueRange
from ...likelihoods import Gaussian
from ...operators import parse
from ...priors.load import load_prior
from ...report import ReportData, render
from ...report.build import read_report_data
from ...report.files import write_files
from ...report.sentences import of_several, sentence
from ...sampling.defaults import resolve
from ...types import Plan
from ..problem import Problem
from .images import held_out_images


@dataclass(frozen=True)
class Example:
    """What the demo restores with one prior: a held-out image, with pixels in [-1, 1]."""

    image: int
    source: str
    value_range: ValueRange | None
    """What the bytes 0 and 255 stand for in the report; None: the bytes themselves."""
    sigma_y: float
    tasks: dict[str, str]
    """Operators by name; the first `USUAL` are restored where nobody says which."""


USUAL = 2
FOUR_TIMES = "avgpool:factor=4"
LAND = {
    "super-resolution": FOUR_TIMES,
    "deblurring": "blur:std=2",
    "clouds": "clouds:share=0.5,length=12,seed=0",
    "box": "box:top=20,left=20,height=24,width=24",
}
CLOTHES = {"inpainting": "inpaint:keep=0.2,seed=0", "super-resolution": FOUR_TIMES}
EXAMPLES = {
    "satellite64": Example(6, "Landsat 8 crop", ValueRange(0.0, 0.2), 0.1, LAND),
    "fashion32": Example(23, "Fashion-MNIST test image", None, 0.1, CLOTHES),
}
NUM_CHAINS, NUM_WARMUP, THIN = 12, 12, 18
"""Chains an image, and transitions: so few that the demo takes a few minutes; its usual tasks
forget their starts sooner."""


def demo_problem(
    task: str, prior: str, seed: int = 0, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Problem:
    """A problem simulated from an image that no prior was trained on."""
    example = example_of(prior)
    network = load_prior(prior, device=device, dtype=dtype)
    pixels = held_out_images(prior=prior)[example.image]
    usual = ValueRange.of(pixels.dtype)
    image = usual.to_unit(np.moveaxis(pixels, -1, 0))[None].to(device)
    operator, likelihood = parse(example.tasks[task], network.shape), Gaussian(example.sigma_y)
    problem = Problem(
        f"{example.source} {example.image}",
        network.name,
        network.map(),
        example.tasks[task],
        operator,
        likelihood,
        simulate(operator, likelihood, image, seed),
        example.value_range or usual,
        truth=image,
    )
    return problem.in_float64() if dtype == torch.float64 else problem


def demo_plan(target: Any, seed: int = 0) -> Plan:
    """How the demo samples: by default, with fewer chains and transitions."""
    return resolve(target, None, 1, NUM_CHAINS, NUM_WARMUP, THIN, seed=seed)


def example_of(prior: str) -> Example:
    """What the demo restores with a prior; ConfigError where there is no example of it."""
    return EXAMPLES[one_of("--prior of the demo", prior, tuple(EXAMPLES))]


def tasks_of(prior: str, chosen: list[str] | None = None) -> list[str]:
    """The tasks that the demo restores; ConfigError where the example has no such task."""
    known = tuple(example_of(prior).tasks)
    return [one_of(f"--task of {prior}", task, known) for task in chosen or known[:USUAL]]


def combined_report(folders: list[Path], path: Path) -> list[ReportData]:
    """Write one page for several runs, and return what it shows."""
    entries = [
        replace(entry, files=[f"{folder.name}/{name}" for name in entry.files])
        for folder in folders
        for entry in read_report_data(folder)[0]
    ]
    write_files(path.parent, {path.name: render(entries).encode()})
    return entries


def ending(entries: list[ReportData], page: Path) -> str:
    """The path of the page, and the verdict of its runs in a sentence."""
    first, *more = entries
    told = of_several([one.summary for one in entries]) if more else sentence(first.summary)
    return f"open {page}\n{told}"
