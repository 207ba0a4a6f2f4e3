"""`load_prior`: a prior by name, Hub repository, folder or checkpoint file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import _packages as packages
from ..errors import ConfigError, WeightsError
from .cards import check_scaling, check_shape, read_card, read_cards, read_table
from .denoiser import KINDS, NetworkDenoiser
from .prior import Prior

BUNDLED = Path(__file__).parent / "bundled"
SCALING = {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5}
"""What every published consistency model and its teacher were trained with; a card without these
has them."""
HEAD_CHANNELS = 64
"""Channels per attention head of OpenAI's checkpoints."""
SIZE = re.compile(r"(?:imagenet|bedroom|cat)(64|256)(?!\d)")
"""How the names of OpenAI's checkpoints say the image side."""


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
    bundled = {
        folder.name: read_card(folder)
        for folder in sorted(BUNDLED.iterdir())
        if (folder / "card.json").exists()
    }
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
        source: a bundled or package prior's name ("fashion32", "terrain128", "faces64"), a Hub
            repository ("openai/diffusers-cd_bedroom256_lpips"), a folder that `noisewalk train` or
            diffusers wrote, or a path to an OpenAI .pt checkpoint.
        label: class, or the conditioning value that the card names (terrain128: difficulty, 1 to
            100); one per prior.
        device: where the network lives.
        dtype: of the network's weights and arithmetic.
        kind: "consistency" or "edm"; only for weights without a card. None: for a .pt file "edm" if
            its name starts with edm_, else "consistency".
        size: image side, only for a .pt file without a card; None takes what its name says.
        head_channels: channels per attention head, only for a .pt file without a card; None: 64.

    Returns:
        The prior.

    Raises:
        ConfigError: no such prior, or a label, kind or size that does not fit.
        WeightsError: the files are missing, corrupt or not what the card says.
    """
    request = Request(
        label, _checked_device(device), _checked_dtype(dtype), kind, size, head_channels
    )
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

        return _from_folder(
            name, cached_copy(name) or fetch_repository(name), request, cards.get(name)
        )
    offered = ", ".join(
        n for n, card in list_priors().items() if card.get("format", "package") == "package"
    )
    raise ConfigError(
        f"unknown prior {name!r}: choose one of {offered}, or give a folder, a .pt checkpoint "
        "or a Hub repository such as owner/name"
    )


def _from_folder(
    name: str, folder: Path, request: Request, known: Mapping[str, Any] | None = None
) -> Prior:
    from .diffusers import read_unet

    own = (folder / "card.json").exists()
    if (
        not own
        and known is None
        and not any((p / "config.json").exists() for p in (folder, folder / "unet"))
    ):
        raise WeightsError(
            f"{folder} has no card.json and no unet/config.json: give a folder that `noisewalk "
            "train` or diffusers wrote"
        )
    card = read_card(folder) if own else dict(known or _card_of_pipeline(folder, request))
    unet = folder / "unet" if (folder / "unet").is_dir() else folder
    network = read_unet(unet, card.get("sha256"))
    return _denoising(name, card, network, request)


def _card_of_pipeline(folder: Path, request: Request) -> dict[str, Any]:
    """What a diffusers folder says about itself: the scheduler's name and noise levels."""
    path = folder / "scheduler" / "scheduler_config.json"
    scheduler = read_table(path) if path.exists() else {}
    known = {"CMStochasticIterativeScheduler": "consistency", "EDMEulerScheduler": "edm"}
    kind = known.get(str(scheduler.get("_class_name")), request.kind)
    if kind is None:
        raise WeightsError(
            f"{folder} has no card.json and no scheduler that says what the network is: give "
            "kind='consistency' or kind='edm'"
        )
    card = {"kind": kind, **{key: scheduler.get(key, value) for key, value in SCALING.items()}}
    check_scaling(card, path)
    return card


def _from_package(name: str, card: Mapping[str, Any], request: Request) -> Prior:
    _check_label(name, card, request.label)
    if name == "faces64":
        from .faces import read_faces

        _check_request(name, card["kind"], card["shape"][-1], None, request)
        path = packages.locate(**card["archive"])
        return Prior(name, card, None, read_faces(path).to(request.device, request.dtype))
    from .openai import infer, to_unet
    from .terrain import read_terrain

    path = packages.locate(**card["archive"])
    state = read_terrain(path, float(request.label or 0))
    network = to_unet(state, infer(state, card["shape"][-1], card["head_channels"], str(path)))
    return _denoising(name, card, network, request, labelled=True)


