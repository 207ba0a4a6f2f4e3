"""Folders of latent models with tiny random weights, as diffusers' pipelines leave them."""

import json
from pathlib import Path
from typing import Any

import torch

WIDTH = 12  # of a token of the prompt


def conditioned(**config: Any) -> Any:
    from diffusers import UNet2DConditionModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet2DConditionModel(
            sample_size=4,
            in_channels=2,
            out_channels=2,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=WIDTH,
            attention_head_dim=4,
            norm_num_groups=4,
            **config,
        ).eval()


def autoencoder(name: str) -> Any:
    import diffusers

    kl: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 8),
        "norm_num_groups": 4,
        "scaling_factor": 0.5,
    }
    tiny: dict[str, Any] = {
        "encoder_block_out_channels": (8, 8),
        "decoder_block_out_channels": (8, 8),
        "num_encoder_blocks": (1, 1),
        "num_decoder_blocks": (1, 1),
    }
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made_by = getattr(diffusers, name)
        return made_by(latent_channels=2, **(kl if name == "AutoencoderKL" else tiny)).eval()


def write_text_model(folder: Path) -> None:
    """A tokenizer of letters and a text encoder with random weights."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    place = folder / "tokenizer"
    place.mkdir(parents=True)
    (place / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(place / "vocab.json"), str(place / "merges.txt"))
    tokenizer.model_max_length = 8
    tokenizer.save_pretrained(place)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        config = CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=WIDTH,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=8,
            bos_token_id=len(words) - 2,
            eos_token_id=len(words) - 1,
        )
        CLIPTextModel(config).eval().save_pretrained(folder / "text_encoder")


def saved_pipeline(folder: Path, network: Any, vae: Any, scheduler: Any, name: str) -> Path:
    """The folder of a pipeline, without its text model."""
    for part, module in (("unet", network), ("vae", vae), ("scheduler", scheduler)):
        module.save_pretrained(folder / part)
    index = {"_class_name": name, "unet": [], "vae": [], "scheduler": []}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
