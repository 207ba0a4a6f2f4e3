"""Statistics of the draws, pixel by pixel: quantiles, and R-hat and ESS of chains long enough."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..evaluate.diagnostics.boxes import by_boxes
from ..evaluate.diagnostics.chains import r_hat_and_ess
from .evidence import LONG

QUANTILES = (0.05, 0.5, 0.95)


class Maps(NamedTuple):
    """Maps of one image; R-hat and ESS are None where the chains are too short or too few."""

    quantiles: np.ndarray  # (3, *x)
    r_hat: np.ndarray | None = None
    ess: np.ndarray | None = None


def maps_of(draws: Any) -> Maps:
    """The maps of draws (chain, draw, *x)."""
    chains, length = draws.shape[:2]
    quantiles = quantiles_of(draws).cpu().numpy()
    if chains < 2 or length < LONG:
        return Maps(quantiles)
    return Maps(quantiles, *r_hat_and_ess(draws).cpu().numpy())


def quantiles_of(draws: Any) -> Tensor:
    """Those of `QUANTILES` (3, *x), in float64, of draws (chain, draw, *x)."""

    def of(block: Tensor) -> Tensor:
        every = block.flatten(0, 1).to(torch.float64)
        return torch.quantile(every, every.new_tensor(QUANTILES), 0)

    return by_boxes(of, draws)


def expected_coverage(num_draws: int) -> float:
    """How often a right interval between the 5 % and the 95 % quantile of so many independent draws
    holds the truth: 0.9 (n - 1) / (n + 1), as the truth is one more draw."""
    low, _, high = QUANTILES
    return (high - low) * (num_draws - 1) / (num_draws + 1)
