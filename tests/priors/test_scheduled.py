"""The denoiser of a scheduler's model: exact where the network is, and diffusers' own x_0."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.errors import ConfigError, WeightsError
from noisewalk.priors.scheduled import denoiser_of

VARIANCE = 0.5  # of the data, N(0, VARIANCE)


def ideal(prediction: str, count: int = 1000) -> Any:
    """The network of Gaussian data, whose best x_0 is known, by its scheduler's conventions."""
    from diffusers import DDIMScheduler

    bars = DDIMScheduler().alphas_cumprod.double()

    def network(x: Tensor, t: Tensor) -> Tensor:
        if prediction == "flow":
            s = (t / count).view(-1, 1)
            a = 1 - s
        else:
            spread = ((1 - bars) / bars).sqrt().log()
            at, part = t.long().clamp(max=998), t - t.long().clamp(max=998)
            sigma = (spread[at] * (1 - part) + spread[at + 1] * part).exp().view(-1, 1)
            a, s = (1 + sigma**2).rsqrt(), sigma * (1 + sigma**2).rsqrt()
        x0 = a * VARIANCE * x / (a**2 * VARIANCE + s**2)
        n = (x - a * x0) / s
        return {"flow": n - x0, "epsilon": n, "v_prediction": a * n - s * x0, "sample": x0}[
            prediction
        ]

    return network


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample", "flow"])
def test_it_is_the_best_estimate_of_gaussian_data(prediction: str) -> None:
    flow = prediction == "flow"
    name = "FlowMatchEulerDiscreteScheduler" if flow else "DDPMScheduler"
    config = {"_class_name": name, **({} if flow else {"prediction_type": prediction})}
    f = denoiser_of(ideal(prediction), (2,), config)
    assert isinstance(f, nw.types.Denoiser)
    assert 0 < f.sigma_min < 0.02
    assert 100 < f.sigma_max < 1e4
    sigma = torch.tensor([0.03, 0.7, 1.0, 20.0], dtype=torch.float64)
    x = torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(4, 2)
    wanted = VARIANCE / (VARIANCE + sigma**2)
    torch.testing.assert_close(f(x, sigma), wanted[:, None] * x, rtol=1e-9, atol=1e-12)


def test_it_is_the_x0_of_diffusers_step(unet: Any, tmp_path: Path) -> None:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(prediction_type="v_prediction", clip_sample=False)
    unet.save_pretrained(tmp_path / "unet")
    scheduler.save_pretrained(tmp_path / "scheduler")
    prior = nw.load_prior(tmp_path)
    assert prior.denoiser is not None
    scheduler.set_timesteps(10)
    t = scheduler.timesteps[3]
    bar = scheduler.alphas_cumprod[t]
    x = nw.noise.rows(0, 2).normal((1, 8, 8), nw.noise.INIT)
    with torch.no_grad():
        wanted = scheduler.step(unet(x, t).sample, t, x).pred_original_sample
        got = prior.denoiser(x / bar.sqrt(), ((1 - bar) / bar).sqrt())
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    y = torch.zeros(1, 1, 4, 4)
    drawn = nw.baselines.dps(prior.denoiser, nw.operators.AveragePool(2), y, num_steps=3)
    assert drawn.isfinite().all()
    with pytest.raises(ConfigError, match="which makes images of one size"):
        _ = prior.multiple


def test_levels_that_do_not_rise_are_told() -> None:
    config = {"_class_name": "DDPMScheduler", "prediction_type": "y"}
    with pytest.raises(WeightsError, match="makes no DDIMScheduler whose noise levels rise"):
        denoiser_of(ideal("epsilon"), (2,), config)
    with pytest.raises(WeightsError, match="makes no DDIMScheduler: "):
        denoiser_of(ideal("epsilon"), (2,), {"_class_name": "DDPMScheduler", "beta_schedule": "x"})
