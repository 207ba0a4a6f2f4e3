"""Every line of the table of networks runs, samples by the default kernel, and has a right J v."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import noisewalk as nw
from noisewalk.priors.load import list_priors
from noisewalk.priors.on_disk import where

sys.path.insert(0, str(Path(__file__).parents[1] / "priors"))  # tiny pipelines and architectures

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
LINES = re.findall(r"^\| .* \| `(nw\..*)` \|$", PAGE.read_text(), re.MULTILINE)
SCHEDULERS = {
    "consistency-folder": "CMStochasticIterativeScheduler",
    "edm-folder": "EDMEulerScheduler",
    "ddpm-folder": "DDPMScheduler",
    "euler-folder": "EulerDiscreteScheduler",
    "flow-folder": "FlowMatchEulerDiscreteScheduler",
    "cache/owner--name": "CMStochasticIterativeScheduler",
}


class Denoiser:
    """The best estimate of Gaussian images."""

    shape, sigma_min, sigma_max = (1, 8, 8), 0.002, 80.0

    def __call__(self, x_t: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return x_t / (1 + sigma**2) ** 0.5


@pytest.fixture(scope="module")
def place(unet: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the table's folders."""
    import diffusers
    from architectures import Architecture, blank
    from pipelines import autoencoder, conditioned, saved_pipeline, write_text_model

    found = tmp_path_factory.mktemp("networks")
    for name, scheduler in SCHEDULERS.items():
        unet.save_pretrained(found / name / "unet")
        getattr(diffusers, scheduler)().save_pretrained(found / name / "scheduler")
    own = {k: v for k, v in unet.config.items() if not k.startswith("_")}
    classes = diffusers.UNet2DModel(**{**own, "num_class_embeds": 10})
    classes.save_pretrained(found / "class-folder" / "unet")
    diffusers.CMStochasticIterativeScheduler().save_pretrained(found / "class-folder" / "scheduler")
    write_text_model(found / "lcm-folder")
    lcm = diffusers.LCMScheduler(), "LatentConsistencyModelPipeline"
    turbo = diffusers.EulerDiscreteScheduler(timestep_spacing="trailing"), "StableDiffusionPipeline"
    for name, vae, pair in (("lcm", "AutoencoderKL", lcm), ("turbo", "AutoencoderTiny", turbo)):
        saved_pipeline(found / f"{name}-folder", conditioned(), autoencoder(vae), *pair)
    shapes = blank(Architecture(32, (1, 2), 1, (1,), True, 1000, 3, 3, 64, 64))
    generator = torch.Generator().manual_seed(0)
    state = {k: 0.05 * torch.randn(v.shape, generator=generator) for k, v in shapes.items()}
    torch.save(state, found / "my_imagenet64.pt")
    return found


@pytest.mark.parametrize("line", LINES)
def test_a_line_makes_a_map_to_sample(
    line: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = re.search(r'load_prior\("(\w+)"', line)
    if named and named[1] in list_priors() and not where(named[1], list_priors()[named[1]]):
        pytest.skip(f"the weights of {named[1]} are not here: noisewalk priors get {named[1]}")
    monkeypatch.chdir(place)
    if named is None or named[1] not in list_priors():
        monkeypatch.setenv("NOISEWALK_CACHE", str(place / "cache"))
    layers = torch.nn.Linear(16, 64), torch.nn.Tanh(), torch.nn.Unflatten(1, (1, 8, 8))
    names = {
        "network": torch.nn.Sequential(*layers).eval().requires_grad_(False),
        "velocity": lambda x, t: -x * t.view(-1, 1, 1, 1),
        "denoiser": Denoiser(),
        "embedding": torch.linspace(-1, 1, 36).reshape(3, 12),
    }
    phi = eval(re.sub(r"\b(18|10)\b", "2", line), {"nw": nw, **names})
    images = 2 if "label=[" in line else 1
    y = torch.zeros(images, *phi.data_shape[:1], *(side // 2 for side in phi.data_shape[1:]))
    target = nw.NoisePosterior(phi, nw.operators.AveragePool(2), nw.likelihoods.Gaussian(0.5), y)
    assert target.jacobian == "forward"
    double = target.to(dtype=torch.float64)  # differences of float32 would be rounding
    z, v = (
        nw.noise.rows(k, images).normal(phi.shape, nw.noise.INIT, torch.float64) for k in (0, 1)
    )
    _, jvp, _ = double.linearize(z)
    with torch.no_grad():
        ahead, behind = (double.operator(double.phi(z + h * v)) for h in (1e-6, -1e-6))
    wanted = (ahead - behind) / 2e-6
    assert float((jvp(v) - wanted).norm() / wanted.norm()) < 1e-4
    short = {"num_draws": 1, "num_chains": 2, "num_warmup": 1, "thin": 1}
    run = nw.sample(target, **short, warm_start=None, progress=False)
    assert run.draws.shape == (images, 2, 1, *phi.data_shape)
    assert run.draws.isfinite().all()


def test_the_table_has_every_kind_of_map() -> None:
    makers = {name for line in LINES for name in re.findall(r"nw\.maps\.(\w+)", line)}
    assert {"Generator", "Flow", "Consistency", "ProbabilityFlow", "Latent"} <= makers
    assert len(LINES) >= 20
