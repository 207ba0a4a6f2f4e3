"""A finished training becomes a prior that loads to the same function, with a card that says what
it is."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.load import load_prior
from noisewalk.priors.train import export
from noisewalk.priors.train.diffusion import DiffusionLoss
from noisewalk.priors.train.distill import DistillLoss
from noisewalk.priors.train.export import Recipe, log_loss, new_network, run_training, write_prior
from noisewalk.priors.train.loop import TrainSettings

CONFIG: dict[str, Any] = {"widths": (32,), "attention": (), "unshuffle": 1}


def recipe(
    kind: str = "edm", shape: tuple[int, ...] = (1, 8, 8), unshuffle: int = 1, seed: int = 0
) -> Recipe:
    network = new_network(shape[1], shape[0], {**CONFIG, "unshuffle": unshuffle}, seed)
    denoiser = NetworkDenoiser(
        network, kind, shape, sigma_min=0.003, sigma_max=60.0, sigma_data=0.4, unshuffle=unshuffle
    )
    chosen = TrainSettings(12, batch_size=4, checkpoint_seconds=0.0)
    loss = DiffusionLoss(denoiser) if kind == "edm" else DistillLoss(denoiser, denoiser, "ct")
    return Recipe(
        denoiser,
        loss,
        chosen,
        "noisewalk train diffusion --data x --out y",
        {"data": "sixteen random images"},
    )


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
    rounded = new_network(size, channels, {**CONFIG, "unshuffle": trained.unshuffle}, 1).eval()
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


def test_new_networks_are_a_function_of_the_seed_and_leave_the_global_generator() -> None:
    state = torch.get_rng_state()
    a, b, c = (new_network(8, 1, CONFIG, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["conv_in.weight"], c["conv_in.weight"])


def test_a_new_network_has_the_size_it_was_asked_for() -> None:
    config = new_network(16, 3, {"widths": (32, 64), "attention": (1,), "unshuffle": 2}, 0).config
    assert (config["sample_size"], config["in_channels"], config["out_channels"]) == (8, 12, 12)
    assert config["down_block_types"] == ("DownBlock2D", "AttnDownBlock2D")
    assert config["up_block_types"] == ("AttnUpBlock2D", "UpBlock2D")


IMAGES = torch.randint(
    0, 256, (16, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)


def test_a_training_that_is_killed_and_run_again_writes_the_same_prior(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_training(recipe("consistency"), IMAGES, tmp_path / "whole")
    evaluate, calls = DistillLoss.__call__, []

    def killed(*args: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(*args)

    with monkeypatch.context() as patch:
        patch.setattr(DistillLoss, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            run_training(recipe("consistency"), IMAGES, tmp_path / "killed")
    assert not (tmp_path / "killed" / "card.json").exists()
    run_training(recipe("consistency", seed=5), IMAGES, tmp_path / "killed")
    cards = [load_prior(tmp_path / name).card for name in ("whole", "killed")]
    assert cards[0] == cards[1]
    assert cards[0]["images_seen"] == 12
    assert str(tmp_path / "killed") in capsys.readouterr().out.replace("\n", "")
    (tmp_path / "whole" / "card.json").unlink()
    run_training(
        recipe("consistency", seed=5), IMAGES, tmp_path / "whole"
    )  # the training was complete: only the prior is written again
    assert load_prior(tmp_path / "whole").card == cards[0]


def test_sheets_on_the_way_show_the_average_and_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_training(recipe("consistency"), IMAGES, tmp_path / "plain")
    monkeypatch.setattr(export, "SHEET_SECONDS", 0.0)
    shown: list[tuple[int, dict[str, torch.Tensor]]] = []
    write = export.write_sheet

    def watched(denoiser: NetworkDenoiser, weights: dict[str, torch.Tensor], path: Path) -> None:
        write(denoiser, weights, path)
        shown.append((path.stat().st_size, {k: v.clone() for k, v in weights.items()}))

    monkeypatch.setattr(export, "write_sheet", watched)
    run_training(recipe("consistency"), IMAGES, tmp_path / "watched")
    assert len(shown) == 4  # after each of three steps, and with the prior
    assert all(size > 0 for size, _ in shown)
    assert not torch.equal(shown[0][1]["conv_in.weight"], shown[1][1]["conv_in.weight"])
    assert load_prior(tmp_path / "watched").card == load_prior(tmp_path / "plain").card
    assert (tmp_path / "watched" / "samples.png").read_bytes() == (
        tmp_path / "plain" / "samples.png"
    ).read_bytes()


def test_the_loss_of_held_out_images_is_logged_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "SHEET_SECONDS", 0.0)
    run_training(recipe(), IMAGES, tmp_path, held_out=IMAGES[:5])
    header, *lines = (tmp_path / "loss.csv").read_text().splitlines()
    assert header == "images_seen,held_out_loss"
    assert [line.split(",")[0] for line in lines] == ["4", "8", "12"]
    run_training(recipe(), IMAGES, tmp_path, held_out=IMAGES[:5])
    assert (tmp_path / "loss.csv").read_text().splitlines() == [
        header,
        *lines,
    ]  # the same weights under the same noise
    assert lines[0].split(",")[1] != lines[2].split(",")[1]


def test_held_out_images_are_taken_from_all_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MOST_HELD_OUT", 2)
    logged = []
    for chosen in ([0, 1, 2, 3, 4], [0, 5, 5, 3, 5], [0, 1, 2, 5, 4]):
        log_loss(recipe(), recipe().denoiser.network, 4, IMAGES[chosen], tmp_path)
        logged.append((tmp_path / "loss.csv").read_text())
    assert logged[0] == logged[1] != logged[2]  # the first and the fourth of five


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
    made = recipe()
    write_prior(made, made.denoiser.network.state_dict(), 640, tmp_path)
    assert [path.stat().st_mode for path in (tmp_path / "unet").iterdir()] == [
        (tmp_path / "card.json").stat().st_mode
    ] * 2


@pytest.mark.parametrize(
    "config", [((32, 32), (0, 1), 3), ((32,), (0,), 1), ((64, 32), (), 2)], ids=str
)
def test_every_network_that_the_checks_allow_runs(
    config: tuple[tuple[int, ...], tuple[int, ...], int],
) -> None:
    widths, attention, unshuffle = config
    network = new_network(
        12, 1, {"widths": widths, "attention": attention, "unshuffle": unshuffle}, 0
    )
    x = torch.zeros(1, 1, 12, 12)
    assert (
        NetworkDenoiser(network, "edm", (1, 12, 12), unshuffle=unshuffle)(
            x, torch.tensor(1.0)
        ).shape
        == x.shape
    )
