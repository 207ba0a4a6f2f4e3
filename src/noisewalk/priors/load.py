"""`load_prior`: a prior by name, Hub repository, folder or checkpoint file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import ConfigError, WeightsError
from . import packages
from .cards import read_cards
from .denoiser import KINDS, NetworkDenoiser
from .prior import Prior

BUNDLED = Path(__file__).parent / "bundled"
CARD_KEYS = ("kind", "shape", "sigma_min", "sigma_max", "sigma_data", "unshuffle", "sha256")
SCALING = {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5}
"""What every published consistency model and its teacher were trained with; a card without these has them."""
HEAD_CHANNELS = 64
"""Channels per attention head of OpenAI's checkpoints."""


@dataclass(frozen=True)
class Request:
    """What the caller of `load_prior` says about the weights; None leaves it to the card.

    Arguments:
        label: class or conditioning value.
        device: where the network lives.
        dtype: of its weights and arithmetic.
        kind: "consistency" or "edm".
        size: image side.
        head_channels: channels per attention head.
    """

    label: float | None
    device: str | torch.device
    dtype: torch.dtype
    kind: str | None
    size: int | None
    head_channels: int | None


def list_priors() -> dict[str, dict[str, Any]]:
    """Every known prior: bundled, in other packages, published checkpoints, Hub repositories.

    Returns:
        Cards by name.
    """
    bundled = {folder.name: read_card(folder) for folder in sorted(BUNDLED.iterdir()) if (folder / "card.json").exists()}
    return {**bundled, **read_cards()}


def load_prior(
    source: str | Path,
    label: float | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    kind: str | None = None,
    size: int | None = None,
    head_channels: int | None = None,
) -> Prior:
    """Load a prior; its weights never require gradients.

    Arguments:
        source: a bundled or package prior's name ("fashion32", "terrain128", "faces64"), a Hub repository ("openai/diffusers-cd_bedroom256_lpips"), a
            folder that `noisewalk train` or diffusers wrote, or a path to an OpenAI .pt checkpoint.
        label: class, or the conditioning value that the card names (terrain128: difficulty, 1 to 100); one per prior.
        device: where the network lives.
        dtype: of the network's weights and arithmetic.
        kind: "consistency" or "edm"; only for weights without a card. None: for a .pt file "edm" if its name starts with edm_, else "consistency".
        size: image side, only for a .pt file without a card; None takes what its name says.
        head_channels: channels per attention head, only for a .pt file without a card; None: 64.

    Returns:
        The prior.

    Raises:
        ConfigError: no such prior, or a label, kind or size that does not fit.
        WeightsError: the files are missing, corrupt or not what the card says.
    """
    request = Request(label, _checked_device(device), _checked_dtype(dtype), kind, size, head_channels)
    if kind not in (None, *KINDS):
        raise ConfigError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    name, path = str(source), Path(source)
    cards = read_cards()
    if (BUNDLED / name / "card.json").exists():
        return _from_folder(name, BUNDLED / name, request)
    if cards.get(name, {}).get("format") == "package":
        return _from_package(name, cards[name], request)
    if path.suffix == ".pt":
        return _from_checkpoint(name, path, cards.get(path.name), request)
    if path.is_dir():
        return _from_folder(name, path, request)
    if name.count("/") == 1 and not path.exists() and not name.startswith((".", "/", "~")):
        from .hub import cached_copy, fetch_repository

        return _from_folder(name, cached_copy(name) or fetch_repository(name), request, cards.get(name))
    offered = ", ".join(n for n, card in list_priors().items() if card.get("format", "package") == "package")
    raise ConfigError(f"unknown prior {name!r}: choose one of {offered}, or give a folder, a .pt checkpoint or a Hub repository such as owner/name")


