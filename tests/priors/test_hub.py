"""Priors on the Hub, through huggingface_hub's own code against a Hub on this machine
(conftest.py): fetched, cached, refused in one line, pushed."""

import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import noisewalk as nw
from noisewalk.cli.main import main
from noisewalk.errors import ConfigError, NoisewalkError, WeightsError
from noisewalk.priors.diffusers import write_unet
from noisewalk.priors.hub import cached_copy, fetch_repository, push_prior
from noisewalk.priors.load import load_prior
from noisewalk.priors.train.network import new_network

WEIGHTS = "diffusion_pytorch_model.safetensors"
BIN = "diffusion_pytorch_model.bin"
NAME = "somebody/tiny"


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return new_network(8, 1, (32,)).eval()


@pytest.fixture(scope="module")
def pipeline(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository as diffusers writes it, the layout of openai/diffusers-cd_*; its scheduler has
    another sigma_max than is usual."""
    from diffusers import CMStochasticIterativeScheduler

    folder = tmp_path_factory.mktemp("pipeline")
    network.save_pretrained(folder / "unet")  # type: ignore[operator]
    CMStochasticIterativeScheduler(sigma_max=40.0).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text('{"_class_name": "ConsistencyModelPipeline"}')
    return folder


@pytest.fixture(scope="module")
def trained(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `noisewalk train` leaves it."""
    folder = tmp_path_factory.mktemp("trained")
    card = {
        "kind": "edm",
        "shape": [1, 8, 8],
        "sigma_min": 0.01,
        "sigma_max": 50.0,
        "sigma_data": 0.3,
        "unshuffle": 1,
    }
    card["sha256"] = write_unet(network, network.state_dict(), folder / "unet")
    (folder / "card.json").write_text(json.dumps(card))
    for name in ("samples.png", "checkpoint.pt"):
        (folder / name).write_bytes(b"something")
    return folder


@pytest.fixture
def repository(hub: Any, pipeline: Path) -> Path:
    """The pipeline on the Hub, to change."""
    return Path(shutil.copytree(pipeline, hub.root / NAME))


def write_bin(unet: Path, content: Any) -> None:
    torch.save(content, unet / BIN)
    (unet / WEIGHTS).unlink(missing_ok=True)


def assert_it_is(prior: Any, network: nn.Module) -> None:
    """The prior's network is the given one, unrounded."""
    found, expected = prior.denoiser.network.state_dict(), network.state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert prior.denoiser(torch.ones(1, *prior.shape), torch.tensor(3.0)).shape == (1, *prior.shape)


def refused(
    kind_of_error: type[NoisewalkError], *says: str, name: str = NAME, **options: Any
) -> str:
    with pytest.raises(kind_of_error) as error:
        load_prior(name, **options)
    message = str(error.value)
    assert "\n" not in message
    assert all(text in message for text in says), message
    return message


def never_sleep(seconds: float) -> None:
    raise AssertionError(f"waits {seconds} s to try again")


def test_a_repository_is_its_network_under_its_schedulers_scaling(
    repository: Path, network: nn.Module
) -> None:
    prior = load_prior(NAME)
    assert_it_is(prior, network)
    denoiser = prior.denoiser
    assert (
        prior.name,
        denoiser.kind,
        prior.shape,
        denoiser.sigma_min,
        denoiser.sigma_max,
        denoiser.sigma_data,
    ) == (NAME, "consistency", (1, 8, 8), 0.002, 40.0, 0.5)


def test_the_second_time_nothing_is_asked_for_and_nobody_need_answer(
    hub: Any, repository: Path, network: nn.Module
) -> None:
    assert cached_copy(NAME) is None
    load_prior(NAME)
    asked = len(hub.requests)
    assert_it_is(load_prior(NAME), network)
    assert len(hub.requests) == asked
    hub.stop()
    assert_it_is(load_prior(NAME), network)
    assert fetch_repository(NAME) == cached_copy(NAME)


def test_a_repository_of_a_network_alone_needs_to_be_told_its_kind(
    hub: Any, pipeline: Path, network: nn.Module
) -> None:
    shutil.copytree(pipeline / "unet", hub.root / NAME)
    refused(WeightsError, "kind='consistency'", "kind='edm'")
    prior = load_prior(NAME, kind="edm")
    assert_it_is(prior, network)
    assert (prior.denoiser.kind, prior.denoiser.sigma_max) == ("edm", 80.0)


def test_a_kind_that_the_repository_contradicts_is_refused(repository: Path) -> None:
    refused(ConfigError, "kind", "consistency", "edm", kind="edm")


def test_safetensors_are_preferred_and_the_bin_not_even_fetched(
    hub: Any, repository: Path, network: nn.Module
) -> None:
    (repository / "unet" / BIN).write_bytes(b"junk")
    assert_it_is(load_prior(NAME), network)
    assert not [request for request in hub.requests if BIN in request]


def test_a_bin_alone_is_read(repository: Path, network: nn.Module) -> None:
    write_bin(repository / "unet", network.state_dict())
    assert_it_is(load_prior(NAME), network)
    assert_it_is(load_prior(NAME), network)  # from the cache, too


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_bin_that_holds_code_executes_nothing(
    repository: Path, network: nn.Module, tmp_path: Path, zipped: bool
) -> None:
    bomb = {**network.state_dict(), "extra": Bomb(tmp_path / "executed")}
    write_bin(repository / "unet", bomb)
    if not zipped:
        (repository / "unet" / BIN).write_bytes(pickle.dumps(bomb))
    refused(WeightsError, BIN, "none of its code was run")
    assert not (tmp_path / "executed").exists()
    torch.load(repository / "unet" / BIN, weights_only=False) if zipped else pickle.loads(
        (repository / "unet" / BIN).read_bytes()
    )
    assert (tmp_path / "executed").exists()  # and that was no dud


def test_a_config_that_would_drop_the_attention_norm_is_refused(repository: Path) -> None:
    config = json.loads((repository / "unet" / "config.json").read_text())
    del config["attn_norm_num_groups"]
    (repository / "unet" / "config.json").write_text(json.dumps(config))
    refused(WeightsError, "config.json", "attn_norm_num_groups", "32")


@pytest.mark.parametrize(
    "change", [{"sample_size": None}, {"sample_size": [8, 8]}, {"out_channels": 2}]
)
def test_a_network_that_is_no_denoiser_is_refused(
    repository: Path, network: nn.Module, change: dict[str, Any]
) -> None:
    other = type(network).from_config({**network.config, **change})  # type: ignore[attr-defined]
    other.save_pretrained(repository / "unet")
    refused(WeightsError, *(str(part) for item in change.items() for part in item))


def test_a_missing_repository_is_told(hub: Any) -> None:
    refused(WeightsError, NAME, "no such repository")


def test_a_name_that_cannot_be_a_repositorys_is_told(hub: Any) -> None:
    for name in ["some body/tiny", "somebody/tiny--net", "somebody/tiny.git"]:
        refused(WeightsError, name, "no repository's name", name=name)
        assert hub.requests == []


def test_a_repository_without_weights_names_both_files(repository: Path) -> None:
    (repository / "unet" / WEIGHTS).unlink()
    refused(WeightsError, NAME, f"unet/{WEIGHTS}", f"unet/{BIN}")


def test_a_repository_without_a_network_is_told(repository: Path) -> None:
    shutil.rmtree(repository / "unet")
    refused(WeightsError, NAME, "unet/config.json")


def test_a_hub_that_is_ill_is_told_at_once(
    hub: Any, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", never_sleep)
    hub.fails_with = 503
    refused(WeightsError, NAME, "503")
    assert len(hub.requests) == 1


def test_a_missing_revision_is_told(repository: Path) -> None:
    with pytest.raises(WeightsError, match="no such revision"):
        fetch_repository(NAME, "elsewhere")


def test_weights_that_are_not_the_cards_are_refused(hub: Any, trained: Path) -> None:
    folder = Path(shutil.copytree(trained, hub.root / NAME))
    content = bytearray((folder / "unet" / WEIGHTS).read_bytes())
    content[-5] ^= 1
    (folder / "unet" / WEIGHTS).write_bytes(content)
    refused(WeightsError, WEIGHTS, "sha256")


def test_the_card_is_here_before_the_weights(hub: Any, trained: Path) -> None:
    """So that no interruption leaves weights in the cache whose card was never asked for."""
    shutil.copytree(trained, hub.root / NAME)
    load_prior(NAME)
    assert hub.requests.index("GET card.json") < hub.requests.index(f"GET unet/{WEIGHTS}")


def test_no_connection_is_one_line_with_the_folder_for_the_files(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, caplog: Any
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", never_sleep)
    hub.stop()
    np.save(tmp_path / "y.npy", np.zeros((3, 256, 256), np.float32))
    name = "openai/diffusers-cd_bedroom256_lpips"
    words = [
        "sample",
        str(tmp_path / "y.npy"),
        "--prior",
        name,
        "--operator",
        "hdr:factor=2",
        "--sigma-y",
        "0.1",
        "--out",
        str(tmp_path / "run"),
    ]
    monkeypatch.setattr(sys, "argv", ["noisewalk", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    for text in (
        name,
        "no connection",
        "unet/config.json",
        f"unet/{WEIGHTS}",
        str(tmp_path / "cache" / name.replace("/", "--")),
    ):
        assert text in err
    assert not caplog.records
    assert not (tmp_path / "run").exists()


def test_files_put_by_hand_where_that_line_says_load(
    hub: Any, pipeline: Path, network: nn.Module, tmp_path: Path
) -> None:
    hub.stop()
    says = refused(WeightsError, "no connection")
    folder = Path(says.rsplit(" into ", 1)[1])
    assert folder == tmp_path / "cache" / "somebody--tiny"
    (folder / "unet").mkdir(parents=True)
    for name in ("config.json", WEIGHTS):
        shutil.copy(pipeline / "unet" / name, folder / "unet")
    assert_it_is(load_prior(NAME, kind="consistency"), network)


def test_offline_mode_asks_nobody(
    hub: Any, repository: Path, network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(WeightsError, "HF_HUB_OFFLINE", "cache")
    assert hub.requests == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    fetch_repository(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_it_is(load_prior(NAME), network)
    assert fetch_repository(NAME) == cached_copy(NAME)


def test_a_pushed_prior_comes_back_as_it_was(hub: Any, trained: Path) -> None:
    address = push_prior(trained, NAME)
    assert address.endswith(NAME)
    files = {
        path.relative_to(hub.root / NAME).as_posix()
        for path in (hub.root / NAME).rglob("*")
        if path.is_file()
    }
    assert files == {"card.json", "samples.png", "unet/config.json", f"unet/{WEIGHTS}"}
    local, back = load_prior(trained), load_prior(NAME)
    assert dict(back.card) == dict(local.card)
    x = torch.ones(1, 1, 8, 8)
    assert torch.equal(back.denoiser(x, torch.tensor(3.0)), local.denoiser(x, torch.tensor(3.0)))
    push_prior(str(trained), NAME)  # a repository that is there is written to again


def test_a_private_prior_is_not_pushed_where_everybody_reads(hub: Any, trained: Path) -> None:
    push_prior(trained, NAME, private=True)
    (hub.root / NAME / ".private").unlink()
    (hub.root / NAME / "card.json").unlink()
    with pytest.raises(ConfigError, match="public"):
        push_prior(trained, NAME, private=True)
    assert not (hub.root / NAME / "card.json").exists()


def test_a_push_needs_a_login(hub: Any, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "hf_right"
    with pytest.raises(WeightsError, match="log in"):
        push_prior(trained, NAME)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    push_prior(trained, NAME)


def test_a_push_without_connection_is_told(hub: Any, trained: Path) -> None:
    hub.stop()
    with pytest.raises(WeightsError, match="no connection"):
        push_prior(trained, NAME)


def test_a_push_to_no_repositorys_name_is_refused(hub: Any, trained: Path) -> None:
    for name in ["tiny", "a/b/c", "some body/tiny"]:
        with pytest.raises(ConfigError, match="OWNER/NAME"):
            push_prior(trained, name)
        assert hub.requests == []


@pytest.mark.parametrize("missing", ["card.json", "unet/config.json", f"unet/{WEIGHTS}"])
def test_what_would_not_load_is_not_pushed(
    hub: Any, trained: Path, tmp_path: Path, missing: str
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "folder"))
    (folder / missing).unlink()
    with pytest.raises(WeightsError, match=Path(missing).name):
        push_prior(folder, NAME)
    assert hub.requests == []


def test_the_command_line_samples_with_a_known_hub_repository(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """What a user with a connection types, and again without one; the repository holds a small
    network of the real one's interface."""
    from diffusers import UNet2DModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        blocks = {
            "down_block_types": ("ResnetDownsampleBlock2D",) * 2,
            "up_block_types": ("ResnetUpsampleBlock2D",) * 2,
        }
        sizes = {
            "sample_size": 64,
            "block_out_channels": (32, 32),
            "layers_per_block": 1,
            "num_class_embeds": 1000,
        }
        small = UNet2DModel(
            **blocks,
            **sizes,
            attn_norm_num_groups=32,
            attention_head_dim=32,
            resnet_time_scale_shift="scale_shift",
            downsample_type="resnet",
        )
    name = "openai/diffusers-cd_imagenet64_l2"
    small.save_pretrained(hub.root / name / "unet")
    np.save(tmp_path / "y.npy", np.zeros((3, 16, 16), np.float32))
    words = [
        "sample",
        str(tmp_path / "y.npy"),
        "--prior",
        name,
        "--label",
        "7",
        "--operator",
        "avgpool:factor=4",
        "--sigma-y",
        "0.5",
    ]
    words += [
        "--kernel",
        "em",
        "--step-size",
        "1e-4",
        "--num-draws",
        "2",
        "--chains",
        "1",
        "--warm-start",
        "1",
    ]

    def run(out: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["noisewalk", *words, "--out", str(tmp_path / out)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, capsys.readouterr().err
        return nw.open_run(tmp_path / out)

    run_online = run("online")
    assert run_online.draws.shape == (1, 1, 2, 3, 64, 64)
    assert bool(run_online.draws[...].isfinite().all())
    assert (tmp_path / "online" / "report.html").exists()
    hub.stop()
    assert torch.equal(run("offline").draws[...], run_online.draws[...])


def test_a_latent_pipeline_comes_with_its_decoder_and_text_model(hub) -> None:
    from diffusers import LCMScheduler
    from pipelines import autoencoder, conditioned, saved_pipeline, write_text_model

    folder = hub.root / "ann" / "latent"
    write_text_model(folder)
    parts = conditioned(), autoencoder("AutoencoderKL"), LCMScheduler()
    saved_pipeline(folder, *parts, "LatentConsistencyModelPipeline")
    here = nw.load_prior(folder, prompt="cat").map()
    fetched = nw.load_prior("ann/latent", prompt="cat")
    assert repr(fetched.map()) == repr(here)
    last = hub.requests.index(f"GET unet/{WEIGHTS}")  # so that cached weights mean a whole copy
    assert hub.requests.index("GET text_encoder/model.safetensors") < last
    assert hub.requests.index(f"GET vae/{WEIGHTS}") < last
