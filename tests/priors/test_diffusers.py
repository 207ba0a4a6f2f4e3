"""The network's folder: written and read back to the same numbers, and everything that does not fit
is named."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from noisewalk.errors import WeightsError
from noisewalk.priors.diffusers import read_unet, write_unet
from noisewalk.priors.train.network import new_network

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, str]:
    """A small network's folder, the network, and the sha256 that writing returned."""
    network = new_network(8, 1, (32,))
    folder = tmp_path_factory.mktemp("unet")
    return folder, network, write_unet(network, network.state_dict(), folder)


@pytest.fixture
def unet(original: tuple[Path, Any, str], tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original[0], tmp_path / "unet"))


def refused(folder: Path, *says: str, sha256: str | None = None) -> str:
    with pytest.raises(WeightsError) as error:
        read_unet(folder, sha256)
    message = str(error.value)
    assert "\n" not in message
    for text in (str(folder), *says):
        assert text in message
    return message


def edit_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text()) | values
    (folder / "config.json").write_text(
        json.dumps({k: v for k, v in config.items() if v is not Ellipsis})
    )


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    state = load_file(folder / WEIGHTS)
    change(state)
    save_file(state, folder / WEIGHTS)


def test_the_layout_is_that_of_the_published_checkpoints() -> None:
    config = new_network(16, 3, (32, 64), attention=(1,), unshuffle=2).config
    expected = {
        "sample_size": 8,
        "in_channels": 12,
        "out_channels": 12,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 32,
        "attn_norm_num_groups": 32,
        "norm_num_groups": 32,
        "norm_eps": 1e-5,
        "act_fn": "silu",
        "resnet_time_scale_shift": "scale_shift",
        "time_embedding_type": "positional",
        "flip_sin_to_cos": True,
        "freq_shift": 0,
    }
    assert {k: config[k] for k in expected} == expected


def test_the_middle_attention_keeps_its_norm(original: tuple[Path, Any, str]) -> None:
    assert isinstance(original[1].mid_block.attentions[0].group_norm, torch.nn.GroupNorm)
    assert read_unet(original[0]).mid_block.attentions[0].group_norm.num_groups == 32


def test_a_network_comes_back_as_it_was_rounded_to_float16(original: tuple[Path, Any, str]) -> None:
    folder, network, sha256 = original
    read = read_unet(folder, sha256)
    assert not read.training
    for key, value in network.state_dict().items():
        got = read.state_dict()[key]
        assert got.dtype == torch.float32
        assert torch.equal(got, value.half().float()), key
    assert not any(p.requires_grad for p in read.parameters())


def test_the_network_computes_with_the_written_weights(original: tuple[Path, Any, str]) -> None:
    folder, network, sha256 = original
    x, t = (
        torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
        torch.tensor([-100.0, 700.0]),
    )
    with torch.no_grad():
        read, exact = read_unet(folder, sha256)(x, t).sample, network.eval()(x, t).sample
    # each weight is off by 2^-11 of its size at most; through some ten layers that is far below
    # 2^-11 * 100
    assert float((read - exact).abs().max()) < 0.05 * float(exact.abs().max())
    assert float(exact.std()) > 0


def test_weights_are_float16_on_disk_and_the_returned_sha256_is_the_files(
    original: tuple[Path, Any, str],
) -> None:
    folder, _, sha256 = original
    assert {v.dtype for v in load_file(folder / WEIGHTS).values()} == {torch.float16}
    assert sha256 == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def test_the_given_state_is_written_and_not_the_networks(
    original: tuple[Path, Any, str], tmp_path: Path
) -> None:
    state = {k: torch.zeros_like(v) for k, v in original[1].state_dict().items()}
    write_unet(original[1], state, tmp_path / "deep" / "unet")
    assert all(
        not bool(v.any()) for v in read_unet(tmp_path / "deep" / "unet").state_dict().values()
    )


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_a_missing_file_is_named(unet: Path, name: str) -> None:
    (unet / name).unlink()
    refused(unet, str(unet / name), "missing")


def test_a_missing_folder_names_its_file(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "config.json", "missing")


