"""Diffusion models of diffusers' folders give the images that diffusers' own schedulers give."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import noisewalk as nw
from noisewalk.errors import ConfigError, WeightsError
from noisewalk.priors.schedulers import SOLVERS, schedule_of

NUM_STEPS = 5


def saved(folder: Path, network: Any, scheduler: Any) -> Path:
    """A folder as a pipeline of diffusers leaves it."""
    network.save_pretrained(folder / "unet")
    scheduler.save_pretrained(folder / "scheduler")
    return folder


def theirs(network: Any, scheduler: Any, z: torch.Tensor, num_steps: int = NUM_STEPS) -> Any:
    """The sampling loop of diffusers' pipelines."""
    scheduler.set_timesteps(num_steps)
    x = z * getattr(scheduler, "init_noise_sigma", 1.0)
    with torch.no_grad():
        for t in scheduler.timesteps:
            given = (
                scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
            )
            x = scheduler.step(network(given, t).sample, t, x).prev_sample
    return x


def case(name: str, **config: Any) -> Any:
    return pytest.param(name, config, id=f"{name} {config}")


CASES = [
    case("DDIMScheduler", prediction_type="epsilon"),
    case("DDIMScheduler", prediction_type="v_prediction", timestep_spacing="trailing"),
    case("DDIMScheduler", prediction_type="sample", timestep_spacing="linspace"),
    case("DDIMScheduler", rescale_betas_zero_snr=True, prediction_type="v_prediction",
         timestep_spacing="trailing"),
    case("DDIMScheduler", beta_schedule="scaled_linear", set_alpha_to_one=False, steps_offset=1),
    case("EulerDiscreteScheduler", timestep_spacing="trailing"),
    case("EulerDiscreteScheduler", prediction_type="v_prediction", timestep_spacing="leading"),
    case("EulerDiscreteScheduler", use_karras_sigmas=True),
    case("FlowMatchEulerDiscreteScheduler"),
    case("FlowMatchEulerDiscreteScheduler", shift=3.0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "config"), CASES)
def test_a_map_is_the_schedulers_sampler(
    name: str, config: dict[str, Any], unet: Any, tmp_path: Path
) -> None:
    import diffusers

    clip = {"clip_sample": False} if name == "DDIMScheduler" else {}
    scheduler = getattr(diffusers, name)(**config, **clip)
    # what a folder usually says of clipping changes nothing: Phi is never clamped
    kept = getattr(diffusers, name)(**config, **dict.fromkeys(clip, True))
    prior = nw.load_prior(saved(tmp_path, unet, kept))
    phi = prior.ode_map(NUM_STEPS)
    assert prior.kind == ("flow" if name.startswith("Flow") else "ddpm")
    assert (phi.shape, phi.nfe, prior.shape) == ((1, 8, 8), NUM_STEPS, (1, 8, 8))
    z = nw.noise.rows(1, 3).normal((1, 8, 8), nw.noise.INIT)
    wanted = theirs(unet, scheduler, z)
    with torch.no_grad():
        got = phi(z)
    scale = max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5 * scale)
    assert float(wanted.std()) > 0.01


def test_a_ddpm_folder_is_its_ddim(unet: Any, tmp_path: Path) -> None:
    from diffusers import DDIMScheduler, DDPMScheduler

    prior = nw.load_prior(saved(tmp_path, unet, DDPMScheduler()))
    z = nw.noise.rows(1, 2).normal((1, 8, 8), nw.noise.INIT)
    wanted = theirs(unet, DDIMScheduler.from_config(DDPMScheduler().config, clip_sample=False), z)
    with torch.no_grad():
        got = prior.ode_map(NUM_STEPS, "ddim")(z)
    scale = max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5 * scale)


