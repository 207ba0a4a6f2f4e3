"""Networks in diffusers' format: a `UNet2DModel` read from a folder and written into one."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..storage.atomic import write_whole
from .cards import read_table
from .mismatched_keys import listed, misfits, shapes_of
from .openai import read_state

WEIGHTS = "diffusion_pytorch_model.safetensors"
PICKLED = "diffusion_pytorch_model.bin"  # the name before safetensors


def read_unet(folder: Path, sha256: str | None = None) -> nn.Module:
    """The network in a folder, for evaluation, in float32; no code in a .bin file is run."""
    from diffusers import UNet2DModel

    pickled = (folder / PICKLED).is_file() and not (folder / WEIGHTS).is_file()
    path, weights = folder / "config.json", folder / (PICKLED if pickled else WEIGHTS)
    for file in (path, weights):
        if not file.is_file():
            holds = f"a prior's folder holds unet/config.json and unet/{WEIGHTS}"
            raise WeightsError(f"{file} is missing: {holds}")
    state = (read_state if pickled else _read_safetensors)(weights, sha256)
    config = read_table(path)
    if config.get("add_attention", True) and config.get("attn_norm_num_groups") is None:
        raise WeightsError(
            f"{path}: attn_norm_num_groups is missing; without it the attention norm is dropped "
            "and samples are wrong: set it to 32"
        )
    try:
        with torch.random.fork_rng(devices=[]):
            network = UNet2DModel.from_config(config)
    except Exception as error:  # diffusers meets bad values with errors of any kind
        reason = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(f"{path} makes no UNet2DModel: {reason}") from error
    if problems := misfits(shapes_of(network.state_dict()), shapes_of(state)):
        raise WeightsError(f"{weights} does not fit its config.json: {listed(problems)}")
    network.load_state_dict({k: v.float() for k, v in state.items()})
    return network.eval().requires_grad_(False)


def write_unet(network: nn.Module, state: dict[str, Tensor], folder: Path) -> str:
    """Write the network's config.json and the given weights as float16; returns their sha256."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    network.save_config(str(folder))  # type: ignore[operator]
    content = save({k: v.to(torch.float16).contiguous() for k, v in state.items()})
    # not save_file, whose file only its owner may read
    write_whole(folder / WEIGHTS, lambda path: path.write_bytes(content))
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
