r"""The denoiser f(x_t, sigma) of diffusion models whose time is a scheduler's.

At noise level $\sigma$, $x_t = x_0 + \sigma n$. A model of discrete time sees
$\sqrt{\bar\alpha}\, x_t$ at the time t with $\sigma^2 = (1 - \bar\alpha_t) / \bar\alpha_t$,
interpolated in $\ln \sigma$. Flow matching sees $(1 - s)\, x_t$ at $s = \sigma / (1 + \sigma)$.
With $c = 1 / \sqrt{1 + \sigma^2}$ and F the network's output,
$$f = x_t - \sigma F \ (\epsilon), \quad f = c^2 x_t - \sigma c\, F \ (v), \quad
f = F \ (x_0), \quad f = (1 - s)\, x_t - s\, F \ (\text{flow}).$$
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._repr import readable
from ..errors import WeightsError
from .mismatched_keys import shortened
from .schedulers import SOLVERS, scheduler_of

LARGEST = 1e4  # noise level of a denoiser
PREDICTIONS = ("epsilon", "v_prediction", "sample")


@readable
@dataclass(frozen=True, eq=False, repr=False)
class ScheduledDenoiser:
    """f(x_t, sigma) from a network F(x, t), for the prediction that its scheduler says."""

    network: Callable[[Tensor, Tensor], Tensor]
    kind: str
    shape: tuple[int, ...]
    prediction: str
    levels: Tensor = field(
        repr=False
    )  # rising noise levels of the times 0, 1, ..., of flow matching 1, 2, ...

    @property
    def sigma_min(self) -> float:
        """Smallest noise level."""
        return float(self.levels[0])

    @property
    def sigma_max(self) -> float:
        """Largest noise level."""
        return float(self.levels[-1])

    def __call__(self, x_t: Tensor, sigma: Tensor) -> Tensor:
        """The clean image, never clamped, of x_t (B, C, H, W); sigma is a scalar or (B,)."""
        sigma = sigma.to(torch.float64).expand(len(x_t))
        t = self._time(sigma).to(x_t)
        s = sigma.view(-1, *[1] * (x_t.ndim - 1)).to(x_t)
        c = 1 / (1 + s) if self.kind == "flow" else (1 + s**2).rsqrt()
        made = self.network(c * x_t, t)
        match self.prediction:
            case "flow":
                return c * x_t - s * c * made
            case "epsilon":
                return x_t - s * made
            case "v_prediction":
                return c**2 * x_t - s * c * made
        return made

    def _time(self, sigma: Tensor) -> Tensor:
        """(B,) the network's time; outside the levels that of the nearest."""
        if self.kind == "flow":
            return (len(self.levels) + 1) * sigma / (1 + sigma)
        known = self.levels.log().cpu().numpy()
        found = np.interp(sigma.log().cpu().numpy(), known, np.arange(len(known)))
        return torch.from_numpy(np.atleast_1d(found)).to(sigma.device)


def denoiser_of(
    network: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...], config: Mapping[str, Any]
) -> ScheduledDenoiser:
    """The denoiser of a network by its folder's scheduler; WeightsError where its config cannot
    be."""
    solver = SOLVERS[config["_class_name"]]
    failed = f"the scheduler's config makes no {solver.scheduler}"
    try:
        scheduler = scheduler_of(solver, config)
        count = int(scheduler.config["num_train_timesteps"])
        bars = None if solver.kind == "flow" else scheduler.alphas_cumprod.double()
    except Exception as error:  # diffusers meets bad values with errors of any kind
        raise WeightsError(f"{failed}: {shortened(error)}") from error
    if bars is None:
        s = torch.arange(1, count, dtype=torch.float64) / count
        return ScheduledDenoiser(network, solver.kind, shape, "flow", s / (1 - s))
    levels = ((1 - bars) / bars).sqrt()
    levels = levels[torch.isfinite(levels) & (levels < LARGEST)]  # not where no signal is left
    prediction = scheduler.config["prediction_type"]
    if prediction not in PREDICTIONS or len(levels) < 2 or not bool((levels.diff() > 0).all()):
        raise WeightsError(f"{failed} whose noise levels rise, got prediction {prediction!r}")
    return ScheduledDenoiser(network, solver.kind, shape, prediction, levels)
