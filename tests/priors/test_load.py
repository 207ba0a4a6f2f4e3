"""Loading priors: the bundled ones are what their cards say, and a folder that is not a prior is
told in one line."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import noisewalk as nw
from noisewalk._packages import locate
from noisewalk.errors import ConfigError, NoisewalkError, WeightsError
from noisewalk.priors.diffusers import write_unet
from noisewalk.priors.load import list_priors, load_prior
from noisewalk.priors.train.network import new_network

NEEDED = ("kind", "shape", "sigma_min", "sigma_max", "sigma_data", "unshuffle", "sha256")
GREY, COLOUR = [1, 32, 32], [3, 64, 64]
BUNDLED = {
    "fashion32": ("consistency", GREY),
    "fashion32-ct": ("consistency", GREY),
    "fashion32-edm": ("edm", GREY),
    "satellite64": ("consistency", COLOUR),
    "satellite64-edm": ("edm", COLOUR),
}
WEIGHTS = "diffusion_pytorch_model.safetensors"
FIXTURES = Path(__file__).parent / "fixtures"


def noise(rows: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(rows, *shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small prior's folder."""
    folder = tmp_path_factory.mktemp("prior")
    network = new_network(8, 1, (32,))
    sha256 = write_unet(network, network.state_dict(), folder / "unet")
    scaling = {"sigma_min": 0.01, "sigma_max": 50, "sigma_data": 0.3, "unshuffle": 1}
    (folder / "card.json").write_text(
        json.dumps(
            {"kind": "edm", "shape": [1, 8, 8], **scaling, "sha256": sha256, "licence": "none"}
        )
    )
    return folder


@pytest.fixture
def prior(original: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / "prior"))


def edit_card(folder: Path, **values: Any) -> None:
    (folder / "card.json").write_text(
        json.dumps(json.loads((folder / "card.json").read_text()) | values)
    )


def refused(
    source: str | Path, kind_of_error: type[NoisewalkError], *says: str, **options: Any
) -> None:
    with pytest.raises(kind_of_error) as error:
        load_prior(source, **options)
    assert "\n" not in str(error.value)
    for text in says:
        assert text in str(error.value)


def test_the_bundled_priors_are_listed_with_whole_cards() -> None:
    cards = list_priors()
    assert set(BUNDLED) <= set(cards)
    for name, (kind, shape) in BUNDLED.items():
        assert set(NEEDED) | {"licence", "data", "command"} <= set(cards[name])
        assert (cards[name]["kind"], cards[name]["shape"], cards[name]["name"]) == (
            kind,
            shape,
            name,
        )


def test_a_bundled_priors_weights_have_the_cards_sha256_and_are_float16_in_safetensors() -> None:
    for name in BUNDLED:
        content = (
            Path(str(files("noisewalk"))) / "priors" / "bundled" / name / "unet" / WEIGHTS
        ).read_bytes()
        assert hashlib.sha256(content).hexdigest() == list_priors()[name]["sha256"]
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert {entry["dtype"] for key, entry in header.items() if key != "__metadata__"} == {"F16"}


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_prior_loads_without_gradients_and_denoises_pure_noise_to_images(
    name: str,
) -> None:
    prior, (kind, shape) = nw.load_prior(name), BUNDLED[name]
    network = prior.denoiser.network
    assert (prior.name, prior.shape, prior.denoiser.kind) == (name, tuple(shape), kind)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    x = at_pure_noise(prior)
    assert bool(x.isfinite().all())
    assert float(x.abs().max()) < 2  # never clamped: single pixels overshoot
    assert float((x.abs() <= 1.1).double().mean()) > 0.95


def test_clothes_have_a_black_frame_and_something_in_the_middle() -> None:
    for name in ["fashion32", "fashion32-ct", "fashion32-edm"]:
        x = at_pure_noise(nw.load_prior(name))
        edge = torch.cat([x[..., 0, :], x[..., -1, :], x[..., :, 0], x[..., :, -1]])
        assert float((edge + 1).abs().mean()) < 0.1
        assert float(x[..., 8:24, 8:24].mean()) > -0.8


def test_satellite_images_differ_in_brightness_and_colour_and_have_detail() -> None:
    prior = nw.load_prior("satellite64")
    with torch.no_grad():
        x = prior.map()(noise(16, prior.shape))
    colours = x.mean((-2, -1))
    assert float(colours.mean(1).std()) > 0.1  # woods are dark, towns are bright
    assert float((colours[:, 0] - colours[:, 2]).std()) > 0.05  # soil is red, water is blue
    assert float((x[..., 1:] - x[..., :-1]).abs().mean()) > 0.05  # the mean image is smooth


