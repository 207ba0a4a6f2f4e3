"""`load_prior`: a prior by name, Hub repository, folder or checkpoint file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import _packages as packages
from .._checks import one_of, real, whole
from ..errors import ConfigError, WeightsError
from .cards import SCALING, check_card, read_card, read_cards, read_table
from .denoiser import KINDS, TIME_SCALE, NetworkDenoiser
from .mismatched_keys import shortened
from .prior import Prior
from .schedulers import SOLVERS, STEPPED

BUNDLED = Path(__file__).parent / "bundled"
LONGEST_NAME = 1000  # of a prior or a path
HEAD_CHANNELS = 64  # per attention head of OpenAI's checkpoints
SIZE = re.compile(r"(?:imagenet|bedroom|cat)(64|256)(?!\d)")  # the image side in their names
SCHEDULERS = {
    "CMStochasticIterativeScheduler": "consistency",
    "EDMEulerScheduler": "edm",
    **{name: solver.kind for name, solver in SOLVERS.items()},
}
"""What the network is that diffusers samples with each of its schedulers."""


@dataclass(frozen=True)
class Request:
    """What the caller of `load_prior` says about the weights; None leaves it to the card."""

    label: float | None
    device: torch.device
    dtype: torch.dtype
    kind: str | None
    size: int | None
    head_channels: int | None


def list_priors() -> dict[str, dict[str, Any]]:
    """The cards of all known priors: bundled, in other packages, published, on the Hub.

    Returns:
        Cards by name; a card says licence, data, kind, shape, source and noise range.

    Example:
        >>> nw.list_priors()["fashion32"]["shape"]
        [1, 32, 32]
    """
    folders = (folder for folder in sorted(BUNDLED.iterdir()) if (folder / "card.json").exists())
    return {**{folder.name: read_card(folder) for folder in folders}, **read_cards()}


@torch.inference_mode(False)
def load_prior(
    source: str | Path,
    label: float | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    kind: str | None = None,
    size: int | None = None,
    head_channels: int | None = None,
) -> Prior:
    """Load a pretrained prior.

    The weights never require gradients. Nothing in a weight file is ever run.

    Arguments:
        source: a name of `list_priors` ("fashion32"), a Hub repository, a folder that `noisewalk
            train` or diffusers wrote, or the path of an OpenAI .pt checkpoint.
        label: class, or the conditioning value that the card names (terrain128: 1 to 100).
        device: where the network lives.
        dtype: of the network's weights and arithmetic.
        kind: "consistency" or "edm", for weights without a card; None: as a .pt's name says.
        size: image side of a .pt file without a card; None takes it from the file's name.
        head_channels: those of each attention head in a .pt file without a card; None: 64.

    Returns:
        The prior.

    Raises:
        ConfigError: no such prior, or a label, kind or size that does not fit.
        WeightsError: the files are missing, corrupt or not what the card says.

    Example:
        >>> nw.load_prior("fashion32-edm").denoiser.sigma_max
        80.0
    """
    request = Request(
        label,
        usable_device(device),
        _checked_dtype(dtype),
        None if kind is None else one_of("kind", kind, KINDS),
        None if size is None else whole("size", size),
        None if head_channels is None else whole("head_channels", head_channels),
    )
    name, path, cards = str(source), Path(source), read_cards()
    if len(name) > LONGEST_NAME:  # the operating system would not have it as a file
        raise ConfigError(f"unknown prior {shortened(name)!r}: no name is that long")
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

        folder = cached_copy(name) or fetch_repository(name)
        return _from_folder(name, folder, request, cards.get(name))
    packaged = [n for n, card in list_priors().items() if card.get("format") in (None, "package")]
    raise ConfigError(
        f"unknown prior {name!r}: choose one of {', '.join(packaged)}, or give a folder, a .pt "
        "checkpoint or a Hub repository such as owner/name"
    )


def _from_folder(
    name: str, folder: Path, request: Request, known: Mapping[str, Any] | None = None
) -> Prior:
    from .diffusers import read_unet

    if (folder / "card.json").exists():
        card = read_card(folder)
    else:
        card = dict(known or _card_of_pipeline(folder, request))
    unet = folder / "unet" if (folder / "unet").is_dir() else folder
    return _denoising(name, card, read_unet(unet, card.get("sha256")), request)


def _card_of_pipeline(folder: Path, request: Request) -> dict[str, Any]:
    """What the scheduler in a diffusers folder says of the network."""
    if not any((place / "config.json").exists() for place in (folder, folder / "unet")):
        lacks = f"{folder} has no card.json and no unet/config.json"
        raise WeightsError(f"{lacks}: give a folder that `noisewalk train` or diffusers wrote")
    path = folder / "scheduler" / "scheduler_config.json"
    scheduler = read_table(path) if path.exists() else {}
    called = scheduler.get("_class_name")
    if called is not None and called not in SCHEDULERS:
        allowed = f"{path} is of a {shortened(called)}, and one of {', '.join(SCHEDULERS)} is read"
        raise WeightsError(f"{allowed}: save the pipeline with one of them")
    kind = request.kind if called is None else SCHEDULERS[called]
    if kind is None:
        lacks = f"{folder} has no card.json and no scheduler that says what the network is"
        raise WeightsError(f"{lacks}: give kind='consistency' or kind='edm'")
    if kind not in KINDS and request.kind not in (None, kind):
        raise WeightsError(
            f"{folder} is of kind {kind!r} by its {called}, got kind={request.kind!r}, under which "
            f"its images would be wrong: leave kind out, or give {kind!r}"
        )
    if kind in STEPPED:
        return {"kind": kind, "scheduler": scheduler}
    card = {"kind": kind, **{key: scheduler.get(key, value) for key, value in SCALING.items()}}
    if called == "EDMEulerScheduler":
        card["time_scale"] = 0.25
        if scheduler.get("prediction_type", "epsilon") != "epsilon":
            raise WeightsError(f"{path}: of EDMEulerScheduler, prediction_type epsilon is read")
    check_card(card, path)
    return card


def _from_package(name: str, card: Mapping[str, Any], request: Request) -> Prior:
    label, side = _checked_label(name, card, request.label), card["shape"][-1]
    if name == "faces64":
        from .faces import read_faces

        _check_request(name, card["kind"], side, None, request)
        network = read_faces(packages.locate(**card["archive"]))
        return Prior(name, card, None, network.to(request.device, request.dtype))
    from .openai import infer, to_unet
    from .terrain import read_terrain

    path = packages.locate(**card["archive"])
    state = read_terrain(path, float(label or 0))
    network = to_unet(state, infer(state, side, card["head_channels"], str(path)))
    return _denoising(name, card, network, request, labelled=True)


def _from_checkpoint(
    name: str, path: Path, known: Mapping[str, Any] | None, request: Request
) -> Prior:
    from .openai import infer, read_state, to_unet

    if not path.is_file() and known is not None:
        path = packages.cache_folder() / path.name
        if not path.is_file():
            get = f"download it from {known['source']}"
            raise WeightsError(
                f"{path.name} is not here: {get} and give its path, or put it at {path}"
            )
    if not path.is_file():
        raise WeightsError(f"{path} is missing: give the path of a .pt checkpoint")
    card = dict(known or _side_card(path, request))
    named = SIZE.search(path.name)
    size = card["shape"][-1] if "shape" in card else request.size or (named and int(named[1]))
    if size is None:
        raise ConfigError(f"the name {path.name} does not say its image side: give size= (--size)")
    state = read_state(path, card.get("sha256"))
    heads = card.get("head_channels") or request.head_channels or HEAD_CHANNELS
    found = infer(state, size, heads, str(path))
    shape = (found.in_channels, size, size)
    if found.in_channels != found.out_channels or tuple(card.get("shape", shape)) != shape:
        maps = f"{path} maps {found.in_channels} to {found.out_channels} channels"
        raise WeightsError(f"{maps}, its card says shape {card.get('shape')}")
    return _denoising(name, {**card, "shape": list(shape)}, to_unet(state, found), request)


def _side_card(path: Path, request: Request) -> dict[str, Any]:
    """The card NAME.json beside NAME.pt, completed by what the caller and the name say."""
    kind = request.kind or ("edm" if path.name.startswith("edm_") else "consistency")
    side = path.with_suffix(".json")
    card = {"kind": kind, **SCALING, **(read_table(side) if side.exists() else {})}
    check_card(card, side)
    return card


def _denoising(
    name: str, card: Mapping[str, Any], network: nn.Module, request: Request, labelled: bool = False
) -> Prior:
    """The prior around a network; `labelled` means that its weights hold the label already."""
    config: Any = network.config
    side, channels = config["sample_size"], config["in_channels"]
    if not isinstance(side, int) or channels != config["out_channels"]:
        raise WeightsError(
            f"the network of {name} has sample_size {side}, in_channels {channels}, out_channels "
            f"{config['out_channels']}: a denoiser has one whole number as sample_size and as many "
            "channels out as in"
        )
    if card["kind"] in STEPPED:
        card = {**card, "shape": [channels, side, side]}
        label = _label_of(name, card, request, None if labelled else config.get("num_class_embeds"))
        network = nn.Module.to(network, device=request.device, dtype=request.dtype)
        return Prior(name, {**card, "class": label}, None, network=network)
    unshuffle = int(card.get("unshuffle", 1))
    shape = (channels // unshuffle**2, side * unshuffle, side * unshuffle)
    card = {**SCALING, "shape": list(shape), **card}
    if tuple(card["shape"]) != shape:
        raise WeightsError(
            f"the card of {name} says shape {tuple(card['shape'])}, the network makes {shape}: one "
            "of them is of another prior"
        )
    _check_request(name, card["kind"], shape[-1], config["attention_head_dim"], request)
    classes = None if labelled else config.get("num_class_embeds")
    one = _label_of(name, card, request, classes)
    network = nn.Module.to(network, device=request.device, dtype=request.dtype)
    low, high, std = (float(card[key]) for key in SCALING)
    parts = network, card["kind"], shape, low, high, std, unshuffle, one
    time_scale = float(card.get("time_scale", TIME_SCALE))
    return Prior(name, card, NetworkDenoiser(*parts, time_scale=time_scale))


def _label_of(name: str, card: dict[str, Any], request: Request, classes: int | None) -> int | None:
    """The class that a network of some classes is given."""
    if classes and not card.get("label"):
        card["label"] = {"name": "class", "lowest": 0, "highest": classes - 1, "whole": True}
    label = _checked_label(name, card, request.label)
    return int(label) if classes and label is not None else None


def _check_request(name: str, kind: str, size: int, heads: int | None, request: Request) -> None:
    for key, value in {"kind": kind, "size": size, "head_channels": heads}.items():
        said = getattr(request, key)
        if said is not None and said != value:
            raise ConfigError(f"{key} of {name} is {value}, got {said}: leave {key} out")


def _checked_label(name: str, card: Mapping[str, Any], label: float | None) -> float | None:
    """The label as the card wants it; None where it wants none."""
    wanted = card.get("label")
    if wanted is None:
        if label is not None:
            raise ConfigError(f"{name} takes no label, got {label}: leave it out")
        return None
    called, low, high = f"label ({wanted['name']})", wanted["lowest"], wanted["highest"]
    if label is None:
        raise ConfigError(f"{name} needs a {called}: give a number from {low} to {high}")
    called += f" of {name}"
    if not wanted["whole"]:
        return real(called, label, least=low, most=high)
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    return whole(called, label, low, high)


def usable_device(device: str | torch.device) -> torch.device:
    """The device, after one number was put there and read back."""
    try:
        torch.zeros(1, device=device).item()
        return torch.device(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {str(device)!r} cannot be used here: {reason}") from error


def _checked_dtype(dtype: torch.dtype) -> torch.dtype:
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ConfigError(
            f"dtype must be a floating-point one such as torch.float32, got {dtype!r}"
        )
    return dtype