def test_an_edm_folder_is_its_euler(unet: Any, tmp_path: Path) -> None:
    from diffusers import EDMEulerScheduler

    scheduler = EDMEulerScheduler()
    prior = nw.load_prior(saved(tmp_path, unet, scheduler))
    z = nw.noise.rows(1, 2).normal((1, 8, 8), nw.noise.INIT)
    scheduler.set_timesteps(NUM_STEPS)
    wanted = theirs(unet, scheduler, z * 80.0 / scheduler.init_noise_sigma)
    with torch.no_grad():
        got = prior.ode_map(NUM_STEPS, "euler")(z)
    scale = max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5 * scale)


def test_a_consistency_folder_is_its_one_step(unet: Any, tmp_path: Path) -> None:
    from diffusers import CMStochasticIterativeScheduler

    prior = nw.load_prior(saved(tmp_path, unet, CMStochasticIterativeScheduler()))
    scheduler = CMStochasticIterativeScheduler(clip_denoised=False)
    z = nw.noise.rows(1, 2).normal((1, 8, 8), nw.noise.INIT)
    wanted = theirs(unet, scheduler, z, 1)
    with torch.no_grad():
        got = prior.map()(z)
    scale = max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5 * scale)


def test_the_default_kernel_runs_and_jv_is_the_difference(unet: Any, tmp_path: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    prior = nw.load_prior(saved(tmp_path, unet, FlowMatchEulerDiscreteScheduler()))
    for gradient in ("direct", "checkpoint"):
        phi = prior.ode_map(2, gradient=gradient)
        y = torch.zeros(1, 1, 4, 4)
        target = nw.NoisePosterior(
            phi, nw.operators.AveragePool(2), nw.likelihoods.Gaussian(0.3), y
        )
        z, v = (nw.noise.rows(k, 1).normal((1, 8, 8), nw.noise.INIT) for k in (0, 1))
        _, jvp, vjp = target.linearize(z)
        with torch.no_grad():
            ahead, behind = (target.operator(phi(z + h * v)) for h in (1e-2, -1e-2))
        torch.testing.assert_close(jvp(v), (ahead - behind) / 2e-2, rtol=0, atol=5e-3)
        w = torch.ones(1, 1, 4, 4)
        left, right = float((jvp(v) * w).sum()), float((vjp(w) * v).sum())
        assert left == pytest.approx(right, rel=1e-3, abs=1e-3)
    run = nw.sample(
        target, num_draws=1, num_chains=2, num_warmup=2, thin=1, warm_start=None, progress=False
    )
    assert run.draws.isfinite().all()


def test_what_a_kind_does_not_offer_is_told(unet: Any, tmp_path: Path) -> None:
    from diffusers import DDPMScheduler

    prior = nw.load_prior(saved(tmp_path, unet, DDPMScheduler()))
    with pytest.raises(ConfigError, match=r"diffusion model \(ddpm\) .* use prior.ode_map"):
        prior.map()
    with pytest.raises(ConfigError, match="unknown solver 'heun': choose one of ddim"):
        prior.ode_map(solver="heun")
    with pytest.raises(ConfigError, match="unknown gradient 'adjoint'"):
        prior.ode_map(gradient="adjoint")
    with pytest.raises(ConfigError, match="takes no label"):
        nw.load_prior(tmp_path, label=3)
    with pytest.raises(
        WeightsError, match="is of kind 'ddpm' by its DDPMScheduler, got kind='edm'"
    ):
        nw.load_prior(tmp_path, kind="edm")


@pytest.mark.parametrize(
    "change",
    [
        {"beta_schedule": "x"},
        {"num_train_timesteps": "many"},
        {"num_train_timesteps": 10**10},
        {"prediction_type": "y"},
    ],
)
def test_a_scheduler_that_cannot_be_is_told(
    change: dict[str, Any], unet: Any, tmp_path: Path
) -> None:
    from diffusers import DDPMScheduler

    path = saved(tmp_path, unet, DDPMScheduler()) / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(WeightsError, match="makes no DDIMScheduler"):
        nw.load_prior(tmp_path).ode_map(3)
    with pytest.raises(ConfigError, match="num_steps must be a whole number"):
        schedule_of(SOLVERS["DDPMScheduler"], {}, 0)
