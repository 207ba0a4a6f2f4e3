"""Latent models give the images that diffusers' own parts give, whatever the prompt comes as."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pipelines import WIDTH, autoencoder, conditioned, saved_pipeline, write_text_model

import noisewalk as nw
from noisewalk.errors import ConfigError, MissingExtraError, WeightsError
from noisewalk.priors.latent import guidance_embedding

PROMPT = torch.linspace(-1, 1, 3 * WIDTH).reshape(3, WIDTH)
LCM, TURBO = "LatentConsistencyModelPipeline", "StableDiffusionPipeline"


def lcm(**config: Any) -> Any:
    from diffusers import LCMScheduler

    return LCMScheduler(**config)


def euler(**config: Any) -> Any:
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(timestep_spacing="trailing", **config)


@pytest.fixture(scope="module")
def turbo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A turbo model with its text model."""
    folder = tmp_path_factory.mktemp("turbo")
    write_text_model(folder)
    return saved_pipeline(folder, conditioned(), autoencoder("AutoencoderTiny"), euler(), TURBO)


@pytest.mark.parametrize(
    ("scheduler", "pipeline", "vae", "guided"),
    [
        (lcm, LCM, "AutoencoderKL", True),
        (lambda: lcm(prediction_type="v_prediction"), LCM, "AutoencoderKL", False),
        (euler, TURBO, "AutoencoderTiny", False),
        (lambda: euler(prediction_type="v_prediction"), TURBO, "AutoencoderKL", True),
    ],
)  # fmt: skip
def test_a_map_is_the_pipelines_own_step_and_decoder(
    scheduler: Callable[[], Any], pipeline: str, vae: str, guided: bool, tmp_path: Path
) -> None:
    network = conditioned(**({"time_cond_proj_dim": 6} if guided else {}))
    decoder, theirs = autoencoder(vae), scheduler()
    folder = saved_pipeline(tmp_path, network, decoder, theirs, pipeline)
    prior = nw.load_prior(folder, prompt=PROMPT)
    phi = prior.map()
    assert (prior.kind, prior.shape, prior.denoiser) == ("latent", (3, 8, 8), None)
    assert (phi.shape, phi.data_shape, phi.nfe) == ((2, 4, 4), (3, 8, 8), 1)
    z = nw.noise.rows(1, 2).normal(phi.shape, nw.noise.INIT)
    scale = (8.5 if pipeline == LCM else 7.5) - 1
    guide = guidance_embedding(scale, 6).expand(2, -1) if guided else None
    theirs.set_timesteps(1)
    (t,) = theirs.timesteps
    x = z * theirs.init_noise_sigma
    with torch.no_grad():
        given = theirs.scale_model_input(x, t)
        seen = PROMPT.expand(2, -1, -1)
        made = network(given, t, encoder_hidden_states=seen, timestep_cond=guide).sample
        latents = theirs.step(made, t, x).prev_sample
        wanted = decoder.decode(latents / decoder.config["scaling_factor"]).sample
        got = phi(z)
    # in float32 diffusers' Euler step adds the noised state and takes it away again
    lost = 4 * 2**-24 * float(theirs.init_noise_sigma)
    size = max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5 * size + lost)
    assert float(wanted.std()) > 0.01


def test_the_guidance_embedding_is_diffusers() -> None:
    from diffusers import LatentConsistencyModelPipeline

    own: Any = LatentConsistencyModelPipeline.get_guidance_scale_embedding
    for size in (6, 7, 256):
        wanted = own(None, torch.tensor([7.5]), embedding_dim=size)
        torch.testing.assert_close(guidance_embedding(7.5, size), wanted)


def test_a_prompt_in_words_is_its_embedding(turbo: Path) -> None:
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(turbo / "tokenizer")
    ids = tokenizer("cat", padding="max_length", max_length=8, return_tensors="pt").input_ids
    with torch.no_grad():
        embedding = CLIPTextModel.from_pretrained(turbo / "text_encoder").eval()(ids)[0]
    z = nw.noise.rows(1, 2).normal((2, 4, 4), nw.noise.INIT)
    words, numbers, other = (
        nw.load_prior(turbo, prompt=prompt).map() for prompt in ("cat", embedding, "dog")
    )
    with torch.no_grad():
        assert torch.equal(words(z), numbers(z))
        assert not torch.equal(words(z), other(z))
    assert repr(words) == repr(numbers) != repr(other)  # runs tell prompts apart


