"""A small report to vary."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from noisewalk.report import ReportData

SUMMARY: dict[str, Any] = {
    "nfe": 41287,
    "nfe_per_draw": 10.25,
    "seconds": 1874.375,
    "acceptance_rate": 0.6181,
    "r_hat_max": 1.0123,
    "ess_bulk_min": 213.71,
    "ess_tail_min": 187.5,
    "jump": 0.07317,
    "langevin_time": 38.437,
    "chi2": 1.0437,
    "psnr": 26.317,
    "psnr_draws": 23.029,
    "ssim": 0.91347,
    "num_draws": 40,
    "anything_else": 7.125,
}


@pytest.fixture
def make() -> Callable[..., ReportData]:
    def build(
        shape: tuple[int, int, int] = (1, 8, 8),
        chains: int = 3,
        draws: int = 40,
        shown: int = 2,
        **changes: Any,
    ) -> ReportData:
        rng = np.random.default_rng(0)
        samples = rng.uniform(-1, 1, (chains, shown, *shape))
        arguments: dict[str, Any] = {
            "title": "A problem",
            "measurement": rng.uniform(-1, 1, shape),
            "mean": samples.mean((0, 1)),
            "std": samples.std((0, 1)),
            "samples": samples,
            "nll": rng.normal(30, 2, (chains, draws)),
            "summary": SUMMARY,
            "truth": rng.uniform(-1, 1, shape),
            "acceptance_rate": rng.uniform(0, 1, (chains, draws)),
            "settings": [
                ("Run", [("command", "noisewalk sample boot.png --seed 0"), ("seed", 0)]),
                ("Sampler", [("kernel", "HMC(step_size=0.5)")]),
            ],
        }
        return ReportData(**(arguments | changes))

    return build