def at_pure_noise(prior: nw.priors.prior.Prior) -> Tensor:
    with torch.no_grad():
        return prior.denoiser(80.0 * noise(8, prior.shape), torch.tensor(80.0))


def test_one_step_samples_differ_as_clothes_do_and_follow_z() -> None:
    prior = load_prior("fashion32")
    phi, z = prior.map(), noise(8, prior.shape).requires_grad_()
    x = phi(z)
    assert (
        float(x.detach().std(0).mean()) > 0.2
    )  # the mean image alone would be the same for every z
    (grad,) = torch.autograd.grad(x[0].sum(), z)
    assert bool(grad.isfinite().all())
    assert float(grad[0].norm()) > 0
    assert float(grad[1:].abs().max()) == 0


def test_a_folder_loads_with_its_cards_scaling(prior: Path) -> None:
    loaded = load_prior(prior)
    denoiser = loaded.denoiser
    assert loaded.card["licence"] == "none"
    assert loaded.shape == denoiser.shape == (1, 8, 8)
    assert (
        denoiser.kind,
        denoiser.sigma_min,
        denoiser.sigma_max,
        denoiser.sigma_data,
        denoiser.unshuffle,
    ) == ("edm", 0.01, 50.0, 0.3, 1)
    assert not any(p.requires_grad for p in denoiser.network.parameters())


def test_a_path_and_its_text_load_the_same(prior: Path) -> None:
    x, sigma = noise(2, (1, 8, 8)), torch.tensor(0.7)
    assert torch.equal(
        load_prior(prior).denoiser(x, sigma), load_prior(str(prior)).denoiser(x, sigma)
    )


def test_the_dtype_is_the_networks_arithmetic(prior: Path) -> None:
    double = load_prior(prior, dtype=torch.float64).denoiser
    assert {p.dtype for p in double.network.parameters()} == {torch.float64}
    x, sigma = noise(2, (1, 8, 8)).double(), torch.tensor(0.7, dtype=torch.float64)
    torch.testing.assert_close(
        double(x, sigma).float(), load_prior(prior).denoiser(x.float(), sigma), rtol=1e-3, atol=1e-4
    )


def test_a_local_folder_does_not_hide_a_bundled_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fashion32-edm").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_prior("fashion32-edm").shape == (1, 32, 32)


def test_an_unknown_name_lists_the_choices() -> None:
    refused("fashion33", ConfigError, "'fashion33'", *BUNDLED, "folder")


def test_a_folder_without_a_card_is_named(prior: Path) -> None:
    (prior / "card.json").unlink()
    refused(prior, WeightsError, str(prior), "card.json")


def test_a_card_that_is_no_json_is_named(prior: Path) -> None:
    for content in [b"", b"{", b"not json", b"\xff\xfe"]:
        (prior / "card.json").write_bytes(content)
        refused(prior, WeightsError, str(prior / "card.json"))


def test_a_card_that_is_no_table_is_named(prior: Path) -> None:
    for content in ["[]", "3", "null", '"text"']:
        (prior / "card.json").write_text(content)
        refused(prior, WeightsError, str(prior / "card.json"), "table")


@pytest.mark.parametrize("key", NEEDED)
def test_a_card_that_lacks_a_key_names_it(prior: Path, key: str) -> None:
    card = json.loads((prior / "card.json").read_text())
    del card[key]
    (prior / "card.json").write_text(json.dumps(card))
    with pytest.raises(WeightsError) as error:
        load_prior(prior)
    assert re.search(rf"card\.json lacks {key}$", str(error.value))


def test_an_unknown_kind_is_named_with_the_allowed_ones(prior: Path) -> None:
    for kind in ["flow", "EDM", "", None]:
        edit_card(prior, kind=kind)
        refused(prior, WeightsError, str(prior / "card.json"), repr(kind), "edm", "consistency")


def test_damaged_weights_are_named_with_both_hashes(prior: Path) -> None:
    weights = prior / "unet" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 64
    weights.write_bytes(content)
    refused(
        prior,
        WeightsError,
        str(weights),
        hashlib.sha256(content).hexdigest()[:8],
        json.loads((prior / "card.json").read_text())["sha256"][:8],
    )


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