def test_the_default_kernel_runs_at_any_size_and_jv_is_the_difference(turbo: Path) -> None:
    prior = nw.load_prior(turbo, prompt=PROMPT)
    assert prior.multiple == 4
    phi = prior.map(shape=(8, 12), checkpoint=True)
    assert (phi.shape, phi.data_shape) == ((2, 4, 6), (3, 8, 12))
    y = torch.zeros(1, 3, 4, 6)
    target = nw.NoisePosterior(phi, nw.operators.AveragePool(2), nw.likelihoods.Gaussian(0.3), y)
    assert target.jacobian == "forward"
    z, v = (nw.noise.rows(k, 1).normal(phi.shape, nw.noise.INIT) for k in (0, 1))
    _, jvp, vjp = target.linearize(z)
    with torch.no_grad():
        ahead, behind = (target.operator(phi(z + h * v)).double() for h in (1e-2, -1e-2))
    wanted = (ahead - behind) / 2e-2
    gap = float((jvp(v) - wanted).norm() / wanted.norm())
    assert gap < 0.02
    w = torch.ones_like(y)
    left, right = float((jvp(v) * w).sum()), float((vjp(w) * v).sum())
    assert left == pytest.approx(right, rel=1e-3, abs=1e-3)
    plain = nw.NoisePosterior(
        prior.map(shape=(8, 12)), target.operator, nw.likelihoods.Gaussian(0.3), y
    )
    torch.testing.assert_close(target(z).grad, plain(z).grad)
    run = nw.sample(
        target, num_draws=1, num_chains=2, num_warmup=2, thin=1, warm_start=None, progress=False
    )
    assert run.draws.shape == (1, 2, 1, 3, 8, 12)
    assert run.draws.isfinite().all()


def test_what_a_latent_model_does_not_offer_is_told(turbo: Path) -> None:
    prior = nw.load_prior(turbo, prompt=PROMPT)
    with pytest.raises(ConfigError, match="one network call, whole: leave num_steps"):
        prior.map(2)
    with pytest.raises(ConfigError, match="leave num_steps, midpoint, window and margin out"):
        prior.map(shape=(16, 16), window=8)
    with pytest.raises(ConfigError, match=r"multiples of 4, got 10 x 8: the nearest are 8 or 12"):
        prior.map(shape=(10, 8))
    with pytest.raises(
        ConfigError, match=r"is a latent model, not a diffusion model: use prior.map"
    ):
        prior.ode_map()
    with pytest.raises(ConfigError, match=r'needs a prompt: give prompt="..."'):
        nw.load_prior(turbo)
    with pytest.raises(ConfigError, match=r"prompt must be text, or its embedding \(L, 12\)"):
        nw.load_prior(turbo, prompt=torch.zeros(3, 5))
    with pytest.raises(ConfigError, match=r"prompt has 11 tokens, and 8 are the most"):
        nw.load_prior(turbo, prompt="a b c d e f g h i")
    with pytest.raises(ConfigError, match="takes no label"):
        nw.load_prior(turbo, prompt="a", label=3)
    with pytest.raises(ConfigError, match=r"kind of .* is latent, got edm"):
        nw.load_prior(turbo, prompt="a", kind="edm")
    with pytest.raises(ConfigError, match="has no size, got 64"):
        nw.load_prior(turbo, prompt="a", size=64)
    with pytest.raises(ConfigError, match="fashion32 takes no prompt"):
        nw.load_prior("fashion32", prompt="a")


def test_a_pipeline_that_cannot_be_read_is_told(
    turbo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    import sys

    folder = tmp_path / "copy"
    shutil.copytree(turbo, folder)

    def change(file: str, **values: Any) -> None:
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    scheduler = "scheduler/scheduler_config.json"
    change(scheduler, timestep_spacing="leading")
    with pytest.raises(WeightsError, match="one step at the time 0 of 1000, not at the noise"):
        nw.load_prior(folder, prompt=PROMPT)
    change(scheduler, _class_name="PNDMScheduler")
    with pytest.raises(WeightsError, match=r"PNDMScheduler.*LCMScheduler or EulerDiscrete"):
        nw.load_prior(folder, prompt=PROMPT)
    change("model_index.json", _class_name="FluxPipeline")
    with pytest.raises(WeightsError, match="FluxPipeline, and of latent models LatentConsistency"):
        nw.load_prior(folder, prompt=PROMPT)
    shutil.copy(turbo / "model_index.json", folder / "model_index.json")
    shutil.copy(turbo / scheduler, folder / scheduler)
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(WeightsError, match="no tokenizer, which a prompt in words needs"):
        nw.load_prior(folder, prompt="cat")
    (folder / "tokenizer").mkdir()
    with pytest.raises(WeightsError, match="cannot read the prompt by"):
        nw.load_prior(folder, prompt="cat")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"noisewalk\[latent\]"):
        nw.load_prior(turbo, prompt="cat")
    assert nw.load_prior(turbo, prompt=PROMPT).kind == "latent"