def test_one_flipped_bit_is_found_by_the_sha256(
    original: tuple[Path, Any, str], unet: Path
) -> None:
    content = bytearray((unet / WEIGHTS).read_bytes())
    content[-5] ^= 1
    (unet / WEIGHTS).write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    refused(unet, WEIGHTS, "sha256", found[:8], original[2][:8], "damaged", sha256=original[2])


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
def test_a_cut_file_without_a_sha256_is_told(unet: Path, keep: int) -> None:
    content = (unet / WEIGHTS).read_bytes()
    (unet / WEIGHTS).write_bytes(content[:keep])
    refused(unet, "cannot read")


def test_a_config_that_is_no_json_is_told(unet: Path) -> None:
    for content in [b"", b"{", b"\xff\xfe{}"]:
        (unet / "config.json").write_bytes(content)
        refused(unet, "cannot read")


def test_a_missing_key_is_named(unet: Path) -> None:
    edit_weights(unet, lambda state: state.pop("conv_in.bias"))
    refused(unet, "config.json", "missing conv_in.bias")


def test_an_unexpected_key_is_named(unet: Path) -> None:
    edit_weights(unet, lambda state: state.update(extra=torch.zeros(1)))
    refused(unet, "unexpected extra")


def test_a_wrong_shape_is_named_with_both_shapes(unet: Path) -> None:
    edit_weights(unet, lambda state: state.update({"conv_in.weight": torch.zeros(32, 2, 3, 3)}))
    refused(unet, "conv_in.weight", "(32, 2, 3, 3)", "(32, 1, 3, 3)")


def test_weights_of_another_network_are_told_in_one_short_line(unet: Path) -> None:
    edit_config(unet, block_out_channels=[64])
    assert "more" in (message := refused(unet, "shape"))
    assert len(message) < 1000


def test_a_config_that_would_drop_the_attention_norm_is_refused(unet: Path) -> None:
    for value in [None, ...]:
        edit_config(unet, attn_norm_num_groups=value)
        refused(unet, "config.json", "attn_norm_num_groups", "32")


