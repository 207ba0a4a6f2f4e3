"""Loading priors: the bundled ones are what their cards say, and a folder that is not a prior is told in one line."""

import hashlib
import json
import re
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk.errors import ConfigError, NoisewalkError, WeightsError
from noisewalk.priors.diffusers import build_unet, write_unet
from noisewalk.priors.load import list_priors, load_prior

NEEDED = ("kind", "shape", "sigma_min", "sigma_max", "sigma_data", "unshuffle", "sha256")
BUNDLED = {"fashion32": "consistency", "fashion32-edm": "edm"}
WEIGHTS = "diffusion_pytorch_model.safetensors"


def noise(rows: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(rows, *shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small prior's folder."""
    folder = tmp_path_factory.mktemp("prior")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_unet(8, 1, (32,))
    sha256 = write_unet(network, network.state_dict(), folder / "unet")
    scaling = {"sigma_min": 0.01, "sigma_max": 50, "sigma_data": 0.3, "unshuffle": 1}
    (folder / "card.json").write_text(json.dumps({"kind": "edm", "shape": [1, 8, 8], **scaling, "sha256": sha256, "licence": "none"}))
    return folder


@pytest.fixture
def prior(original: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / "prior"))


def edit_card(folder: Path, **values: Any) -> None:
    (folder / "card.json").write_text(json.dumps(json.loads((folder / "card.json").read_text()) | values))


def refused(source: str | Path, kind: type[NoisewalkError], *says: str) -> None:
    with pytest.raises(kind) as error:
        load_prior(source)
    assert "\n" not in str(error.value)
    for text in says:
        assert text in str(error.value)


def test_the_bundled_priors_are_listed_with_whole_cards() -> None:
    cards = list_priors()
    assert set(BUNDLED) <= set(cards)
    for name, kind in BUNDLED.items():
        assert set(NEEDED) | {"licence", "data"} <= set(cards[name])
        assert (cards[name]["kind"], cards[name]["shape"], cards[name]["name"]) == (kind, [1, 32, 32], name)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_priors_weights_have_the_cards_sha256_and_are_float16_in_safetensors(name: str) -> None:
    content = (Path(str(files("noisewalk"))) / "priors" / "bundled" / name / "unet" / WEIGHTS).read_bytes()
    assert hashlib.sha256(content).hexdigest() == list_priors()[name]["sha256"]
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert {entry["dtype"] for key, entry in header.items() if key != "__metadata__"} == {"F16"}


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_prior_loads_without_gradients_and_denoises_pure_noise_to_grey_images(name: str) -> None:
    prior = nw.load_prior(name)
    network = prior.denoiser.network
    assert (prior.name, prior.shape, prior.denoiser.kind) == (name, (1, 32, 32), BUNDLED[name])
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    with torch.no_grad():
        x = prior.denoiser(80.0 * noise(8, prior.shape), torch.tensor(80.0))
    assert bool(x.isfinite().all())
    assert float(x.abs().max()) < 2  # never clamped: single pixels overshoot
    assert float((x.abs() <= 1.1).double().mean()) > 0.95
    edge = torch.cat([x[..., 0, :], x[..., -1, :], x[..., :, 0], x[..., :, -1]])
    assert float((edge + 1).abs().mean()) < 0.1  # the training images have a black frame
    assert float(x[..., 8:24, 8:24].mean()) > -0.8  # and something in the middle


def test_one_step_samples_differ_as_clothes_do_and_follow_z() -> None:
    prior = load_prior("fashion32")
    phi, z = prior.map(), noise(8, prior.shape).requires_grad_()
    x = phi(z)
    assert float(x.detach().std(0).mean()) > 0.2  # the mean image alone would be the same for every z
    (grad,) = torch.autograd.grad(x[0].sum(), z)
    assert bool(grad.isfinite().all())
    assert float(grad[0].norm()) > 0
    assert float(grad[1:].abs().max()) == 0


def test_a_folder_loads_with_its_cards_scaling(prior: Path) -> None:
    loaded = load_prior(prior)
    denoiser = loaded.denoiser
    assert loaded.card["licence"] == "none"
    assert loaded.shape == denoiser.shape == (1, 8, 8)
    assert (denoiser.kind, denoiser.sigma_min, denoiser.sigma_max, denoiser.sigma_data, denoiser.unshuffle) == ("edm", 0.01, 50.0, 0.3, 1)
    assert not any(p.requires_grad for p in denoiser.network.parameters())


def test_a_path_and_its_text_load_the_same(prior: Path) -> None:
    x, sigma = noise(2, (1, 8, 8)), torch.tensor(0.7)
    assert torch.equal(load_prior(prior).denoiser(x, sigma), load_prior(str(prior)).denoiser(x, sigma))


def test_the_dtype_is_the_networks_arithmetic(prior: Path) -> None:
    double = load_prior(prior, dtype=torch.float64).denoiser
    assert {p.dtype for p in double.network.parameters()} == {torch.float64}
    x, sigma = noise(2, (1, 8, 8)).double(), torch.tensor(0.7, dtype=torch.float64)
    torch.testing.assert_close(double(x, sigma).float(), load_prior(prior).denoiser(x.float(), sigma), rtol=1e-3, atol=1e-4)


def test_a_local_folder_does_not_hide_a_bundled_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fashion32-edm").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_prior("fashion32-edm").shape == (1, 32, 32)


def test_an_unknown_name_lists_the_choices() -> None:
    refused("fashion33", ConfigError, "'fashion33'", *BUNDLED, "folder")


def test_a_folder_without_a_card_is_named(prior: Path) -> None:
    (prior / "card.json").unlink()
    refused(prior, WeightsError, str(prior), "card.json")


@pytest.mark.parametrize("content", [b"", b"{", b"not json", b"\xff\xfe"], ids=repr)
def test_a_card_that_is_no_json_is_named(prior: Path, content: bytes) -> None:
    (prior / "card.json").write_bytes(content)
    refused(prior, WeightsError, str(prior / "card.json"))


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_a_card_that_is_no_table_is_named(prior: Path, content: str) -> None:
    (prior / "card.json").write_text(content)
    refused(prior, WeightsError, str(prior / "card.json"), "kind")


@pytest.mark.parametrize("key", NEEDED)
def test_a_card_that_lacks_a_key_names_it(prior: Path, key: str) -> None:
    card = json.loads((prior / "card.json").read_text())
    del card[key]
    (prior / "card.json").write_text(json.dumps(card))
    with pytest.raises(WeightsError) as error:
        load_prior(prior)
    assert re.search(rf"card\.json lacks {key}$", str(error.value))


@pytest.mark.parametrize("kind", ["flow", "EDM", "", None])
def test_an_unknown_kind_is_named_with_the_allowed_ones(prior: Path, kind: Any) -> None:
    edit_card(prior, kind=kind)
    refused(prior, WeightsError, str(prior / "card.json"), repr(kind), "edm", "consistency")


def test_damaged_weights_are_named_with_both_hashes(prior: Path) -> None:
    weights = prior / "unet" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 64
    weights.write_bytes(content)
    refused(prior, WeightsError, str(weights), hashlib.sha256(content).hexdigest()[:8], json.loads((prior / "card.json").read_text())["sha256"][:8])


def test_a_card_of_other_weights_is_refused(prior: Path) -> None:
    edit_card(prior, sha256="0" * 64)
    refused(prior, WeightsError, str(prior / "unet" / WEIGHTS), "000000")


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_a_missing_network_file_is_named(prior: Path, name: str) -> None:
    (prior / "unet" / name).unlink()
    refused(prior, WeightsError, str(prior / "unet" / name))


def test_weights_of_another_architecture_are_named_by_key(prior: Path) -> None:
    config = json.loads((prior / "unet" / "config.json").read_text())
    (prior / "unet" / "config.json").write_text(json.dumps(config | {"in_channels": 3}))
    refused(prior, WeightsError, "conv_in.weight", "(32, 1, 3, 3)", "(32, 3, 3, 3)")
