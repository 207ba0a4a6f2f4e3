"""The layers of OpenAI's networks: names, shapes and what no network can be."""

from dataclasses import replace

import pytest
import torch
from architectures import BEDROOM, COND, IMAGENET, blank
from diffusers import UNet2DModel

from noisewalk.errors import ConfigError
from noisewalk.priors.openai_layers import expected_shapes, layers, unet_config


def test_published_networks_have_their_published_number_of_parameters():
    for architecture, count in [(BEDROOM, 526_304_771), (IMAGENET, 295_899_267)]:
        assert sum(tensor.numel() for tensor in blank(architecture).values()) == count
        with torch.device("meta"):
            network = UNet2DModel(**unet_config(architecture))
        assert sum(parameter.numel() for parameter in network.parameters()) == count


def blocks(table: dict[str, tuple[int, ...]], side: str, suffix: str) -> list[tuple[int, int]]:
    keys = [key.split(".") for key in table if key.startswith(side) and key.endswith(suffix)]
    return [(int(key[1]), int(key[2])) for key in keys]


def test_bedroom_keys_are_where_the_published_file_has_them():
    table = expected_shapes(BEDROOM)
    assert (
        {k for k, _ in blocks(table, "input", "weight")}
        == {k for k, _ in blocks(table, "output", "weight")}
        == set(range(18))
    )
    assert blocks(table, "input", "qkv.weight") == [(k, 1) for k in (10, 11, 13, 14, 16, 17)]
    assert blocks(table, "output", "qkv.weight") == [(k, 1) for k in range(9)]
    assert [b for b in blocks(table, "output", "in_layers.0.weight") if b[1]] == [
        (2, 2),
        (5, 2),
        (8, 2),
        (11, 1),
        (14, 1),
    ]
    assert blocks(table, "input", "skip_connection.weight") == [(7, 0), (13, 0)]
    assert table["input_blocks.13.1.qkv.weight"] == (3072, 1024, 1)
    assert table["output_blocks.17.0.in_layers.2.weight"] == (256, 512, 3, 3)
    assert table["input_blocks.1.0.emb_layers.1.weight"] == (256, 1024)
    assert "label_emb.weight" not in table


def test_imagenet_keys_are_where_the_published_file_has_them():
    table = expected_shapes(IMAGENET)
    assert (
        {k for k, _ in blocks(table, "input", "weight")}
        == {k for k, _ in blocks(table, "output", "weight")}
        == set(range(16))
    )
    assert blocks(table, "input", "qkv.weight") == [
        (k, 1) for k in (5, 6, 7, 9, 10, 11, 13, 14, 15)
    ]
    assert blocks(table, "output", "qkv.weight") == [(k, 1) for k in range(12)]
    assert [b for b in blocks(table, "output", "in_layers.0.weight") if b[1]] == [
        (3, 2),
        (7, 2),
        (11, 2),
    ]
    assert table["label_emb.weight"] == (1000, 768)
    assert table["input_blocks.1.0.emb_layers.1.weight"] == (384, 768)


def test_middle_attention_keeps_its_norm_under_scale_shift():
    targets = {target for layer in layers(COND) for target in layer.targets}
    assert "mid_block.attentions.0.group_norm" in targets
    assert unet_config(COND)["attn_norm_num_groups"] == 32


def test_impossible_architecture_is_refused():
    for channel_mult, attention in [((), ()), ((2, 2), ()), ((1, 2), (2,)), ((1, 2), (-1,))]:
        with pytest.raises(ConfigError, match="channel_mult"):
            replace(COND, channel_mult=channel_mult, attention=attention)
