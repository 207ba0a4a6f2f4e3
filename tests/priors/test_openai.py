"""OpenAI checkpoints: the same numbers as the published network, and every bad file refused by
name."""

import hashlib
import os
import pickle
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import BEDROOM, COND, IMAGENET, blank
from diffusers import UNet2DModel

from noisewalk.errors import ConfigError, WeightsError
from noisewalk.maps.consistency import Consistency
from noisewalk.priors.denoiser import NetworkDenoiser
from noisewalk.priors.openai import infer, read_state, to_unet
from noisewalk.priors.openai_layers import Architecture, expected_shapes, unet_config

FIXTURES = Path(__file__).parent / "fixtures"
UNCOND = Architecture(32, (1, 1, 2), 1, (2,), False, None, 3, 3, 32, 16)
TINY = {"cond": COND, "uncond": UNCOND}
TERRAIN = Architecture(32, (1, 1, 2, 3, 4), 4, (2, 3, 4), True, None, 1, 1, 128, 32)
OTHERS = [
    Architecture(32, (1,), 1, (0,), False, None, 1, 1, 8, 32),
    Architecture(32, (1, 1), 5, (0, 1), True, 7, 2, 4, 8, 16),
    Architecture(64, (1, 3, 2), 2, (0,), False, None, 3, 6, 16, 64),
    Architecture(32, (1, 1, 1, 1), 1, (1,), True, None, 3, 3, 32, 32),
    Architecture(32, (1, 2, 2), 3, (), True, 10, 3, 3, 32, 32),
]
ALL = [COND, UNCOND, BEDROOM, IMAGENET, TERRAIN, *OTHERS]


def fixture(name: str) -> tuple[dict[str, torch.Tensor], dict[str, np.ndarray]]:
    state = read_state(FIXTURES / f"openai_tiny_{name}.pt")
    with np.load(FIXTURES / f"openai_tiny_{name}.npz") as file:
        return state, dict(file)


@pytest.fixture(scope="module", params=["cond", "uncond"])
def published(
    request: pytest.FixtureRequest,
) -> tuple[torch.nn.Module, dict[str, torch.Tensor], list[int | None]]:
    state, values = fixture(request.param)
    network = to_unet(state, infer(state, 32, TINY[request.param].head_channels, request.param))
    labels = values.pop("label").tolist() or [None] * len(values["z"])
    return network, {key: torch.from_numpy(value) for key, value in values.items()}, labels


def assert_close(got: torch.Tensor, expected: torch.Tensor) -> None:
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("kind", ["consistency", "edm"])
def test_denoiser_equals_the_original_network(published, kind):
    network, values, labels = published
    rows = [
        NetworkDenoiser(network, kind, (3, 32, 32), label=c)(x[None], s)
        for x, s, c in zip(values["x_t"], values["sigma"], labels, strict=True)
    ]
    assert_close(torch.cat(rows), values[kind])


def test_one_step_map_and_its_vjp_equal_the_original_network(published):
    network, values, labels = published
    for z, label, x, cotangent, vjp in zip(
        values["z"],
        labels,
        values["one_step"],
        values["cotangent"],
        values["one_step_vjp"],
        strict=True,
    ):
        phi = Consistency(NetworkDenoiser(network, "consistency", (3, 32, 32), label=label))
        got, back = torch.autograd.functional.vjp(phi, z[None], cotangent[None])
        assert_close(got[0], x)
        assert_close(back[0], vjp)


def test_per_head_order_of_qkv_rows_would_be_noticed():
    state, values = fixture("uncond")
    key = "middle_block.1.qkv.weight"
    state[key] = state[key].reshape(3, 4, 16, 64, 1, 1).transpose(0, 1).reshape(state[key].shape)
    x = NetworkDenoiser(to_unet(state, UNCOND), "edm", (3, 32, 32))(
        torch.from_numpy(values["x_t"]), torch.from_numpy(values["sigma"])
    )
    assert (x - torch.from_numpy(values["edm"])).abs().max() > 1e-3


def test_network_is_frozen_float32_and_shares_the_file_s_memory():
    state, _ = fixture("uncond")
    network = to_unet(state, UNCOND)
    assert not network.training
    assert {(p.dtype, p.requires_grad, p.device.type) for p in network.parameters()} == {
        (torch.float32, False, "cpu")
    }
    read = {tensor.untyped_storage().data_ptr() for tensor in state.values()}
    assert all(p.untyped_storage().data_ptr() in read for p in network.parameters())
    half = to_unet({key: tensor.half() for key, tensor in state.items()}, UNCOND)
    assert {p.dtype for p in half.parameters()} == {torch.float32}