VALUES = [
    {"time_scale": "x"},
    {"time_scale": 0},
    {"range": 5},
    {"range": [1.0, 1.0]},
    {"shape": [1, 8]},
    {"shape": [1, 8, 0]},
    {"shape": [1, 8, 8.0]},
    {"shape": "1, 8, 8"},
    {"shape": [3, 8, 8]},
    {"unshuffle": 0},
    {"unshuffle": 1.5},
    {"unshuffle": "1"},
    {"sigma_min": 0},
    {"sigma_min": -1.0},
    {"sigma_min": 60.0},
    {"sigma_min": None},
    {"sigma_max": float("inf")},
    {"sigma_max": "50"},
    {"sigma_data": float("nan")},
    {"sigma_data": True},
    {"sha256": None},
    {"sha256": "abc"},
    {"sha256": "z" * 64},
]


@pytest.mark.parametrize("change", VALUES, ids=str)
def test_a_value_that_a_card_cannot_hold_names_its_key(prior: Path, change: dict[str, Any]) -> None:
    edit_card(prior, **change)
    refused(prior, WeightsError, *change)


def test_a_device_that_is_not_here_is_named(prior: Path) -> None:
    for device in ["abacus", "cuda:99", ""]:
        refused(prior, ConfigError, repr(device), device=device)


def test_a_dtype_without_fractions_is_refused(prior: Path) -> None:
    for dtype in [torch.int32, torch.complex64, torch.bool, "float32", None]:
        refused(prior, ConfigError, "torch.float32", repr(dtype), dtype=dtype)


def test_what_a_card_says_cannot_be_said_otherwise(prior: Path) -> None:
    for options in [{"kind": "consistency"}, {"size": 16}, {"head_channels": 16}, {"label": 0}]:
        refused(prior, ConfigError, *options, **options)


def test_what_a_card_says_may_be_repeated(prior: Path) -> None:
    assert load_prior(prior, kind="edm", size=8, head_channels=32).shape == (1, 8, 8)


def test_an_unknown_kind_of_network_is_refused(prior: Path) -> None:
    refused(prior, ConfigError, "'flow'", "consistency", "edm", kind="flow")


def as_pipeline(folder: Path, scheduler: Any) -> Path:
    """The prior's network in a folder as a diffusers pipeline leaves it."""
    (folder / "card.json").unlink()
    if scheduler is not None:
        (folder / "scheduler").mkdir()
        (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [("CMStochasticIterativeScheduler", "consistency"), ("EDMEulerScheduler", "edm")],
)
def test_a_pipelines_folder_is_what_its_scheduler_says(prior: Path, name: str, kind: str) -> None:
    denoiser = load_prior(
        as_pipeline(prior, {"_class_name": name, "sigma_max": 40, "rho": 7.0})
    ).denoiser
    assert (denoiser.kind, denoiser.sigma_min, denoiser.sigma_max, denoiser.sigma_data) == (
        kind,
        0.002,
        40.0,
        0.5,
    )


@pytest.mark.parametrize("scheduler", [None, {}, {"sigma_max": 80.0}])
def test_a_folder_without_a_telling_scheduler_asks_for_the_kind(
    prior: Path, scheduler: Any
) -> None:
    refused(as_pipeline(prior, scheduler), WeightsError, str(prior), "kind='edm'")
    assert load_prior(prior, kind="edm").denoiser.kind == "edm"


@pytest.mark.parametrize(
    ("name", "right"), [("DDPMScheduler", "ddpm"), ("FlowMatchEulerDiscreteScheduler", "flow")]
)
def test_a_kind_against_the_scheduler_is_refused_and_the_right_one_named(
    prior: Path, name: str, right: str
) -> None:
    refused(as_pipeline(prior, {"_class_name": name}), WeightsError, name, repr(right), kind="edm")


@pytest.mark.parametrize("label", ["x", {"name": "class"}, [1], 3, {"lowest": "a"}])
def test_a_label_that_a_card_cannot_have_is_named(prior: Path, label: Any) -> None:
    edit_card(prior, label=label)
    refused(prior, WeightsError, "card.json", "label")


@pytest.mark.parametrize(
    "values", [{"midpoint": "x"}, {"shape": [1, 10**9, 10**9]}, {"kind": "e" * 5000}], ids=repr
)
def test_other_bad_values_of_a_card_are_named_in_a_short_line(
    prior: Path, values: dict[str, Any]
) -> None:
    edit_card(prior, **values)
    with pytest.raises(WeightsError, match=next(iter(values))) as told:
        load_prior(prior)
    assert len(str(told.value)) < 1000


@pytest.mark.parametrize("name", ["card.json", "unet/config.json"])
def test_deep_nesting_is_told(prior: Path, name: str) -> None:
    (prior / name).write_text("[" * 100_000)
    refused(prior, WeightsError, name, "cannot read")


