"""The main job: a held-out image, most of it hidden, restored twice with its uncertainty."""

from pathlib import Path

import torch

from .data import held_out_images
from .inputs import ValueRange
from .likelihoods import Gaussian
from .loop import Plan
from .priors.load import load_prior
from .problem import Problem, simulated

PRIOR = "fashion32"
IMAGE = 23
"""Number of the image in Fashion-MNIST's test set."""
SIGMA_Y = 0.1
TASKS = {"inpainting": "inpaint:keep=0.2,seed=0", "super-resolution": "avgpool:factor=4"}


def demo_problem(task: str, seed: int = 0, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Problem:
    """One of the demo's problems.

    Arguments:
        task: a key of `TASKS`.
        seed: of the measurement's noise.
        device: where the run happens.
        dtype: of the network; float64: of the whole run.

    Returns:
        The problem, simulated from a test image that no prior was trained on.
    """
    prior = load_prior(PRIOR, device=device, dtype=dtype)
    pixels = held_out_images()[IMAGE]
    value_range = ValueRange.of(pixels.dtype)
    image = value_range.to_unit(pixels)[None, None].to(device)
    problem = simulated(prior, prior.map(), TASKS[task], Gaussian(SIGMA_Y), image, value_range, f"Fashion-MNIST test image {IMAGE}", seed)
    return problem.to(dtype) if dtype == torch.float64 else problem


def demo_plan(problem: Problem, seed: int = 0) -> Plan:
    """How the demo samples: the default kernel in four chains, with a short warm-up that keeps it under two minutes.

    Arguments:
        problem: from `demo_problem`.
        seed: of the chains' noise.

    Returns:
        The plan.
    """
    from .plan import resolve
    from .warmstart import Adam

    return resolve(problem.target(), None, 40, 4, 60, 1, Adam(100), "auto", seed)


def combined_report(folders: list[Path], path: Path) -> None:
    """One page for several runs.

    Arguments:
        folders: of the runs.
        path: of the page.
    """
    from .report import render
    from .report.build import read_report_data

    path.write_text(render([entry for folder in folders for entry in read_report_data(folder)[0]]), encoding="utf-8")
