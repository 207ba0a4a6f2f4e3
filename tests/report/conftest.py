"""A small report to vary, and a small run to report on; puts this folder on the path."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import noisewalk as nw
from noisewalk.report import ReportData

sys.path.insert(0, str(Path(__file__).parent))  # the tests share `page_reader` and `spec_edits`

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


@pytest.fixture
def target() -> nw.NoisePosterior:
    phi, y = nw.maps.Warp((1, 6, 6), 0.5), torch.zeros(1, 1, 6, 6)
    return nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(0.1), y)


@pytest.fixture
def sampled(tmp_path: Path) -> Callable[..., Path]:
    """The folder of a run of chains as they are given."""

    def sample(
        target: nw.NoisePosterior, kernel: nw.Kernel | None = None, draws: int = 6, chains: int = 2
    ) -> Path:
        nw.sample(
            target,
            nw.Langevin(1e-2, adjust=True) if kernel is None else kernel,
            draws,
            chains,
            num_warmup=0,
            adapt=None,
            warm_start=None,
            store=tmp_path / "run",
            progress=False,
        )
        return tmp_path / "run"

    return sample