def read_card(folder: Path) -> dict[str, Any]:
    """Read and check a prior's card.

    Arguments:
        folder: the prior's folder.

    Returns:
        The card.

    Raises:
        WeightsError: no card, a corrupt one, or one without the keys that loading needs.
    """
    path = folder / "card.json"
    if not path.exists():
        raise WeightsError(f"{folder} has no card.json: give a folder that `noisewalk train` wrote")
    try:
        card = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path}: {error}") from error
    missing = [key for key in CARD_KEYS if not isinstance(card, dict) or key not in card]
    if missing:
        raise WeightsError(f"{path} lacks {', '.join(missing)}")
    _check_card(card, path)
    return card


def _check_card(card: Mapping[str, Any], path: Path) -> None:
    levels = [card["sigma_min"], card["sigma_max"], card["sigma_data"]]
    shape = card["shape"]
    if card["kind"] not in KINDS:
        raise WeightsError(f"{path}: kind is {card['kind']!r}, allowed are {', '.join(KINDS)}")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in levels) or not levels[0] < levels[1]:
        raise WeightsError(f"{path}: sigma_min, sigma_max and sigma_data must be positive and sigma_min below sigma_max, got {levels}")
    if not isinstance(shape, list) or len(shape) != 3 or not all(isinstance(v, int) and v > 0 for v in shape):
        raise WeightsError(f"{path}: shape must be three positive whole numbers (C, H, W), got {shape!r}")
    if not isinstance(card["unshuffle"], int) or card["unshuffle"] < 1:
        raise WeightsError(f"{path}: unshuffle must be a whole number of at least 1, got {card['unshuffle']!r}")
    if not isinstance(card["sha256"], str) or len(card["sha256"]) != 64:
        raise WeightsError(f"{path}: sha256 must be 64 hexadecimal digits, got {card['sha256']!r}")


def _from_folder(name: str, folder: Path, request: Request, known: Mapping[str, Any] | None = None) -> Prior:
    from .diffusers import read_unet

    own = (folder / "card.json").exists()
    if not own and known is None and not any((p / "config.json").exists() for p in (folder, folder / "unet")):
        raise WeightsError(f"{folder} has no card.json and no unet/config.json: give a folder that `noisewalk train` or diffusers wrote")
    card = read_card(folder) if own else dict(known or _card_of_pipeline(folder, request))
    unet = folder / "unet" if (folder / "unet").is_dir() else folder
    network = read_unet(unet, card.get("sha256"))
    return _denoising(name, card, network, request)


def _card_of_pipeline(folder: Path, request: Request) -> dict[str, Any]:
    """What a diffusers folder says about itself: the scheduler's name and noise levels."""
    path = folder / "scheduler" / "scheduler_config.json"
    scheduler: dict[str, Any] = {}
    if path.exists():
        try:
            scheduler = json.loads(path.read_text())
        except ValueError as error:
            raise WeightsError(f"cannot read {path}: {error}") from error
    found = {"CMStochasticIterativeScheduler": "consistency", "EDMEulerScheduler": "edm"}.get(scheduler.get("_class_name", ""))
    kind = request.kind or found
    if kind is None:
        raise WeightsError(f"{folder} has no card.json and no scheduler that says what the network is: give kind='consistency' or kind='edm'")
    return {"kind": kind, **{key: float(scheduler.get(key, value)) for key, value in SCALING.items()}}


def _from_package(name: str, card: Mapping[str, Any], request: Request) -> Prior:
    path = packages.locate(**card["archive"])
    if name == "faces64":
        from .faces import read_faces

        _check_label(name, card, request.label)
        return Prior(name, card, None, read_faces(path).to(request.device, request.dtype))
    from .openai import infer, to_unet
    from .terrain import read_terrain

    _check_label(name, card, request.label)
    state = read_terrain(path, float(request.label or 0))
    network = to_unet(state, infer(state, card["shape"][-1], card["head_channels"], str(path)))
    return _denoising(name, card, network, request, labelled=True)