def test_a_name_without_end_is_no_prior() -> None:
    for name in ("x" * 5000, "x/" + "y" * 5000, "x" * 5000 + ".pt"):
        with pytest.raises(ConfigError, match="unknown prior") as told:
            load_prior(name)
        assert len(str(told.value)) < 1000


@pytest.mark.parametrize(
    "scheduler",
    [
        [],
        {"_class_name": "KarrasVeScheduler"},
        {"_class_name": ["KarrasVeScheduler"]},
        "text",
        {"_class_name": "EDMEulerScheduler", "sigma_max": None},
        {"_class_name": "EDMEulerScheduler", "sigma_min": 90},
        {"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction"},
        {"_class_name": "EDMEulerScheduler", "rho": 5.0},
        {"_class_name": "EDMEulerScheduler", "sigma_schedule": "exponential"},
        {"_class_name": "EDMEulerScheduler", "final_sigmas_type": "sigma_min"},
    ],
)
def test_a_scheduler_that_cannot_be_is_named(prior: Path, scheduler: Any) -> None:
    refused(as_pipeline(prior, scheduler), WeightsError, "scheduler_config.json")


def test_a_folder_of_the_network_alone_loads(prior: Path) -> None:
    assert load_prior(prior / "unet", kind="consistency").map().shape == (1, 8, 8)


COND = {"size": 32, "head_channels": 32}
UNCOND = {"size": 32, "head_channels": 16}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[[str, str], Path]:
    """A published network's small copy, under a name of the test's choice."""
    return lambda network, name: Path(
        shutil.copy(FIXTURES / f"openai_tiny_{network}.pt", tmp_path / name)
    )


def test_a_checkpoint_denoises_as_the_published_code_does() -> None:
    for network in ["cond", "uncond"]:
        with np.load(FIXTURES / f"openai_tiny_{network}.npz") as file:
            values = {key: torch.from_numpy(file[key]) for key in file.files}
        label = values["label"].tolist()[0] if len(values["label"]) else None
        prior = load_prior(
            FIXTURES / f"openai_tiny_{network}.pt", label, **(COND if network == "cond" else UNCOND)
        )
        expected = values["consistency"][:1]
        got = prior.denoiser(values["x_t"][:1], values["sigma"][:1])
        assert float((got - expected).abs().max()) < 1e-4 * max(1.0, float(expected.abs().max()))


def test_a_class_conditional_checkpoint_needs_its_class() -> None:
    path = FIXTURES / "openai_tiny_cond.pt"
    refused(path, ConfigError, "label", "0 to 999", **COND)
    for label in (1000, 2.5):
        refused(path, ConfigError, "0 to 999", str(label), label=label, **COND)


def test_other_classes_make_other_images() -> None:
    x = noise(1, (3, 32, 32))
    first, second, again = (
        load_prior(FIXTURES / "openai_tiny_cond.pt", label, **COND).denoiser(x, torch.tensor(1.0))
        for label in (3, 4, 3)
    )
    assert torch.equal(first, again)
    assert float((first - second).abs().max()) > 0


def test_a_checkpoint_without_classes_takes_none() -> None:
    refused(FIXTURES / "openai_tiny_uncond.pt", ConfigError, "label", label=3, **UNCOND)


def test_a_checkpoints_kind_is_as_said_else_as_named(
    checkpoint: Callable[[str, str], Path],
) -> None:
    for name, kind, expected in [
        ("edm_net.pt", None, "edm"),
        ("net.pt", None, "consistency"),
        ("net.pt", "edm", "edm"),
        ("edm_net.pt", "consistency", "consistency"),
    ]:
        assert load_prior(checkpoint("uncond", name), kind=kind, **UNCOND).denoiser.kind == expected


def test_a_checkpoints_size_is_as_its_name_says_else_asked_for(
    checkpoint: Callable[[str, str], Path],
) -> None:
    assert load_prior(checkpoint("uncond", "cd_cat256_mine.pt")).shape == (3, 256, 256)
    assert load_prior(checkpoint("uncond", "ct_imagenet64_mine.pt"), size=32).shape == (3, 32, 32)
    for name in ("net.pt", "model_10064.pt", "cat2560.pt"):
        refused(checkpoint("uncond", name), ConfigError, name, "size=")


