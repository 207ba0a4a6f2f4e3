"""`UNet2DModel`: the one network class; built from a few numbers or read from a folder in diffusers
format."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..storage.atomic import write_whole
from .openai import read_state

WEIGHTS = "diffusion_pytorch_model.safetensors"
PICKLED = "diffusion_pytorch_model.bin"
"""What diffusers called the weights before safetensors."""


def build_unet(
    size: int,
    channels: int,
    widths: tuple[int, ...],
    num_blocks: int = 1,
    attention: tuple[int, ...] = (),
    head_channels: int = 32,
    unshuffle: int = 1,
) -> nn.Module:
    """A U-Net in the layout of the published consistency models, with random weights.

    Arguments:
        size: image side in pixels.
        channels: image channels.
        widths: channels of each level, multiples of 32.
        num_blocks: residual blocks per level.
        attention: indices of the levels with self-attention.
        head_channels: channels per attention head.
        unshuffle: pixel-unshuffle factor that the denoiser applies around the network.

    Returns:
        A diffusers `UNet2DModel`.
    """
    from diffusers import UNet2DModel

    levels = range(len(widths))
    network: Any = UNet2DModel(
        sample_size=size // unshuffle,
        in_channels=channels * unshuffle**2,
        out_channels=channels * unshuffle**2,
        block_out_channels=tuple(widths),
        layers_per_block=num_blocks,
        down_block_types=tuple(
            "AttnDownBlock2D" if i in attention else "DownBlock2D" for i in levels
        ),
        up_block_types=tuple(
            "AttnUpBlock2D" if i in attention else "UpBlock2D" for i in reversed(levels)
        ),
        attention_head_dim=head_channels,
        attn_norm_num_groups=32,
        norm_num_groups=32,
        resnet_time_scale_shift="scale_shift",
    )
    return network


def read_unet(folder: Path, sha256: str | None = None) -> nn.Module:
    """Read a `UNet2DModel` from config.json and safetensors; without these from a .bin, running
    none of the code that such a file may hold.

    Arguments:
        folder: holds config.json and diffusion_pytorch_model.safetensors or .bin.
        sha256: what the weight file must hash to; None skips the check.

    Returns:
        The network in evaluation mode, float32, without gradients; the global generator is left as
        it was.

    Raises:
        WeightsError: missing, corrupt or mismatching files, keys or shapes, or a configuration that
            makes no network.
    """
    from diffusers import UNet2DModel

    weights = folder / (
        PICKLED if (folder / PICKLED).is_file() and not (folder / WEIGHTS).is_file() else WEIGHTS
    )
    for path in (folder / "config.json", weights):
        if not path.is_file():
            raise WeightsError(
                f"{path} is missing: a prior's folder holds unet/config.json and unet/{WEIGHTS}"
            )
    state = (
        read_state(weights, sha256)
        if weights.name == PICKLED
        else _read_safetensors(weights, sha256)
    )
    try:
        config = json.loads((folder / "config.json").read_text())
    except ValueError as error:
        raise WeightsError(f"cannot read the network in {folder}: {error}") from error
    if not isinstance(config, dict):
        raise WeightsError(
            f"{folder / 'config.json'} holds no table of settings but a {type(config).__name__}"
        )
    if config.get("add_attention", True) and config.get("attn_norm_num_groups") is None:
        raise WeightsError(
            f"{folder / 'config.json'}: attn_norm_num_groups is missing; without it the "
            "attention norm is dropped and samples are wrong: set it to 32"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            network = UNet2DModel.from_config(config)
    except Exception as error:  # diffusers meets bad values with errors of any kind
        reason = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(f"{folder / 'config.json'} makes no UNet2DModel: {reason}") from error
    _check_keys(network, state, weights)
    network.load_state_dict({k: v.float() for k, v in state.items()})
    return network.eval().requires_grad_(False)


def write_unet(network: nn.Module, state: dict[str, Tensor], folder: Path) -> str:
    """Write config.json and float16 safetensors.

    Arguments:
        network: a `UNet2DModel`, for its configuration.
        state: the weights to write.
        folder: made if absent.

    Returns:
        The weight file's sha256.
    """
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    network.save_config(str(folder))  # type: ignore[operator]
    content = save({k: v.to(torch.float16).contiguous() for k, v in state.items()})
    write_whole(
        folder / WEIGHTS, lambda path: path.write_bytes(content)
    )  # not save_file, whose file only its owner may read
    return hashlib.sha256(content).hexdigest()


def _read_safetensors(path: Path, sha256: str | None) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise WeightsError(
            f"{path} has sha256 {found[:12]}..., the card says {sha256[:12]}...: the file is "
            "damaged or was replaced; get it again"
        )
    try:
        return load(content)
    except (ValueError, SafetensorError) as error:
        raise WeightsError(f"cannot read the network in {path.parent}: {error}") from error


def _check_keys(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    expected = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in state.items()}
    problems = [f"missing {k}" for k in sorted(expected.keys() - found.keys())]
    problems += [f"unexpected {k}" for k in sorted(found.keys() - expected.keys())]
    problems += [
        f"{k} has shape {found[k]}, expected {expected[k]}"
        for k in sorted(expected.keys() & found.keys())
        if expected[k] != found[k]
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise WeightsError(f"{path} does not fit its config.json: {'; '.join(problems[:5])}{more}")