def test_architecture_follows_from_names_and_shapes_and_fills_the_network():
    for architecture in ALL:
        state = blank(architecture)
        assert infer(state, architecture.size, architecture.head_channels, "file") == architecture
        flat = {
            key: tensor[..., None] if tensor.ndim == 3 else tensor for key, tensor in state.items()
        }
        assert infer(flat, architecture.size, architecture.head_channels, "file") == architecture
        filled = to_unet(flat, architecture).state_dict()
        with torch.device("meta"):
            fresh = UNet2DModel(**unet_config(architecture)).state_dict()
        assert {key: tensor.shape for key, tensor in filled.items()} == {
            key: tensor.shape for key, tensor in fresh.items()
        }


def test_attention_convolutions_may_have_one_or_two_trailing_ones():
    state, values = fixture("uncond")
    squeezed = {
        key: tensor.squeeze(-1) if "qkv.weight" in key or "proj_out.weight" in key else tensor
        for key, tensor in state.items()
    }
    assert squeezed["middle_block.1.qkv.weight"].ndim == 3
    a = infer(squeezed, 32, 16, "file")
    x = NetworkDenoiser(to_unet(squeezed, a), "edm", (3, 32, 32))(
        torch.from_numpy(values["x_t"]), torch.from_numpy(values["sigma"])
    )
    assert_close(x, torch.from_numpy(values["edm"]))


def refusal(state: dict[str, torch.Tensor]) -> str:
    with pytest.raises(WeightsError) as caught:
        infer(state, 32, 16, "file.pt")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("file.pt ")
    return message.split("): ", 1)[1]


def test_any_one_bad_key_is_named_and_nothing_else():
    for architecture in [COND, UNCOND, OTHERS[0]]:
        state = blank(architecture)
        for key, tensor in state.items():
            rest = {other: value for other, value in state.items() if other != key}
            if key != "label_emb.weight":
                assert refusal(rest) == f"missing {key}"
                assert (
                    refusal({**rest, f"{key}_old": tensor})
                    == f"missing {key}; unexpected {key}_old"
                )
            else:
                assert (
                    refusal({**rest, "label_embed.weight": tensor})
                    == "unexpected label_embed.weight"
                )
            assert refusal({**state, f"ema.{key}": tensor}) == f"unexpected ema.{key}"
            assert (
                refusal({**state, key: tensor.long()})
                == f"{key} is torch.int64, expected floating point"
            )
            if tensor.ndim >= 2 and tensor.shape[0] != tensor.shape[1]:
                turned = tensor.transpose(0, 1)
                assert (
                    refusal({**state, key: turned})
                    == f"{key} has shape {tuple(turned.shape)}, expected {tuple(tensor.shape)}"
                )
            if key not in ("label_emb.weight", "input_blocks.0.0.weight"):
                assert (
                    refusal({**state, key: tensor[:-1]})
                    == f"{key} has shape {tuple(tensor[:-1].shape)}, expected {tuple(tensor.shape)}"
                )


def test_key_renamed_into_a_block_that_does_not_exist_is_named():
    state = blank(COND)
    state["input_blocks.9.0.in_layers.0.bias"] = state.pop("input_blocks.2.0.in_layers.0.bias")
    assert (
        refusal(state)
        == "missing input_blocks.2.0.in_layers.0.bias; unexpected input_blocks.9.0.in_layers.0.bias"
    )


def test_many_bad_keys_are_five_names_and_a_count():
    state = {
        key: tensor
        for key, tensor in blank(UNCOND).items()
        if not key.startswith("output_blocks.5.")
    }
    assert refusal(state).count("missing output_blocks.5.0.") == 5
    assert refusal(state).endswith(" and 7 more")


def test_lone_attention_on_one_side_is_named():
    state = blank(UNCOND)
    state |= {
        f"input_blocks.1.1.{key}": torch.empty(32, device="meta")
        for key in ("norm.weight", "norm.bias")
    }
    assert (
        refusal(state)
        == "unexpected input_blocks.1.1.norm.weight; unexpected input_blocks.1.1.norm.bias"
    )


def test_label_embedding_folded_away_makes_the_network_unconditional():
    state = {key: tensor for key, tensor in blank(COND).items() if key != "label_emb.weight"}
    assert infer(state, 32, 32, "file") == replace(COND, num_classes=None)


