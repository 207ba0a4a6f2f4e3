"""Networks in diffusers' format: a `UNet2DModel` read from a folder and written into one."""

import hashlib
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..storage.atomic import write_whole
from .cards import read_table
from .mismatched_keys import listed, misfits, shapes_of, shortened
from .openai import read_state

WEIGHTS = "diffusion_pytorch_model.safetensors"
PICKLED = "diffusion_pytorch_model.bin"  # the name before safetensors
NEW_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Of the parts of attention in old files, as the first checkpoints of DDPM are."""
RENAMED = re.compile(rf"\.({'|'.join(NEW_NAMES)})\.(weight|bias)$")


def read_unet(folder: Path, sha256: str | None = None) -> nn.Module:
    """The `UNet2DModel` in a folder."""
    return read_network(folder, ("UNet2DModel",), sha256)


def read_network(folder: Path, kinds: tuple[str, ...], sha256: str | None = None) -> nn.Module:
    """The network in a folder, one of some classes of diffusers, for evaluation, in float32; no
    code in a .bin file is run.

    It is built without memory first, and gets its own when all keys and shapes fit.
    """
    pickled = (folder / PICKLED).is_file() and not (folder / WEIGHTS).is_file()
    path, weights = folder / "config.json", folder / (PICKLED if pickled else WEIGHTS)
    for file in (path, weights):
        if not file.is_file():
            holds = f"a prior's folder holds unet/config.json and unet/{WEIGHTS}"
            raise WeightsError(f"{file} is missing: {holds}")
    state = (read_state if pickled else _read_safetensors)(weights, sha256)
    state = {RENAMED.sub(lambda m: f".{NEW_NAMES[m[1]]}.{m[2]}", k): v for k, v in state.items()}
    config = read_table(path)
    name = config.get("_class_name", kinds[0])
    if name not in kinds:
        wanted = " or ".join(kinds)
        raise WeightsError(f"{path} is of a {shortened(name)}, and a {wanted} is needed here")
    _check_size(path, config, len(state))
    sketch = _built(path, name, config, "meta")
    if problems := misfits(shapes_of(sketch.state_dict()), shapes_of(state)):
        told = listed(problems) + _hint(config, problems)
        raise WeightsError(f"{weights} does not fit its config.json: {told}")
    _rehearse(path, name, sketch)
    with torch.random.fork_rng(devices=[]):
        network = _built(path, name, config)
    network.load_state_dict({k: v.float() for k, v in state.items()})
    return network.eval().requires_grad_(False)


def _built(path: Path, name: str, config: dict[str, Any], device: str | None = None) -> nn.Module:
    import diffusers

    made = getattr(diffusers, name)  # imports its module, which older torch cannot do under "meta"
    try:
        with nullcontext() if device is None else torch.device(device):
            return made.from_config(config)
    except Exception as error:  # diffusers meets bad values with errors of any kind
        raise WeightsError(f"{path} makes no {name}: {shortened(error)}") from error


def _check_size(path: Path, config: dict[str, Any], num_tensors: int) -> None:
    """WeightsError where a config asks for more layers than the weights have tensors: to build
    them would take memory and hours."""
    for key, value in config.items():
        sizes = value if isinstance(value, list) else [value]
        layers = [v for v in sizes if isinstance(v, int)] if "layers_per_block" in key else []
        if max([len(sizes), *layers]) > num_tensors:
            says = f"{path} says {shortened(key)} {shortened(value)}"
            raise WeightsError(f"{says}, and there are {num_tensors} tensors of weights")


def _rehearse(path: Path, name: str, sketch: Any) -> None:
    """WeightsError where the network cannot run: it is run without memory and without numbers."""
    config = sketch.config
    try:
        with torch.no_grad(), torch.device("meta"):
            one = torch.zeros(1, dtype=torch.long)
            if name.startswith("Autoencoder"):
                sketch.decode(torch.zeros(1, config["latent_channels"], 8, 8))
                return
            side = 2 ** len(config["block_out_channels"]) * 4
            x = torch.zeros(1, config["in_channels"], side, side)
            given: dict[str, Any] = {"class_labels": None}
            if config["class_embed_type"] == "identity":
                given["class_labels"] = torch.zeros(1, sketch.time_embedding.linear_1.out_features)
            elif config["class_embed_type"] == "timestep" or config["num_class_embeds"] is not None:
                given["class_labels"] = one
            if name == "UNet2DConditionModel":
                given["encoder_hidden_states"] = torch.zeros(1, 1, config["cross_attention_dim"])
            made = sketch.eval()(x, one, **given).sample
    except Exception as error:
        raise WeightsError(f"{path} makes a {name} that cannot run: {shortened(error)}") from error
    if made.shape[2:] != x.shape[2:]:
        sides = f"{tuple(made.shape[2:])} of {tuple(x.shape[2:])}"
        raise WeightsError(f"{path} makes a {name} that changes the image's sides: {sides}")


def _hint(config: dict[str, Any], problems: list[str]) -> str:
    """What to do where the config drops the norm of the middle attention, and the weights have
    it."""
    norms = any("unexpected mid_block.attentions" in p and "group_norm" in p for p in problems)
    if not norms or config.get("attn_norm_num_groups") is not None:
        return ""
    groups = config.get("norm_num_groups", 32)
    return f"; attn_norm_num_groups is missing: set it to what the weights have, usually {groups}"


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
