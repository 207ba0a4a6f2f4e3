"""Figure 1: Langevin dynamics in the noise space of a mixture, and its draws in data space."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...kernels.langevin import Langevin
from ...likelihoods import Gaussian
from ...maps import Mixture
from ...posterior import NoisePosterior
from ...sampling.sample import sample
from ...sampling.starts import Adam

MEANS = [[-2.0, -1.0], [2.0, -1.0], [0.0, 2.0]]  # of the mixture
MEASURED, SIGMA_Y = 1.2, 0.5  # x @ (1, 0.6) with its noise
SIDE = 90  # points of the densities along each axis
SHOWN = ("step_size", "acceptance_rate", "chi2", "nfe", "seconds")


def figure1(path: Path, num_draws: int = 400, seed: int = 0) -> dict[str, float]:
    """Draw the figure from one chain, and return a few numbers of its run."""
    from matplotlib.figure import Figure

    phi = Mixture(torch.tensor(MEANS, dtype=torch.float64), std=0.4)
    likelihood, y = Gaussian(SIGMA_Y), torch.tensor([[MEASURED]], dtype=torch.float64)

    def operator(x: Tensor) -> Tensor:
        return x @ torch.tensor([[1.0], [0.6]], dtype=x.dtype)

    def log_posterior(x: Tensor) -> Tensor:
        return phi.log_density(x) - likelihood.nll(operator(x), y.expand(len(x), 1))

    target, start = NoisePosterior(phi, operator, likelihood, y), Adam(50, 0.05)
    kernel = Langevin(0.02)
    run = sample(target, kernel, num_draws, 1, warm_start=start, seed=seed, progress=False)
    figure = Figure(figsize=(8, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, run.z[0, 0], lambda z: -target(z).nll - 0.5 * z.square().sum(1))
    left.set_title("noise space: z, and exp(-L(Phi(z)) - |z|^2 / 2)", fontsize=8)
    levels = phi.log_density(_points()).exp().reshape(SIDE, SIDE).numpy()
    right.contour(*_axes(), levels, colors="0.75", linewidths=0.8)
    _draw(right, run.draws[0, 0], log_posterior)
    right.set_title("data space: x = Phi(z), prior (grey) and posterior", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=200)
    summary = run.summary()
    return {key: summary[key] for key in SHOWN}


def _points() -> Tensor:
    return torch.cartesian_prod(*(torch.linspace(-4, 4, SIDE, dtype=torch.float64),) * 2)


def _axes() -> np.ndarray:
    return _points().T.reshape(2, SIDE, SIDE).numpy()


def _draw(axis: Any, points: Any, log_density: Callable[[Tensor], Tensor]) -> None:
    """A density with the points of a chain on it, the first ones joined."""
    values = log_density(_points()).reshape(SIDE, SIDE)
    axis.contourf(*_axes(), (values - values.max()).exp().numpy(), levels=8, cmap="Blues")
    axis.plot(points[:40, 0], points[:40, 1], "-", color="0.3", linewidth=0.6)
    axis.scatter(points[:, 0], points[:, 1], s=5, c=np.arange(len(points)), cmap="autumn")
    axis.set_aspect("equal")