def _from_checkpoint(name: str, path: Path, known: Mapping[str, Any] | None, request: Request) -> Prior:
    from .openai import infer, read_state, to_unet

    if not path.is_file() and known is not None:
        path = packages.cache_folder() / path.name
        if not path.is_file():
            raise WeightsError(f"{path.name} is not here: download it from {known['source']} and give its path, or put it at {path}")
    side = path.with_suffix(".json")
    card = dict(known or ({} if not side.exists() else json.loads(side.read_text())))
    card.setdefault("kind", "edm" if path.name.startswith("edm_") else "consistency")
    size = card["shape"][-1] if "shape" in card else request.size
    if size is None:
        raise ConfigError(f"the name {path.name} does not say its image side: give size= (--size)")
    state = read_state(path, card.get("sha256"))
    architecture = infer(state, size, card.get("head_channels") or request.head_channels or HEAD_CHANNELS, str(path))
    found = (architecture.in_channels, size, size)
    if architecture.in_channels != architecture.out_channels or tuple(card.get("shape", found)) != found:
        raise WeightsError(f"{path} maps {architecture.in_channels} to {architecture.out_channels} channels, its card says shape {card.get('shape')}")
    return _denoising(name, {**card, "shape": list(found)}, to_unet(state, architecture), request)


def _denoising(name: str, card: Mapping[str, Any], network: nn.Module, request: Request, labelled: bool = False) -> Prior:
    """The prior around a network; `labelled`: the label is folded into the weights already."""
    config: Any = network.config
    unshuffle = int(card.get("unshuffle", 1))
    shape = (config["in_channels"] // unshuffle**2, config["sample_size"] * unshuffle, config["sample_size"] * unshuffle)
    card = {**SCALING, "shape": list(shape), **card}
    if tuple(card["shape"]) != shape:
        raise WeightsError(f"the card of {name} says shape {tuple(card['shape'])}, the network makes {shape}: the card or the weights are of another prior")
    for key, said in (("kind", request.kind), ("size", request.size), ("head_channels", request.head_channels)):
        held = card["shape"][-1] if key == "size" else card.get(key)
        if said is not None and held is not None and said != held:
            raise ConfigError(f"the card of {name} says {key} {held}, got {said}: leave {key} out")
    classes = None if labelled else config.get("num_class_embeds")
    if classes and not card.get("label"):
        card["label"] = {"name": "class", "lowest": 0, "highest": classes - 1, "whole": True}
    _check_label(name, card, request.label)
    network = nn.Module.to(network, device=request.device, dtype=request.dtype)
    scaling = {k: float(card[k]) for k in SCALING}
    label = int(request.label) if classes and request.label is not None else None
    return Prior(name, card, NetworkDenoiser(network, card["kind"], shape, **scaling, unshuffle=unshuffle, label=label))  # type: ignore[arg-type]


def _check_label(name: str, card: Mapping[str, Any], label: float | None) -> None:
    wanted = card.get("label")
    if wanted is None:
        if label is not None:
            raise ConfigError(f"{name} takes no label, got {label}: leave it out")
        return
    allowed = f"a {'whole ' if wanted['whole'] else ''}number from {wanted['lowest']} to {wanted['highest']}"
    if label is None:
        raise ConfigError(f"{name} needs a label ({wanted['name']}): give {allowed}")
    if not wanted["lowest"] <= label <= wanted["highest"] or (wanted["whole"] and label != int(label)):
        raise ConfigError(f"{name}'s label ({wanted['name']}) must be {allowed}, got {label}")


def _checked_device(device: str | torch.device) -> torch.device:
    try:
        torch.empty(0, device=device)
        return torch.device(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {str(device)!r} cannot be used here: {str(error).splitlines()[0]}") from error


def _checked_dtype(dtype: torch.dtype) -> torch.dtype:
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ConfigError(f"dtype must be a floating-point torch dtype such as torch.float32, got {dtype!r}")
    return dtype
