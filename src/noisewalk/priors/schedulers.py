"""Diffusion models of diffusers' folders: their schedulers as the numbers of `maps.steps.Steps`.

A scheduler's step without noise and without clipping is linear in the state and in the network's
output, so two calls of it tell its numbers: with the spacing, the shift and the prediction type
that the folder's scheduler_config.json says.
"""

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .._checks import one_of, whole
from ..errors import WeightsError
from ..maps.per_image import Labels, labels_of
from ..maps.steps import Schedule, Steps
from .mismatched_keys import shortened


class Solver(NamedTuple):
    """How the networks of a scheduler's folder are sampled."""

    kind: str
    scheduler: str  # of diffusers, deterministic
    name: str


SOLVERS = {
    "DDPMScheduler": Solver("ddpm", "DDIMScheduler", "ddim"),
    "DDIMScheduler": Solver("ddpm", "DDIMScheduler", "ddim"),
    "EulerDiscreteScheduler": Solver("ddpm", "EulerDiscreteScheduler", "euler"),
    "FlowMatchEulerDiscreteScheduler": Solver("flow", "FlowMatchEulerDiscreteScheduler", "euler"),
}
STEPPED = ("ddpm", "flow")  # their kinds
PLAIN = {"clip_sample": False, "thresholding": False, "stochastic_sampling": False}
"""Phi is never clamped, and a function."""
MOST_TIMES = 1_000_000  # of a scheduler's training: it makes arrays as long


def scheduler_of(solver: Solver, config: Mapping[str, Any]) -> Any:
    """The scheduler that samples, without clipping; diffusers' own errors where its config cannot
    be."""
    import diffusers

    made_by = getattr(diffusers, solver.scheduler)
    takes = inspect.signature(made_by.__init__).parameters  # diffusers prints what it ignores
    known = {key: value for key, value in {**config, **PLAIN}.items() if key in takes}
    whole("num_train_timesteps", known.get("num_train_timesteps", 1000), 2, MOST_TIMES)
    return made_by.from_config(known)


def schedule_of(solver: Solver, config: Mapping[str, Any], num_steps: int) -> Schedule:
    """The numbers of a scheduler for a number of steps; WeightsError where its config cannot be."""
    count = whole("num_steps", num_steps)
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    try:
        scheduler = scheduler_of(solver, config)

        def walk(x: Tensor, made: Tensor) -> tuple[list[float], list[float]]:
            scheduler.set_timesteps(count)
            scaled, after = [], []
            for t in scheduler.timesteps:
                given = scheduler.scale_model_input(x, t) if rescales else x
                scaled.append(float(given))
                after.append(float(scheduler.step(made, t, x).prev_sample))
            return scaled, after

        rescales = hasattr(scheduler, "scale_model_input")
        inside, keep = walk(one, zero)
        _, push = walk(zero, one)
        scale = float(getattr(scheduler, "init_noise_sigma", 1.0))
        times = tuple(float(t) for t in scheduler.timesteps)
    except Exception as error:  # diffusers meets bad values with errors of any kind
        told = shortened(error)
        raise WeightsError(f"the scheduler's config makes no {solver.scheduler}: {told}") from error
    return Schedule(scale, times, tuple(inside), tuple(keep), tuple(push))


def ode_map(
    network: Any,
    shape: tuple[int, ...],
    config: Mapping[str, Any],
    num_steps: int,
    solver: str | None,
    gradient: str,
) -> Steps:
    """The map of a network F(x, t) by its folder's scheduler."""
    found = SOLVERS[config["_class_name"]]
    one_of("solver", found.name if solver is None else solver, (found.name,))
    return Steps(network, shape, schedule_of(found, config, num_steps), gradient)


class Labelled(nn.Module):
    """F(x, t) of a `UNet2DModel` in its own type, with its label frozen."""

    def __init__(self, network: Any, label: int | Labels | None) -> None:
        super().__init__()
        self.network, self.label = network, label

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """F(x, t), (B, C, H, W) in the type of x."""
        dtype = next(self.network.parameters()).dtype
        learned = self.network.config["time_embedding_type"] == "learned"
        times = t.long() if learned else t.to(torch.float32)
        labels = labels_of(self.label, x)
        return self.network(x.to(dtype), times, class_labels=labels).sample.to(x.dtype)
