"""A finished training becomes a prior that loads to the same function, with a card that says what
it is."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import recipe

from noisewalk.priors.load import load_prior
from noisewalk.priors.train.export import write_prior
from noisewalk.priors.train.network import new_network
from noisewalk.priors.train.recipe import Recipe


class Written(NamedTuple):
    """A prior that was written, and what it was written from."""

    made: Recipe
    average: dict[str, torch.Tensor]
    folder: Path


@pytest.fixture(
    scope="module",
    params=[("edm", (1, 8, 8), 1), ("consistency", (3, 8, 8), 2)],
    ids=["edm grey", "consistency colour unshuffled"],
)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    made, folder = recipe(*request.param), tmp_path_factory.mktemp("prior")
    average = {
        k: 1.01 * v.detach() for k, v in made.denoiser.network.state_dict().items()
    }  # other weights than the network's, as an average is
    write_prior(made, average, 640, folder)
    return Written(made, average, folder)


def test_a_written_prior_loads_to_the_same_denoiser_up_to_float16(written: Written) -> None:
    prior, trained = load_prior(written.folder), written.made.denoiser
    loaded, (channels, size, _) = prior.denoiser, trained.shape
    assert (prior.shape, loaded.kind, loaded.unshuffle) == (
        trained.shape,
        trained.kind,
        trained.unshuffle,
    )
    assert (loaded.sigma_min, loaded.sigma_max, loaded.sigma_data) == (0.003, 60.0, 0.4)
    for key, value in loaded.network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, written.average[key].half().float()), key
    rounded = new_network(size, channels, (32,), unshuffle=trained.unshuffle, seed=1).eval()
    rounded.load_state_dict({k: v.half().float() for k, v in written.average.items()})
    x, sigma = (
        torch.randn(2, *prior.shape, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0.3, 60.0]),
    )
    with torch.no_grad():
        assert torch.equal(
            loaded(x, sigma), dataclasses.replace(trained, network=rounded)(x, sigma)
        )
        phi = prior.map(num_steps=2) if loaded.kind == "consistency" else prior.ode_map(num_steps=2)
        assert phi(x).shape == x.shape


def test_the_card_says_what_was_trained_and_how(written: Written) -> None:
    made, card = written.made, json.loads((written.folder / "card.json").read_text())
    scaling = {
        k: getattr(made.denoiser, k)
        for k in ("kind", "sigma_min", "sigma_max", "sigma_data", "unshuffle")
    }
    origin = {
        **made.facts,
        "images_seen": 640,
        "settings": dataclasses.asdict(made.settings),
        "command": made.command,
    }
    digest = hashlib.sha256(
        (written.folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    ).hexdigest()
    expected = scaling | origin | {"shape": list(made.denoiser.shape), "sha256": digest}
    assert {k: card.get(k) for k in expected} == expected
    assert ("midpoint" in card) == (made.denoiser.kind == "consistency")
    assert load_prior(written.folder).card == card


def test_the_sheet_shows_64_different_samples(written: Written) -> None:
    with Image.open(written.folder / "samples.png") as image:
        sheet = np.asarray(image)
    channels = written.made.denoiser.shape[0]
    assert sheet.shape == ((64, 64) if channels == 1 else (64, 64, 3))
    tiles = sheet.reshape(8, 8, 8, 8, channels).transpose(0, 2, 1, 3, 4).reshape(64, -1)
    assert len(np.unique(tiles, axis=0)) == 64


def test_a_card_of_the_same_weights_keeps_what_was_measured_since(tmp_path: Path) -> None:
    made = recipe("consistency")
    weights = made.denoiser.network.state_dict()
    write_prior(made, weights, 640, tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(
        json.dumps({**card, "midpoint": 0.3, "quality": {"kid": 0.1}})
    )
    write_prior(made, weights, 640, tmp_path)
    assert json.loads((tmp_path / "card.json").read_text())["quality"] == {"kid": 0.1}
    assert load_prior(tmp_path).card["midpoint"] == 0.3
    write_prior(made, {k: 2 * v for k, v in weights.items()}, 700, tmp_path)
    assert "quality" not in json.loads((tmp_path / "card.json").read_text())


def test_everybody_may_read_the_weights(tmp_path: Path) -> None:
    made = recipe("consistency")
    write_prior(made, made.denoiser.network.state_dict(), 640, tmp_path)
    assert [path.stat().st_mode for path in (tmp_path / "unet").iterdir()] == [
        (tmp_path / "card.json").stat().st_mode
    ] * 2