def test_other_layouts_are_refused():
    for state in [
        {},
        {"conv_in.weight": torch.zeros(32, 3, 3, 3)},
        {"input_blocks.0.0.weight": torch.zeros(())},
    ]:
        with pytest.raises(WeightsError, match="no U-Net in OpenAI's layout"):
            infer(state, 32, 32, "file")


def test_width_that_the_norms_cannot_group_is_refused():
    with pytest.raises(WeightsError, match="model_channels 48"):
        infer(blank(replace(UNCOND, model_channels=48, head_channels=48)), 32, 48, "file")


def test_size_and_head_width_that_the_network_cannot_have_are_refused():
    for size, head_channels, match in [
        (30, 32, "multiple of 4"),
        (0, 32, "multiple of 4"),
        (32, 24, "divide"),
        (32, 0, "divide"),
    ]:
        with pytest.raises(ConfigError, match=match):
            infer(blank(UNCOND), size, head_channels, "file")


def test_weights_of_another_architecture_are_refused():
    with pytest.raises(WeightsError, match=r"missing input_blocks\.4"):
        to_unet(blank(COND), UNCOND)


def test_read_state_checks_the_hash_in_either_case():
    path = FIXTURES / "openai_tiny_uncond.pt"
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (
        read_state(path, sha).keys()
        == read_state(path, sha.upper()).keys()
        == expected_shapes(UNCOND).keys()
    )
    with pytest.raises(WeightsError, match="sha256"):
        read_state(path, "0" * 64)


def test_read_state_reads_the_old_format_too(tmp_path):
    path = tmp_path / "old.pt"
    torch.save(OrderedDict(a=torch.arange(3.0)), path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_state(path)["a"], torch.arange(3.0))


def unreadable(path: Path, sha256: str | None = None) -> str:
    with pytest.raises(WeightsError) as caught:
        read_state(path, sha256)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_truncated_file_is_refused(tmp_path):
    for new_format in [True, False]:
        for keep in [0.0, 0.001, 0.5, 0.999]:
            path = tmp_path / "cut.pt"
            torch.save(
                {"a": torch.ones(10_000), "b": torch.ones(10_000)},
                path,
                _use_new_zipfile_serialization=new_format,
            )
            content = path.read_bytes()
            path.write_bytes(content[: int(keep * len(content))])
            unreadable(path)


def test_flipped_bit_in_the_weights_is_refused_without_a_hash(tmp_path):
    path = tmp_path / "flipped.pt"
    torch.save({"a": torch.ones(10_000)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "checksum" in unreadable(path)


def test_other_content_is_refused(tmp_path):
    for content in [
        b"not a checkpoint",
        bytes(1000),
        b"PK\x03\x04" + bytes(100),
        b"\x80\x02}q\x00.",
    ]:
        path = tmp_path / "other.pt"
        path.write_bytes(content)
        unreadable(path)


def test_missing_file_and_folder_are_refused(tmp_path):
    assert "missing" in unreadable(tmp_path / "none.pt")
    assert "missing" in unreadable(tmp_path)


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_the_file_is_never_run(tmp_path):
    for save in ["zip", "legacy", "pickle"]:
        path, trace = tmp_path / "bomb.pt", tmp_path / "trace"
        state = {"a": torch.ones(2), "b": Bomb(trace)}
        if save == "pickle":
            path.write_bytes(pickle.dumps(Bomb(trace)))
        else:
            torch.save(state, path, _use_new_zipfile_serialization=save == "zip")
        assert "none of its code was run" in unreadable(path)
        assert not trace.exists()


def test_anything_but_named_tensors_is_refused(tmp_path):
    for content, match in [
        ({"state_dict": {"a": torch.ones(1)}}, "'state_dict' is a dict"),
        ({"a": torch.ones(1), "step": 3}, "'step' is a int"),
        ({0: torch.ones(1)}, "entry 0"),
        ({"a\nb": torch.ones(1)}, r"entry 'a\\nb'"),
        ({"a": torch.ones(2, 2).to_sparse()}, "dense"),
        ({"a": torch.ones(1, device="meta")}, "dense"),
        ([torch.ones(1)], "holds a list"),
        (torch.ones(1), "holds a Tensor"),
        ({}, "an empty dict"),
    ]:
        path = tmp_path / "other.pt"
        torch.save(content, path)
        with pytest.raises(WeightsError, match=match):
            read_state(path)
        unreadable(path)