def folder_of(tmp_path: Path, **config: Any) -> tuple[Path, Any]:
    """A folder as diffusers saves it, and the network as diffusers loads it."""
    from diffusers import UNet2DModel

    blocks = {
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    sizes = {"sample_size": 8, "block_out_channels": (16, 32), "layers_per_block": 1}
    usual = {"in_channels": 1, "out_channels": 1, "norm_num_groups": 8, "attention_head_dim": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet2DModel(**(sizes | blocks | usual | config)).eval()
        for parameter in network.parameters():  # a norm's weights are 1 and 0: any group would do
            parameter.data += 0.1 * torch.randn_like(parameter)
    network.save_pretrained(tmp_path)
    return tmp_path, UNet2DModel.from_pretrained(tmp_path).eval()


KDOWN, KUP = ("KDownBlock2D",) * 2, ("KUpBlock2D",) * 2
GRID: list[dict[str, Any]] = [
    {"resnet_time_scale_shift": shift, "attn_norm_num_groups": groups}
    for shift in ("default", "scale_shift")
    for groups in (None, 4, 32)
] + [
    {"time_embedding_type": "fourier"},
    {"time_embedding_type": "learned", "num_train_timesteps": 10},
    {"class_embed_type": "timestep"},
    {"class_embed_type": "identity"},
    {"num_class_embeds": 3},
    {"center_input_sample": True},
    {"downsample_type": "resnet", "upsample_type": "resnet"},
    {"add_attention": False},
    {"mid_block_type": None},
    {"attention_head_dim": None},
    {"downsample_padding": 0},
    {"mid_block_scale_factor": 1.4},
    {"act_fn": "mish"},
    {"norm_eps": 1e-2},
    {"dropout": 0.3},
    {"freq_shift": 1, "flip_sin_to_cos": False},
    {"sample_size": [8, 16]},
    {"sample_size": None},
    {"down_block_types": KDOWN, "up_block_types": KUP, "block_out_channels": (32, 32)},
    {"block_out_channels": (8,), "down_block_types": ("DownBlock2D",),
     "up_block_types": ("UpBlock2D",), "layers_per_block": 3},
]  # fmt: skip


@pytest.mark.parametrize("config", GRID, ids=str)
def test_every_config_gives_the_output_that_it_has_in_diffusers(
    config: dict[str, Any], tmp_path: Path
) -> None:
    folder, theirs = folder_of(tmp_path, **config)
    saved = json.loads((folder / "config.json").read_text())
    null = {k for k, v in saved.items() if v is None} - {"mid_block_type", "attention_head_dim"}
    for drop in [(), null]:  # a missing key is a None, but for two that have another default
        edit_config(folder, **dict.fromkeys(drop, ...))
        ours: Any = read_unet(folder)
        x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
        t = torch.tensor([3, 7]) if "learned" in str(config) else torch.tensor([0.3, 7.0])
        labels = torch.ones(2, dtype=torch.long) if theirs.class_embedding is not None else None
        if config.get("class_embed_type") == "identity":
            labels = torch.ones(2, theirs.time_embedding.linear_1.out_features)
        with torch.no_grad():
            got, wanted = (n(x, t, class_labels=labels).sample for n in (ours, theirs))
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-6 * float(wanted.abs().max()))
        assert bool(wanted.isfinite().all())


def test_the_attention_of_old_files_has_other_names(tmp_path: Path) -> None:
    folder, theirs = folder_of(tmp_path)
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def old(key: str) -> str:
        for new, before in names.items():
            key = key.replace(f".{new}.", f".{before}.")
        return key

    state = load_file(folder / WEIGHTS)
    assert {old(key) for key in state} != set(state)
    save_file({old(key): value for key, value in state.items()}, folder / WEIGHTS)
    for key, value in read_unet(folder).state_dict().items():
        assert torch.equal(value, theirs.state_dict()[key])


CANNOT_RUN = [{"norm_eps": "nan"}, {"freq_shift": "x"}, {"resnet_time_scale_shift": "x"}]


@pytest.mark.parametrize("change", CANNOT_RUN, ids=str)
def test_a_config_whose_network_cannot_run_is_named(unet: Path, change: dict[str, Any]) -> None:
    edit_config(unet, **change)
    refused(unet, "config.json", "UNet2DModel")


@pytest.mark.parametrize(
    "change",
    [
        {"layers_per_block": 10_000_000},
        {"down_block_types": ["DownBlock2D"] * 100_000},
        {"block_out_channels": [32] * 100_000},
        {"block_out_channels": [32 * 10**9]},
        {"num_class_embeds": 10**12},
        {"in_channels": 10**9},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_config_of_any_size_is_refused_without_its_memory(
    unet: Path, change: dict[str, Any]
) -> None:
    import resource

    edit_config(unet, **change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    refused(unet, "config.json")
    assert time.monotonic() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_a_value_of_five_thousand_letters_is_cut_in_the_message(unet: Path) -> None:
    edit_config(unet, down_block_types=["D" * 5000])
    assert len(refused(unet, "makes no UNet2DModel")) < 1000
    edit_config(unet, _class_name="N" * 5000)
    assert len(refused(unet, "a UNet2DModel is needed here")) < 1000


BAD = [
    {"down_block_types": ["Nope"]},
    {"block_out_channels": [33]},
    {"block_out_channels": "x"},
    {"block_out_channels": [32, 64]},
    {"block_out_channels": []},
    {"norm_num_groups": 0},
    {"time_embedding_type": "x"},
]


@pytest.mark.parametrize("change", BAD, ids=str)
def test_a_config_that_makes_no_network_is_named(unet: Path, change: dict[str, Any]) -> None:
    edit_config(unet, **change)
    refused(unet, "config.json", "makes no UNet2DModel")


def test_a_config_that_is_no_table_is_named(unet: Path) -> None:
    (unet / "config.json").write_text("[]")
    refused(unet, "config.json", "list")


def test_reading_leaves_the_global_generator(original: tuple[Path, Any, str]) -> None:
    state = torch.get_rng_state()
    read_unet(original[0])
    assert torch.equal(torch.get_rng_state(), state)