def test_a_size_or_head_that_the_network_cannot_have_is_refused() -> None:
    for options in [{"size": 6}, {"size": 0}, {"size": 32, "head_channels": 48}]:
        refused(
            FIXTURES / "openai_tiny_uncond.pt",
            ConfigError,
            str(list(options.values())[-1]),
            **options,
        )


def test_a_side_card_says_what_a_checkpoint_is(checkpoint: Callable[[str, str], Path]) -> None:
    path = checkpoint("uncond", "net.pt")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    side = {
        "kind": "edm",
        "shape": [3, 32, 32],
        "head_channels": 16,
        "sigma_data": 0.3,
        "sha256": sha256,
        "licence": "none",
    }
    path.with_suffix(".json").write_text(json.dumps(side))
    prior = load_prior(path)
    assert prior.card["licence"] == "none"
    assert (
        prior.denoiser.kind,
        prior.shape,
        prior.denoiser.sigma_data,
        prior.denoiser.sigma_max,
    ) == ("edm", (3, 32, 32), 0.3, 80.0)
    for options in ({"kind": "consistency"}, {"size": 64}, {"head_channels": 64}):
        refused(path, ConfigError, *options, **options)
    path.with_suffix(".json").write_text(json.dumps(side | {"sha256": "0" * 64}))
    refused(path, WeightsError, "sha256", "000000")


def test_a_side_card_that_cannot_be_is_told(checkpoint: Callable[[str, str], Path]) -> None:
    for side in [
        "{",
        "[]",
        '{"kind": "flow"}',
        '{"sigma_max": 0}',
        '{"shape": [3, 32]}',
        '{"shape": [1, 32, 32], "head_channels": 16}',
    ]:
        path = checkpoint("uncond", "net.pt")
        path.with_suffix(".json").write_text(side)
        with pytest.raises(WeightsError, match="net"):
            load_prior(path, size=None if "shape" in side else 32)


def test_a_published_checkpoints_name_is_enough_once_it_is_in_the_cache(
    checkpoint: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "cd_bedroom256_lpips.pt"
    path = checkpoint("uncond", name)
    monkeypatch.setenv("NOISEWALK_CACHE", str(path.parent))
    monkeypatch.chdir(path.parent.parent)
    prior = load_prior(name)
    assert prior.shape == (3, 256, 256)
    assert prior.card["midpoint"] == 4.365562
    for options in ({"kind": "edm"}, {"size": 64}, {"head_channels": 16}):
        refused(name, ConfigError, *options, **options)
    path.unlink()
    refused(name, WeightsError, prior.card["source"], str(path))


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "net.pt", WeightsError, str(tmp_path / "net.pt"), "missing")


def here(name: str) -> None:
    """Skips where the package's weights are not in the cache."""
    if name == "terrain128":
        pytest.importorskip("onnx")
    try:
        locate(**list_priors()[name]["archive"])
    except WeightsError as error:
        if "is missing" not in str(error):
            raise
        pytest.skip(str(error))


def test_terrain_needs_its_difficulty() -> None:
    refused("terrain128", ConfigError, "label", "difficulty", "1 to 100")
    for label in (0, 0.99, 101, float("nan")):
        refused("terrain128", ConfigError, "at least 1 and of at most 100", str(label), label=label)


def test_terrain_of_other_difficulties_is_other_terrain() -> None:
    here("terrain128")
    low, high = (load_prior("terrain128", label) for label in (1, 99.5))
    assert (low.name, low.shape, low.denoiser.kind) == ("terrain128", (1, 128, 128), "consistency")
    assert not any(p.requires_grad for p in low.denoiser.network.parameters())
    states = [prior.denoiser.network.state_dict() for prior in (low, high)]
    assert [key for key in states[0] if not torch.equal(states[0][key], states[1][key])] == [
        "time_embedding.linear_2.bias"
    ]
    refused("terrain128", ConfigError, "kind", label=3, kind="edm")


def test_faces_are_a_generator() -> None:
    here("faces64")
    prior = load_prior("faces64", dtype=torch.float64)
    phi = prior.map()
    assert (prior.denoiser, prior.shape, phi.shape) == (None, (3, 64, 64), (100,))
    assert phi(noise(2, (100,)).double()).dtype == torch.float64
    for options in ({"label": 1}, {"kind": "consistency"}, {"size": 32}, {"head_channels": 64}):
        refused("faces64", ConfigError, *options, **options)


def test_a_package_prior_that_is_not_here_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, label in [("terrain128", 3), ("faces64", None)]:
        monkeypatch.setenv("NOISEWALK_CACHE", str(tmp_path))
        refused(name, WeightsError, str(tmp_path), "noisewalk priors get", label=label)