def _from_checkpoint(
    name: str, path: Path, known: Mapping[str, Any] | None, request: Request
) -> Prior:
    from .openai import infer, read_state, to_unet

    if not path.is_file() and known is not None:
        path = packages.cache_folder() / path.name
        if not path.is_file():
            raise WeightsError(
                f"{path.name} is not here: download it from {known['source']} and give its "
                f"path, or put it at {path}"
            )
    if not path.is_file():
        raise WeightsError(f"{path} is missing: give the path of a .pt checkpoint")
    card = dict(known or _side_card(path, request))
    says = SIZE.search(path.name)
    size = card["shape"][-1] if "shape" in card else request.size
    if size is None and says is not None:
        size = int(says[1])
    if size is None:
        raise ConfigError(f"the name {path.name} does not say its image side: give size= (--size)")
    state = read_state(path, card.get("sha256"))
    architecture = infer(
        state, size, card.get("head_channels") or request.head_channels or HEAD_CHANNELS, str(path)
    )
    found = (architecture.in_channels, size, size)
    if (
        architecture.in_channels != architecture.out_channels
        or tuple(card.get("shape", found)) != found
    ):
        raise WeightsError(
            f"{path} maps {architecture.in_channels} to {architecture.out_channels} channels, "
            f"its card says shape {card.get('shape')}"
        )
    return _denoising(name, {**card, "shape": list(found)}, to_unet(state, architecture), request)


def _side_card(path: Path, request: Request) -> dict[str, Any]:
    """The card NAME.json beside a checkpoint NAME.pt, if there is one; what it leaves out is as the
    file's name or the caller says."""
    side = path.with_suffix(".json")
    card = {
        "kind": request.kind or ("edm" if path.name.startswith("edm_") else "consistency"),
        **SCALING,
    }
    if side.exists():
        card |= read_table(side)
        check_scaling(card, side)
        if "shape" in card:
            check_shape(card, side)
    return card


def _denoising(
    name: str, card: Mapping[str, Any], network: nn.Module, request: Request, labelled: bool = False
) -> Prior:
    """The prior around a network; `labelled`: the label is folded into the weights already."""
    config: Any = network.config
    unshuffle = int(card.get("unshuffle", 1))
    if (
        not isinstance(config["sample_size"], int)
        or config["in_channels"] != config["out_channels"]
    ):
        says = ", ".join(
            f"{key} {config[key]}" for key in ("sample_size", "in_channels", "out_channels")
        )
        raise WeightsError(
            f"the network of {name} has {says}: a denoiser has one whole number as sample_size "
            "and as many channels out as in"
        )
    shape = (
        config["in_channels"] // unshuffle**2,
        config["sample_size"] * unshuffle,
        config["sample_size"] * unshuffle,
    )
    card = {**SCALING, "shape": list(shape), **card}
    if tuple(card["shape"]) != shape:
        raise WeightsError(
            f"the card of {name} says shape {tuple(card['shape'])}, the network makes {shape}: "
            "the card or the weights are of another prior"
        )
    _check_request(name, card["kind"], shape[-1], config["attention_head_dim"], request)
    classes = None if labelled else config.get("num_class_embeds")
    if classes and not card.get("label"):
        card["label"] = {"name": "class", "lowest": 0, "highest": classes - 1, "whole": True}
    _check_label(name, card, request.label)
    network = nn.Module.to(network, device=request.device, dtype=request.dtype)
    scaling = {k: float(card[k]) for k in SCALING}
    label = int(request.label) if classes and request.label is not None else None
    return Prior(
        name,
        card,
        NetworkDenoiser(network, card["kind"], shape, **scaling, unshuffle=unshuffle, label=label),
    )  # type: ignore[arg-type]


def _check_request(
    name: str, kind: str, size: int, head_channels: int | None, request: Request
) -> None:
    held = {"kind": kind, "size": size, "head_channels": head_channels}
    for key, value in held.items():
        said = getattr(request, key)
        if said is not None and said != value:
            raise ConfigError(f"{key} of {name} is {value}, got {said}: leave {key} out")


def _check_label(name: str, card: Mapping[str, Any], label: float | None) -> None:
    wanted = card.get("label")
    if wanted is None:
        if label is not None:
            raise ConfigError(f"{name} takes no label, got {label}: leave it out")
        return
    allowed = (
        f"a {'whole ' if wanted['whole'] else ''}number from {wanted['lowest']} to "
        f"{wanted['highest']}"
    )
    if label is None:
        raise ConfigError(f"{name} needs a label ({wanted['name']}): give {allowed}")
    if not wanted["lowest"] <= label <= wanted["highest"] or (
        wanted["whole"] and label != int(label)
    ):
        raise ConfigError(f"{name}'s label ({wanted['name']}) must be {allowed}, got {label}")


def _checked_device(device: str | torch.device) -> torch.device:
    try:
        torch.zeros(1, device=device).item()
        return torch.device(device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {str(device)!r} cannot be used here: {str(error).splitlines()[0]}"
        ) from error


def _checked_dtype(dtype: torch.dtype) -> torch.dtype:
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ConfigError(
            f"dtype must be a floating-point torch dtype such as torch.float32, got {dtype!r}"
        )
    return dtype
