"""The main job: a held-out image, most of it hidden, restored with its uncertainty."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...errors import ConfigError
from ...files import ValueRange
from ...gaussians.refresh import Refresh, Schedule, SpectralRefresh
from ...likelihoods import Gaussian
from ...priors.load import load_prior
from ...sampling.chains import Chains as Plan
from ..problem import Problem, simulated
from .images import held_out_images


@dataclass(frozen=True)
class Example:
    """What the demo restores with one prior.

    Arguments:
        image: number of the held-out image.
        source: what its images are called.
        value_range: the unit of the report, of which bytes 0 and 255 are the ends; None: the bytes
            themselves.
        sigma_y: of the measurements, on the scale of [-1, 1].
        num_warmup: transitions; with `num_draws` so few that the demo takes a few minutes.
        num_draws: of each chain.
        adam: steps of the warm start.
        refresh: the kernel's preconditioner.
        tasks: operators by name; the first `USUAL` are restored where nobody says which.
    """

    image: int
    source: str
    value_range: ValueRange | None
    sigma_y: float
    num_warmup: int
    num_draws: int
    adam: int
    refresh: Schedule
    tasks: dict[str, str]


USUAL = 2
FOUR_TIMES = "avgpool:factor=4"
LAND = {
    "super-resolution": FOUR_TIMES,
    "clouds": "clouds:share=0.5,length=12,seed=0",
    "box": "box:top=20,left=20,height=24,width=24",
    "deblurring": "blur:std=2",
}
CLOTHES = {"inpainting": "inpaint:keep=0.2,seed=0", "super-resolution": FOUR_TIMES}
EXAMPLES = {
    "satellite64": Example(
        6, "Landsat 8 crop", ValueRange(0.0, 0.2), 0.1, 40, 60, 60, SpectralRefresh(), LAND
    ),
    "fashion32": Example(
        23, "Fashion-MNIST test image", None, 0.1, 60, 40, 100, Refresh(), CLOTHES
    ),
}
"""By prior."""


def demo_problem(
    task: str, prior: str, seed: int = 0, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Problem:
    """One of the demo's problems.

    Arguments:
        task: of the prior's example.
        prior: a key of `EXAMPLES`.
        seed: of the measurement's noise.
        device: where the run happens.
        dtype: of the network; float64: of the whole run.

    Returns:
        The problem, simulated from an image that no prior was trained on.

    Raises:
        ConfigError: there is no example of that prior.
    """
    example = example_of(prior)
    network = load_prior(prior, device=device, dtype=dtype)
    pixels = held_out_images(prior=prior)[example.image]
    usual = ValueRange.of(pixels.dtype)
    image = usual.to_unit(np.moveaxis(pixels, -1, 0))[None].to(device)
    title = f"{example.source} {example.image}"
    problem = simulated(
        network,
        network.map(),
        example.tasks[task],
        Gaussian(example.sigma_y),
        image,
        example.value_range or usual,
        title,
        seed,
    )
    return problem.to(dtype) if dtype == torch.float64 else problem


def demo_plan(problem: Problem, seed: int = 0) -> Plan:
    """How the demo samples: the default kernel in four chains, with a short warm-up.

    Arguments:
        problem: from `demo_problem`.
        seed: of the chains' noise.

    Returns:
        The plan.
    """
    from ...sampling.defaults import resolve
    from ...sampling.starts import Adam

    example = example_of(problem.prior_name)
    return resolve(
        problem.target(),
        None,
        example.num_draws,
        4,
        example.num_warmup,
        1,
        Adam(example.adam),
        "auto",
        seed,
        refresh=example.refresh,
    )


def example_of(prior: str) -> Example:
    """What the demo restores with a prior.

    Arguments:
        prior: its name.

    Returns:
        The example.

    Raises:
        ConfigError: there is none.
    """
    if prior not in EXAMPLES:
        raise ConfigError(
            f"the demo has no example of {prior!r}: choose --prior from {', '.join(EXAMPLES)}"
        )
    return EXAMPLES[prior]


def tasks_of(prior: str, chosen: list[str] | None = None) -> list[str]:
    """The tasks that the demo restores.

    Arguments:
        prior: a key of `EXAMPLES`.
        chosen: tasks of its example; None: the first `USUAL` of them.

    Returns:
        Their names.

    Raises:
        ConfigError: there is no example of that prior, or no such task in it.
    """
    known = list(example_of(prior).tasks)
    if unknown := [task for task in chosen or () if task not in known]:
        raise ConfigError(
            f"the demo of {prior} has no task {unknown[0]!r}: choose --task from {', '.join(known)}"
        )
    return chosen or known[:USUAL]


def combined_report(folders: list[Path], path: Path) -> None:
    """One page for several runs.

    Arguments:
        folders: of the runs.
        path: of the page.
    """
    from ...report import render
    from ...report.read import read_report_data

    path.write_text(
        render([entry for folder in folders for entry in read_report_data(folder)[0]]),
        encoding="utf-8",
    )
